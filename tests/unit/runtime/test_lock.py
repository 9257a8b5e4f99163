"""One writer at a time: real processes that lock, wait, fork and are killed."""

import errno
import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mien.runtime.lock
from mien.errors import ArtifactError
from mien.runtime.lock import hold_lock

# Locks the file named by its argument until its input ends, and prints when it holds it. With "fork", it leaves a child
# that outlives it.
HOLDER = """
import os, sys, time
from pathlib import Path
from mien.runtime.lock import hold_lock
with hold_lock(Path(sys.argv[1]), Path("out")):
    if sys.argv[2:] == ["fork"] and not os.fork():
        time.sleep(30)
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""
COUNTER = """
import sys
from pathlib import Path
from mien.errors import ArtifactError
from mien.runtime.lock import hold_lock
folder, done = Path(sys.argv[1]), 0
while done < 60:
    try:
        with hold_lock(folder / ".lock", Path("out")):
            count = int((folder / "count").read_text())
            (folder / "count").write_text(str(count + 1))
            done += 1
    except ArtifactError:
        pass
"""


def start(lock: Path, *options: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock), *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    return process


def test_the_second_writer_learns_who_holds_the_lock(tmp_path: Path) -> None:
    """The error names the output, the process and what to do. When that process ends, the lock is free."""
    lock = tmp_path / ".out.lock"
    with start(lock) as holder:
        with (
            pytest.raises(
                ArtifactError, match=rf"^out is being written by process {holder.pid}\. Wait until"
            ),
            hold_lock(lock, Path("out")),
        ):
            pytest.fail("two writers")
        holder.communicate()
    assert list(tmp_path.iterdir()) == []
    with hold_lock(lock, Path("out")):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """The file it leaves locks nothing, and the next holder removes it."""
    lock = tmp_path / ".out.lock"
    with start(lock) as holder:
        holder.kill()
    assert lock.exists()
    with hold_lock(lock, Path("out")):
        assert lock.read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_orphan_of_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    """A forked worker that runs on for a while blocks nobody."""
    lock = tmp_path / ".out.lock"
    with start(lock, "fork") as holder:
        holder.kill()
        holder.wait()
        with hold_lock(lock, Path("out")):
            os.killpg(holder.pid, signal.SIGKILL)


def test_a_second_thread_is_locked_out(tmp_path: Path) -> None:
    """The lock also works between threads of a process."""
    messages = []

    def write() -> None:
        try:
            with hold_lock(tmp_path / ".out.lock", Path("out")):
                messages.append("two writers")
        except ArtifactError as error:
            messages.append(str(error))

    with hold_lock(tmp_path / ".out.lock", Path("out")):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(messages) == 1
    assert "is being written by this process" in messages[0]
    with hold_lock(tmp_path / ".out.lock", Path("out")):
        pass


def test_removing_the_file_does_not_break_the_lock(tmp_path: Path) -> None:
    """Three processes lock and remove the file as fast as they can: no count is lost."""
    (tmp_path / "count").write_text("0")
    counters = [subprocess.Popen([sys.executable, "-c", COUNTER, str(tmp_path)]) for _ in range(3)]
    assert [counter.wait(60) for counter in counters] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "180"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """Its target is neither created nor written to."""
    (tmp_path / ".out.lock").symlink_to(tmp_path / "dear")
    with pytest.raises(OSError, match="symbolic links"), hold_lock(tmp_path / ".out.lock", Path("out")):
        pass
    assert not (tmp_path / "dear").exists()


def test_a_file_system_without_locks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some network file systems have none: the work continues after a warning."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(mien.runtime.lock, "_lock", refuse)
    with hold_lock(tmp_path / ".out.lock", Path("out")):
        pass
    assert "cannot be locked (No locks available): make sure that nothing else writes out" in (caplog.text)


def test_locking_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no fcntl, and the locked byte must not cover the holder's name."""
    locked: list[int] = []

    def locking(descriptor: int, mode: int, n_bytes: int) -> None:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        if position in locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.append(position)

    fake: Any = SimpleNamespace(locking=locking, LK_NBLCK=2)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "win32")
        patched.setitem(sys.modules, "msvcrt", fake)
        patched.setitem(sys.modules, "fcntl", None)
        module = importlib.reload(mien.runtime.lock)
        with module.hold_lock(tmp_path / ".out.lock", Path("out")):
            assert (tmp_path / ".out.lock").read_text().startswith(f"process {os.getpid()} on ")
            module._held.clear()
            with (
                pytest.raises(ArtifactError, match=f"written by process {os.getpid()}"),
                module.hold_lock(tmp_path / ".out.lock", Path("out")),
            ):
                pytest.fail("two writers")
    importlib.reload(mien.runtime.lock)
    assert len(locked) == 1
    assert locked[0] > 4096
    assert list(tmp_path.iterdir()) == []
