"""Only regular files are opened, without blocking, and read up to a limit."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mien.datasets.csv_files import read_first_row
from mien.errors import ArtifactError, DatasetError
from mien.faces.detector import YuNetDetector
from mien.faces.detector_file import is_official_yunet
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage
from mien.formats.pack import Pack
from mien.inference.video.capture import read_header
from mien.runtime.regular_files import NotAFileError, TooLargeError, open_regular, read_regular

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.fixture(params=["fifo", "socket", "device", "link to a fifo"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a path ``a.jpg`` that blocks when opened, or never ends."""
    path = tmp_path / "a.jpg"
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        if request.param == "socket":
            listening.bind(os.path.relpath(path))
        elif request.param == "device":
            path.symlink_to("/dev/zero")
        elif request.param == "fifo":
            os.mkfifo(path)
        else:
            os.mkfifo(tmp_path / "fifo")
            path.symlink_to(tmp_path / "fifo")
        yield path


def test_only_files_are_opened(endless: Path) -> None:
    """The error says what it is, without blocking."""
    with pytest.raises(NotAFileError, match=r"it is a (pipe|socket|device)"):
        open_regular(endless)


def test_every_reader_rejects_what_is_not_a_file(endless: Path) -> None:
    """Images, videos, lists and the detector's file follow the same rule."""
    for read in (read_image_file, read_header):
        with pytest.raises(UnreadableImage, match=r"not a file") as refused:
            read(endless)
        assert refused.value.reason == "not_a_file"
    with pytest.raises(DatasetError, match=r"a\.jpg` cannot be read: it is a "):
        read_first_row(endless)
    assert not is_official_yunet(endless)
    with pytest.raises(Exception, match=r"The face detector .*a\.jpg cannot be read: it is a "):
        YuNetDetector(endless)


def test_a_shard_of_a_pack_that_is_no_file(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """One line, as for a file that is missing, without waiting for a writer; pack.json likewise."""
    pack = Pack.open(make_training_pack(tmp_path / "my.pack", n_train=6, n_val=3))
    for name in ("train-00000.arrow", "pack.json"):
        (pack.path / name).unlink()
        os.mkfifo(pack.path / name)
    with pytest.raises(ArtifactError, match=r"train-00000\.arrow cannot be read: it is a pipe"):
        pack.split("train")
    with pytest.raises(ArtifactError, match=r"pack\.json of the pack cannot be read: .*a pipe"):
        Pack.open(pack.path)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    """A sparse file of a terabyte is rejected before it is read."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    assert read_regular(path, max_bytes=5) == b"12345"
    with pytest.raises(TooLargeError, match="5 bytes, the limit is 4"):
        read_regular(path, max_bytes=4)
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(UnreadableImage, match="1,099,511,627,776 bytes") as refused:
        read_image_file(path)
    assert refused.value.reason == "image_too_large"


def test_folders_and_missing_files_raise_the_usual_errors(tmp_path: Path) -> None:
    """They are distinguished from pipes."""
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
