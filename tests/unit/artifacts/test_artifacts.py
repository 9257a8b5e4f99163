"""Claiming outputs, writing files whole, and telling of full disks."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from mien import artifacts
from mien.artifacts import (
    claim_output,
    disk_errors,
    drop_aside,
    file_sha256,
    new_folder,
    one_writer,
    read_json,
    remove_folder,
    restore_aside,
    set_aside,
    write_atomically,
    write_json,
)
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
    assert out.read_text() == "mine"


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


def test_file_is_no_folder_to_replace(tmp_path: Path) -> None:
    """A file where a folder is to be is none that mien made there."""
    out = tmp_path / "report"
    out.write_text("dear to me")
    with pytest.raises(ArtifactError, match="it is a file, so mien did not make it"):
        claim_output(out, force=True, kind_mark="metrics.json")
    assert out.read_text() == "dear to me"


@pytest.mark.parametrize("out", [Path(), Path("..")])
def test_output_without_a_name(out: Path) -> None:
    """The folder that one is in cannot be swapped for another."""
    with pytest.raises(ArtifactError, match="needs a name"), one_writer(out):
        pass
    with pytest.raises(ArtifactError, match="needs a name"):
        claim_output(out, force=True, kind_mark="pack.json")


def write_report(out: Path, text: str) -> None:
    with new_folder(out, force=True, kind_mark="metrics.json") as folder:
        (folder / "metrics.json").write_text(text)


def test_marked_folder_is_replaced_with_force(tmp_path: Path) -> None:
    """A folder with its mark goes, with all in it; what its links point to stays."""
    out, elsewhere = tmp_path / "report", tmp_path / "elsewhere"
    (out / "deep" / "er").mkdir(parents=True)
    (out / "deep" / "er" / "file").write_text("x")
    (out / "metrics.json").write_text("old")
    elsewhere.mkdir()
    (elsewhere / "keep").write_text("x")
    (out / "link").symlink_to(elsewhere)
    write_report(out, "new")
    assert [path.name for path in out.iterdir()] == ["metrics.json"]
    assert (elsewhere / "keep").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "report"]


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
            remove_folder(out, last="pack.json")
    assert (out / "pack.json").exists()
    remove_folder(out, last="pack.json")
    assert not out.exists()


def test_link_is_taken_as_a_link(tmp_path: Path) -> None:
    """A link to a folder is in the way; --force replaces the link alone, also one that leads nowhere."""
    target, out = tmp_path / "target", tmp_path / "out"
    target.mkdir()
    (target / "metrics.json").write_text("old")
    for place in (target, tmp_path / "nowhere"):
        out.symlink_to(place)
        with pytest.raises(ArtifactError, match="exists already"):
            claim_output(out, force=False, kind_mark="metrics.json")
        write_report(out, "new")
        assert not out.is_symlink()
        remove_folder(out, last="metrics.json")
    assert (target / "metrics.json").read_text() == "old"


class Killed(BaseException):
    """What no handler of an error takes: the process is gone."""


def kill_at_call(n: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the n-th change of a name or removal on the disk not happen, nor any after it; returns what was called."""
    calls: list[str] = []

    def watch(module: object, name: str) -> None:
        original = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) > n:
                raise Killed
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    for name in ("rename", "replace", "rmdir", "unlink", "mkdir"):
        watch(os, name)
    return calls


def test_kill_anywhere_leaves_the_old_or_the_new_folder(tmp_path: Path) -> None:
    """Wherever a replacement is cut off, the next run finds one whole report, and can replace it."""
    n_steps, n_restored = 0, 0
    for n in range(100):
        out = tmp_path / str(n) / "report"
        write_report(out, "old")
        with pytest.MonkeyPatch.context() as patched:
            calls = kill_at_call(n, patched)
            try:
                write_report(out, "new")
            except Killed:
                n_steps += 1
        n_restored += not out.exists()
        with pytest.raises(ArtifactError, match="exists already"), one_writer(out):
            claim_output(out, force=False, kind_mark="metrics.json")
        assert (out / "metrics.json").read_text() in ("old", "new")
        write_report(out, "newest")
        assert (out / "metrics.json").read_text() == "newest"
        assert [path.name for path in out.parent.iterdir()] == ["report"]
        if len(calls) <= n:
            break
    assert n_steps > 5
    assert n_restored


def test_folder_in_the_way_of_the_old_one_is_told_before_the_work(tmp_path: Path) -> None:
    """Somebody's own folder that has the name for what is replaced stays, and nothing is begun."""
    write_report(tmp_path / "report", "old")
    (tmp_path / "report.replaced").mkdir()
    (tmp_path / "report.replaced" / "dear").write_text("x")
    with (
        pytest.raises(ArtifactError, match=r"report\.replaced is in the way"),
        new_folder(tmp_path / "report", force=True, kind_mark="metrics.json"),
    ):
        pytest.fail("the work was begun")
    assert (tmp_path / "report.replaced" / "dear").exists()
    assert (tmp_path / "report" / "metrics.json").read_text() == "old"


def test_what_was_set_aside_stays_until_there_is_a_new_whole_one(tmp_path: Path) -> None:
    """Run after run may be begun and killed: the last finished one is there until another is finished."""
    run, aside = tmp_path / "run", tmp_path / "run.replaced"

    def begin(text: str, *, finished: bool) -> None:
        if run.exists():
            set_aside(run, kind_mark="run.json", whole_mark="result.json")
        run.mkdir()
        (run / "run.json").write_text(text)
        if finished:
            (run / "result.json").write_text(text)

    begin("first", finished=True)
    begin("second", finished=False)
    begin("third", finished=False)
    assert (aside / "result.json").read_text() == "first"
    restore_aside(run, kind_mark="run.json")
    assert (run / "result.json").read_text() == "first"
    begin("fourth", finished=True)
    drop_aside(run, kind_mark="run.json")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (run / "run.json").read_text() == "fourth"


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


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Record in order which files are synced and renamed: ``("sync", name)``, ``("rename", new name)``."""
    calls: list[tuple[str, str]] = []
    names: dict[int, str] = {}
    real_open, real_fsync = os.open, os.fsync
    real_replace, real_rename = os.replace, os.rename

    def open_file(path: Any, *arguments: Any, **options: Any) -> int:
        descriptor = real_open(path, *arguments, **options)
        names[descriptor] = Path(path).name
        return descriptor

    def fsync(descriptor: int) -> None:
        calls.append(("sync", names[descriptor]))
        real_fsync(descriptor)

    def rename(kind: Any, source: Any, target: Any) -> None:
        calls.append(("rename", Path(target).name))
        kind(source, target)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda source, target: rename(real_replace, source, target))
    monkeypatch.setattr(os, "rename", lambda source, target: rename(real_rename, source, target))
    return calls


def test_file_is_synced_before_it_has_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a power cut at any moment leaves the old content or the new, and none after the call takes the new."""
    calls = record_calls(monkeypatch)
    write_json(tmp_path / "pack.json", {})
    (synced, partial), renamed, folder = calls
    assert synced == "sync"
    assert partial.startswith("pack.json.")
    assert (renamed, folder) == (("rename", "pack.json"), ("sync", tmp_path.name))


@pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folders")
def test_folder_is_synced_with_all_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, then the folders that hold them, then the name, then the folder that holds that."""
    calls = record_calls(monkeypatch)
    with new_folder(tmp_path / "page", force=False, kind_mark="model.json") as folder:
        (folder / "models").mkdir()
        (folder / "models" / "a.onnx").write_text("x")
        (folder / "model.json").write_text("{}")
    assert calls[:3] == [("sync", "a.onnx"), ("sync", "models"), ("sync", "model.json")]
    assert calls[3][1].startswith("page.")
    assert calls[4:] == [("rename", "page"), ("sync", tmp_path.name)]


def test_two_writers_of_a_file_never_mix(tmp_path: Path) -> None:
    """Each writes a file of its own, so what has the name is of one of them, whole."""
    path = tmp_path / "a.txt"

    def write_slowly(partial: Path) -> None:
        with partial.open("w") as file:
            file.write("outer ")
            file.flush()
            write_atomically(path, lambda other: other.write_text("inner"))
            file.write("outer")

    write_atomically(path, write_slowly)
    assert path.read_text() == "outer outer"
    assert list(tmp_path.iterdir()) == [path]


def test_partial_file_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link under the name of the partial file is not written through: the name is taken."""
    (tmp_path / "dear").write_text("to me")
    monkeypatch.setattr(artifacts.secrets, "token_hex", lambda _: "0123abcd")
    for name in ("a.json.0123abcd.partial", "a.json.partial"):
        (tmp_path / name).symlink_to(tmp_path / "dear")
    with pytest.raises(FileExistsError):
        write_json(tmp_path / "a.json", {})
    assert (tmp_path / "dear").read_text() == "to me"


def test_what_killed_writers_left_is_cleared_up(tmp_path: Path) -> None:
    """The next writer of an output removes its partial files and folders, and nobody else's."""
    (tmp_path / "a.json.0123abcd.partial").write_text("half")
    (tmp_path / "a.json.4567abcd.partial").mkdir()
    (tmp_path / "a.json.4567abcd.partial" / "file").write_text("half")
    others = ["a.json.partial", "b.json.0123abcd.partial", "a.json.backup.partial"]
    for name in others:
        (tmp_path / name).write_text("not his")
    with one_writer(tmp_path / "a.json"):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".a.json.lock", *others])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    """Whoever put it there did not ask mien to replace it."""
    path = tmp_path / "a.txt"
    with pytest.raises(ArtifactError, match="exists already"):
        write_atomically(path, lambda _: path.write_text("theirs") and None, replace=False)
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_that_only_the_sync_tells_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems tell of a full disk as late as that: the old file stays."""
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="The disk is full"), disk_errors(path):
        write_atomically(path, lambda partial: partial.write_text("new") and None)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_hash(tmp_path: Path) -> None:
    """The hash is SHA-256 as any other tool gives it (FIPS 180-2, "abc")."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
