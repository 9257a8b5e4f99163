"""Names of files."""

import os
import unicodedata
from pathlib import Path

import pytest

from mien.datasets.base import RejectedRow
from mien.datasets.files import list_names, locate, printable
from mien.errors import DatasetError


def test_hidden_names_and_leftovers_are_left_aside(tmp_path: Path) -> None:
    """Files that operating systems leave next to images are not listed; everything else is, sorted."""
    for name in ("b.jpg", "a.txt", ".DS_Store", "._b.jpg", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).touch()
    (tmp_path / "__MACOSX").mkdir()
    assert list_names(tmp_path) == ["a.txt", "b.jpg"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be listed is one clear error."""
    with pytest.raises(DatasetError, match="must be a readable folder"):
        list_names(tmp_path / "none")


def test_undecodable_names_become_printable() -> None:
    """A name in another encoding can be written as UTF-8."""
    assert printable(os.fsdecode(b"\xe9.jpg")) == r"\xe9.jpg"
    assert printable("面.jpg") == "面.jpg"


def test_a_windows_path_is_understood(tmp_path: Path) -> None:
    """Backslashes separate folders if no file has such a name."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "a.jpg").touch()
    assert locate(tmp_path.resolve(), r"1\a.jpg") == (tmp_path / "1" / "a.jpg").resolve()


@pytest.mark.parametrize("written", [" a b.jpg ", "fiance\u0301.jpg", "fianc\u00e9.jpg"])
def test_a_path_is_found_in_another_form_of_the_same_text(tmp_path: Path, written: str) -> None:
    """Blanks around it do not count, and accents may be composed in the list or on the disk (macOS) only."""
    for form in ("NFC", "NFD"):
        folder = tmp_path.resolve() / form
        folder.mkdir()
        file = folder / unicodedata.normalize(form, written.strip())
        file.touch()
        assert locate(folder, written) == file


@pytest.mark.skipif(os.name == "nt", reason="no file of that name on Windows")
def test_a_backslash_in_a_name_is_kept(tmp_path: Path) -> None:
    """A file whose name has a backslash is found."""
    (tmp_path / r"1\a.jpg").touch()
    assert locate(tmp_path.resolve(), r"1\a.jpg").name == r"1\a.jpg"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "missing_file"),
        (" ", "missing_file"),
        ("../a.jpg", "path_outside"),
        ("1/../../a.jpg", "path_outside"),
        ("/etc/passwd", "path_outside"),
        (r"..\a.jpg", "path_outside"),
        ("a\0.jpg", "path_outside"),
    ],
)
def test_paths_that_lead_nowhere_or_out_are_rejected(tmp_path: Path, written: str, reason: str) -> None:
    """A list cannot name a file outside its folder."""
    with pytest.raises(RejectedRow) as rejected:
        locate(tmp_path.resolve(), written)
    assert rejected.value.reason == reason


def test_a_name_that_no_disk_takes_is_only_a_missing_file(tmp_path: Path) -> None:
    """One row of a list cannot stop all the others."""
    written = "1\\" + "a" * 300 + ".jpg"
    assert locate(tmp_path.resolve(), written).parent.name == "1"


@pytest.mark.parametrize("written", ["../set-other/a.jpg", "{}-other/a.jpg", "link/a.jpg"])
def test_a_folder_whose_name_begins_alike_is_outside(tmp_path: Path, written: str) -> None:
    """Paths are compared folder by folder, not as text."""
    root = tmp_path.resolve() / "set"
    for folder in (root, tmp_path / "set-other"):
        folder.mkdir()
        (folder / "a.jpg").touch()
    (root / "link").symlink_to(tmp_path / "set-other", target_is_directory=True)
    with pytest.raises(RejectedRow, match="path_outside"):
        locate(root, written.format(root))


def test_a_link_that_leads_out_is_rejected(tmp_path: Path) -> None:
    """A link inside the folder does not open what lies outside it."""
    (tmp_path / "set").mkdir()
    (tmp_path / "outside.jpg").touch()
    (tmp_path / "set" / "a.jpg").symlink_to(tmp_path / "outside.jpg")
    with pytest.raises(RejectedRow, match="path_outside"):
        locate((tmp_path / "set").resolve(), "a.jpg")
