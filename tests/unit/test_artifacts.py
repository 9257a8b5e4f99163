"""Claiming outputs, atomic writes, and full disks."""

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


def test_a_new_output_gets_its_parent_folders(tmp_path: Path) -> None:
    """The parent folders are created, the output itself is not."""
    out = tmp_path / "a" / "b" / "out.png"
    claim_output(out, force=False)
    assert out.parent.is_dir()
    assert not out.exists()


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    """A file is replaced only with --force."""
    out = tmp_path / "out.png"
    out.write_text("mine")
    with pytest.raises(ArtifactError, match=r"already exists. Choose another path, or add --force"):
        claim_output(out, force=False)
    assert out.read_text() == "mine"
    claim_output(out, force=True)
    assert out.read_text() == "mine"


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    """An empty folder created beforehand is not an obstacle."""
    out = tmp_path / "out"
    out.mkdir()
    claim_output(out, force=False, kind_mark="pack.json")
    assert not out.exists()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("mark", ["pack.json", None])
def test_a_folder_of_something_else_is_never_removed(
    tmp_path: Path, *, force: bool, mark: str | None
) -> None:
    """A folder without the mark of the output's kind stays, with or without --force."""
    out = tmp_path / "photos"
    out.mkdir()
    (out / "holiday.jpg").write_text("dear to me")
    with pytest.raises(ArtifactError):
        claim_output(out, force=force, kind_mark=mark)
    assert (out / "holiday.jpg").exists()


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    """The output is a folder, so mien did not make the file."""
    out = tmp_path / "report"
    out.write_text("dear to me")
    with pytest.raises(ArtifactError, match="it is a file, so mien did not make it"):
        claim_output(out, force=True, kind_mark="metrics.json")
    assert out.read_text() == "dear to me"


@pytest.mark.parametrize("out", [Path(), Path("..")])
def test_an_output_needs_a_name(out: Path) -> None:
    """The current folder and its parent cannot be replaced."""
    with pytest.raises(ArtifactError, match="needs a name"), one_writer(out):
        pass
    with pytest.raises(ArtifactError, match="needs a name"):
        claim_output(out, force=True, kind_mark="pack.json")


def write_report(out: Path, text: str) -> None:
    with new_folder(out, force=True, kind_mark="metrics.json") as folder:
        (folder / "metrics.json").write_text(text)


def test_a_marked_folder_is_replaced_with_force(tmp_path: Path) -> None:
    """The folder and its content are removed; the targets of its links stay."""
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


def test_the_mark_is_removed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted removal leaves the mark, so that it can be repeated."""
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


def test_a_link_is_replaced_but_its_target_stays(tmp_path: Path) -> None:
    """A link to a folder is in the way; --force replaces only the link, even a dangling one."""
    target, out = tmp_path / "target", tmp_path / "out"
    target.mkdir()
    (target / "metrics.json").write_text("old")
    for destination in (target, tmp_path / "nowhere"):
        out.symlink_to(destination)
        with pytest.raises(ArtifactError, match="already exists"):
            claim_output(out, force=False, kind_mark="metrics.json")
        write_report(out, "new")
        assert not out.is_symlink()
        remove_folder(out, last="metrics.json")
    assert (target / "metrics.json").read_text() == "old"


class Killed(BaseException):
    """An exception that no error handler catches, as if the process were killed."""


def kill_at_call(n: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the n-th rename or removal and all later ones fail; return the list of calls."""
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


def test_a_kill_at_any_step_leaves_the_old_or_the_new_folder(tmp_path: Path) -> None:
    """Wherever a replacement is interrupted, the next run finds one complete report and can replace it."""
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
        with pytest.raises(ArtifactError, match="already exists"), one_writer(out):
            claim_output(out, force=False, kind_mark="metrics.json")
        assert (out / "metrics.json").read_text() in ("old", "new")
        write_report(out, "newest")
        assert (out / "metrics.json").read_text() == "newest"
        assert [path.name for path in out.parent.iterdir()] == ["report"]
        if len(calls) <= n:
            break
    assert n_steps > 5
    assert n_restored


def test_a_folder_in_the_way_is_reported_before_the_work(tmp_path: Path) -> None:
    """A folder that already has the name `<OUT>.replaced` stays, and nothing is started."""
    write_report(tmp_path / "report", "old")
    (tmp_path / "report.replaced").mkdir()
    (tmp_path / "report.replaced" / "dear").write_text("x")
    with (
        pytest.raises(ArtifactError, match=r"report\.replaced is in the way"),
        new_folder(tmp_path / "report", force=True, kind_mark="metrics.json"),
    ):
        pytest.fail("the work was started")
    assert (tmp_path / "report.replaced" / "dear").exists()
    assert (tmp_path / "report" / "metrics.json").read_text() == "old"


def test_an_output_set_aside_stays_until_a_new_one_is_complete(tmp_path: Path) -> None:
    """However many runs are started and killed, the last complete one stays until another is complete."""
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


def test_an_output_below_a_file(tmp_path: Path) -> None:
    """It is one clear error."""
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "deeper" / "out"):
        with pytest.raises(ArtifactError, match="cannot be written"):
            claim_output(out, force=False)


@pytest.mark.parametrize("force", [False, True])
def test_a_new_folder_below_a_file_is_one_clear_error(tmp_path: Path, force: bool) -> None:
    """With --force, nothing has checked the path before."""
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ArtifactError, match="cannot be written"),
        new_folder(tmp_path / "file" / "out", force=force, kind_mark="metrics.json"),
    ):
        pass


def test_a_new_folder_gets_its_name_at_the_end(tmp_path: Path) -> None:
    """The folder exists only after success."""
    with new_folder(tmp_path / "report", force=False, kind_mark="metrics.json") as folder:
        (folder / "metrics.json").write_text("{}")
        assert not (tmp_path / "report").exists()
    assert (tmp_path / "report" / "metrics.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    """If the work fails, the old output stays and no partial one is left."""
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
    ("code", "message"),
    [
        (errno.ENOSPC, "The disk is full while writing out: free some space"),
        (errno.EDQUOT, "The disk is full while writing out"),
        (errno.EACCES, "out cannot be written: Permission denied"),
        (errno.EROFS, "out cannot be written: Read-only file system"),
        (errno.ENAMETOOLONG, "out cannot be written: File name too long"),
        (errno.EIO, "out cannot be written: Input/output error"),
    ],
)
def test_disk_errors_are_one_clear_error(code: int, message: str) -> None:
    """Each reason has its own message."""
    with pytest.raises(ArtifactError, match=message), disk_errors(Path("out")):
        raise OSError(code, os.strerror(code))


def test_a_folder_that_vanishes_is_reported(tmp_path: Path) -> None:
    """Another process removed the output while it was written."""
    out = tmp_path / "out"
    with pytest.raises(ArtifactError, match=r"vanished while it was written.*0\.png"), disk_errors(out):
        (out / "0.png").write_bytes(b"")


def test_a_file_system_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as /proc, which reports that the new file does not exist."""

    def refuse(path: str, *_: object) -> int:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ArtifactError, match=r"the file system has no place for it at .*Choose another path"):
        one_writer(tmp_path / "model.onnx").__enter__()


def test_other_errors_pass_through() -> None:
    """An error about another file is not changed."""
    with pytest.raises(FileNotFoundError), disk_errors(Path("out")):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_a_file_or_nothing_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """Such as a report's page in place of the report."""
    (tmp_path / "report.html").touch()
    with pytest.raises(ArtifactError, match=r"report\.html is a file, a report is a folder$"):
        read_json(tmp_path / "report.html" / "metrics.json", what="report")
    with pytest.raises(ArtifactError, match=r"nope does not exist, a report is a folder$"):
        read_json(tmp_path / "nope" / "metrics.json", what="report")


def test_json_is_written_atomically(tmp_path: Path) -> None:
    """A value that JSON cannot represent leaves the old file unchanged, and no other file."""
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, 2.5, None]})
    for value in (math.nan, math.inf, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, {"value": value})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1, 2.5, None]}
    assert list(tmp_path.iterdir()) == [path]
    assert read_json(path, what="test") == {"é": [1, 2.5, None]}


def test_json_of_a_path_that_is_not_utf_8(tmp_path: Path) -> None:
    """As folders of old archives are named; it is the same path when it is read."""
    written = {"raw": os.fsdecode(b"fianc\xe9"), "é": 1}
    write_json(tmp_path / "a.json", written)
    assert read_json(tmp_path / "a.json", what="plan") == written


def test_an_output_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """Not every library can write it."""
    with pytest.raises(ArtifactError, match="must be UTF-8 text"):
        claim_output(tmp_path / os.fsdecode(b"fianc\xe9"), force=False)


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


def test_a_file_is_synced_before_its_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure leaves the old content or the new, and after the call always the new."""
    calls = record_calls(monkeypatch)
    write_json(tmp_path / "pack.json", {})
    (synced, partial), renamed, folder = calls
    assert synced == "sync"
    assert partial.startswith("pack.json.")
    assert (renamed, folder) == (("rename", "pack.json"), ("sync", tmp_path.name))


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot sync folders")
def test_a_folder_is_synced_with_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First files, then their folders, then the rename, then the parent folder."""
    calls = record_calls(monkeypatch)
    with new_folder(tmp_path / "page", force=False, kind_mark="model.json") as folder:
        (folder / "models").mkdir()
        (folder / "models" / "a.onnx").write_text("x")
        (folder / "model.json").write_text("{}")
    assert calls[:3] == [("sync", "a.onnx"), ("sync", "models"), ("sync", "model.json")]
    assert calls[3][1].startswith("page.")
    assert calls[4:] == [("rename", "page"), ("sync", tmp_path.name)]


def test_two_writers_of_a_file_never_mix(tmp_path: Path) -> None:
    """Each writes its own temporary file, so the result is one of them, complete."""
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


def test_a_partial_file_does_not_follow_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link with the name of the partial file is not written through: the name is taken."""
    (tmp_path / "dear").write_text("to me")
    monkeypatch.setattr(artifacts.secrets, "token_hex", lambda _: "0123abcd")
    for name in ("a.json.0123abcd.partial", "a.json.partial"):
        (tmp_path / name).symlink_to(tmp_path / "dear")
    with pytest.raises(FileExistsError):
        write_json(tmp_path / "a.json", {})
    assert (tmp_path / "dear").read_text() == "to me"


def test_partial_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    """The next writer of an output removes its partial files and folders, and no others."""
    (tmp_path / "a.json.0123abcd.partial").write_text("half")
    (tmp_path / "a.json.4567abcd.partial").mkdir()
    (tmp_path / "a.json.4567abcd.partial" / "file").write_text("half")
    others = ["a.json.partial", "b.json.0123abcd.partial", "a.json.backup.partial"]
    for name in others:
        (tmp_path / name).write_text("not mine")
    with one_writer(tmp_path / "a.json"):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".a.json.lock", *others])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_file_created_in_the_meantime_is_kept(tmp_path: Path) -> None:
    """It was not there when the command checked, so nobody asked to replace it."""
    path = tmp_path / "a.txt"
    with pytest.raises(ArtifactError, match="already exists"):
        write_atomically(path, lambda _: path.write_text("theirs") and None, replace=False)
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_reported_by_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems may report a full disk only then: the old file stays."""
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
    """The hash is the SHA-256 of FIPS 180-2 for "abc"."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_nothing_is_written_inside_a_pack(tmp_path: Path) -> None:
    """A new pack replaces the folder as a whole."""
    pack = tmp_path / "my.pack"
    pack.mkdir()
    (pack / "pack.json").write_text("{}")
    for path in (pack / "run", pack / "a" / "sheet.png"):
        with pytest.raises(ArtifactError, match="lies inside the pack"), one_writer(path):
            pass
    with one_writer(tmp_path / "run"), one_writer(pack):
        pass
    assert sorted(path.name for path in pack.iterdir()) == ["pack.json"]
