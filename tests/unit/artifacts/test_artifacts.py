"""Claiming outputs, writing files whole, and telling of full disks."""

import errno
import json
import math
import os
from pathlib import Path

import pytest

from mien.artifacts import claim_output, disk_errors, file_sha256, new_folder, read_json, write_json
from mien.errors import ArtifactError


def test_free_output_gets_its_parents(tmp_path: Path) -> None:
    """Nothing stands in the way: the folders above are made, the output itself is not."""
    out = tmp_path / "a" / "b" / "out.png"
    claim_output(out, force=False)
    assert out.parent.is_dir()
    assert not out.exists()


def test_existing_file_is_kept(tmp_path: Path) -> None:
    """A file is replaced only with --force."""
    out = tmp_path / "out.png"
    out.write_text("mine")
    with pytest.raises(ArtifactError, match=r"exists already. Choose another path, or add --force"):
        claim_output(out, force=False)
    assert out.read_text() == "mine"
    claim_output(out, force=True)
    assert not out.exists()


def test_empty_folder_is_free(tmp_path: Path) -> None:
    """A folder that someone made ready is no obstacle."""
    out = tmp_path / "out"
    out.mkdir()
    claim_output(out, force=False, kind_mark="pack.json")
    assert not out.exists()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("mark", ["pack.json", None])
def test_folder_of_something_else_is_never_removed(tmp_path: Path, *, force: bool, mark: str | None) -> None:
    """A folder without the mark of such an output stays, --force or not."""
    out = tmp_path / "photos"
    out.mkdir()
    (out / "holiday.jpg").write_text("dear to me")
    with pytest.raises(ArtifactError):
        claim_output(out, force=force, kind_mark=mark)
    assert (out / "holiday.jpg").exists()


def test_marked_folder_is_removed_with_force(tmp_path: Path) -> None:
    """A folder with its mark goes, with all in it; what its links point to stays."""
    out, elsewhere = tmp_path / "my.pack", tmp_path / "elsewhere"
    (out / "deep" / "er").mkdir(parents=True)
    (out / "deep" / "er" / "file").write_text("x")
    (out / "pack.json").write_text("{}")
    elsewhere.mkdir()
    (elsewhere / "keep").write_text("x")
    (out / "link").symlink_to(elsewhere)
    claim_output(out, force=True, kind_mark="pack.json")
    assert not out.exists()
    assert (elsewhere / "keep").exists()


def test_removal_takes_the_mark_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that is cut short leaves the mark, so that it can be done again."""
    out = tmp_path / "my.pack"
    (out / "shards").mkdir(parents=True)
    (out / "pack.json").write_text("{}")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mien.artifacts.shutil.rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            claim_output(out, force=True, kind_mark="pack.json")
    claim_output(out, force=True, kind_mark="pack.json")
    assert not out.exists()


def test_link_is_taken_as_a_link(tmp_path: Path) -> None:
    """A link to a folder is in the way; --force removes the link alone, also one that leads nowhere."""
    target, out = tmp_path / "target", tmp_path / "out"
    target.mkdir()
    (target / "pack.json").write_text("{}")
    for place in (target, tmp_path / "nowhere"):
        out.symlink_to(place)
        with pytest.raises(ArtifactError, match="exists already"):
            claim_output(out, force=False, kind_mark="pack.json")
        claim_output(out, force=True, kind_mark="pack.json")
        assert not out.is_symlink()
    assert (target / "pack.json").exists()


def test_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    """An output below a file is one clear error."""
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "deeper" / "out"):
        with pytest.raises(ArtifactError, match="cannot be written"):
            claim_output(out, force=False)


@pytest.mark.parametrize("force", [False, True])
def test_a_new_folder_where_none_can_be_is_one_clear_error(tmp_path: Path, force: bool) -> None:
    """With --force nothing has looked at the place before."""
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ArtifactError, match="cannot be written"),
        new_folder(tmp_path / "file" / "out", force=force, kind_mark="metrics.json"),
    ):
        pass


def test_new_folder_takes_its_name_at_the_end(tmp_path: Path) -> None:
    """The folder is there when all went well."""
    with new_folder(tmp_path / "report", force=False, kind_mark="metrics.json") as folder:
        (folder / "metrics.json").write_text("{}")
        assert not (tmp_path / "report").exists()
    assert (tmp_path / "report" / "metrics.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    """When the work fails, what stood there before still does, and nothing half-made stays."""
    old = tmp_path / "report"
    old.mkdir()
    (old / "metrics.json").write_text("old")

    def fail() -> None:
        with new_folder(old, force=True, kind_mark="metrics.json") as folder:
            (folder / "metrics.json").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (old / "metrics.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, "The disk is full while writing out: free some space"),
        (errno.EDQUOT, "The disk is full while writing out"),
        (errno.EACCES, "out cannot be written: Permission denied"),
        (errno.EROFS, "out cannot be written: Read-only file system"),
        (errno.ENAMETOOLONG, "out cannot be written: File name too long"),
        (errno.EIO, "out cannot be written: Input/output error"),
    ],
)
def test_disk_errors_are_told(code: int, told: str) -> None:
    """What a disk refuses is one clear error."""
    with pytest.raises(ArtifactError, match=told), disk_errors(Path("out")):
        raise OSError(code, os.strerror(code))


def test_a_folder_that_vanishes_is_told(tmp_path: Path) -> None:
    """Somebody removed what was being written."""
    out = tmp_path / "out"
    with pytest.raises(ArtifactError, match=r"vanished while it was written.*0\.png"), disk_errors(out):
        (out / "0.png").write_bytes(b"")


def test_other_errors_keep_their_kind() -> None:
    """An error that the disk has nothing to do with passes."""
    with pytest.raises(FileNotFoundError), disk_errors(Path("out")):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_json_is_written_whole_or_not(tmp_path: Path) -> None:
    """A value that JSON cannot hold leaves the old file as it was, and no other."""
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, 2.5, None]})
    for value in (math.nan, math.inf, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, {"value": value})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1, 2.5, None]}
    assert list(tmp_path.iterdir()) == [path]
    assert read_json(path, what="test") == {"é": [1, 2.5, None]}


def test_file_hash(tmp_path: Path) -> None:
    """The hash is SHA-256 as any other tool gives it (FIPS 180-2, "abc")."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
