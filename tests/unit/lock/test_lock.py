"""One writer at a time: real processes that lock, wait, are killed, fork."""

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

import mien.lock
from mien.errors import ArtifactError
from mien.lock import hold_lock

# Holds the lock of its argument until its input ends; says so first. Given "fork", it leaves a child that outlives it.
HOLDER = """
import os, sys, time
from pathlib import Path
from mien.lock import hold_lock
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
from mien.lock import hold_lock
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


def start(lock: Path, *words: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock), *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    return process


def test_the_second_one_is_told_who_writes(tmp_path: Path) -> None:
    """One line: what is written, by which process, what to do. Once that has ended, the way is free."""
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


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """The file that it leaves locks nothing, and goes with the next one."""
    lock = tmp_path / ".out.lock"
    with start(lock) as holder:
        holder.kill()
    assert lock.exists()
    with hold_lock(lock, Path("out")):
        assert lock.read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_orphan_of_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    """A forked worker that goes on for a while keeps nobody from writing."""
    lock = tmp_path / ".out.lock"
    with start(lock, "fork") as holder:
        holder.kill()
        holder.wait()
        with hold_lock(lock, Path("out")):
            os.killpg(holder.pid, signal.SIGKILL)


def test_two_threads_of_a_process(tmp_path: Path) -> None:
    """A thread is kept out as a process is."""
    told = []

    def write() -> None:
        try:
            with hold_lock(tmp_path / ".out.lock", Path("out")):
                told.append("two writers")
        except ArtifactError as error:
            told.append(str(error))

    with hold_lock(tmp_path / ".out.lock", Path("out")):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(told) == 1
    assert "is being written by this process already" in told[0]
    with hold_lock(tmp_path / ".out.lock", Path("out")):
        pass


def test_removing_the_file_lets_nobody_in(tmp_path: Path) -> None:
    """Three processes lock and remove the file as fast as they can: no count is lost."""
    (tmp_path / "count").write_text("0")
    counters = [subprocess.Popen([sys.executable, "-c", COUNTER, str(tmp_path)]) for _ in range(3)]
    assert [counter.wait(60) for counter in counters] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "180"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """What it leads to is not made, nor written to."""
    (tmp_path / ".out.lock").symlink_to(tmp_path / "dear")
    with pytest.raises(OSError, match="symbolic links"), hold_lock(tmp_path / ".out.lock", Path("out")):
        pass
    assert not (tmp_path / "dear").exists()


def test_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some network file systems have none: the work goes on, and a line says what that means."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(mien.lock, "_lock", refuse)
    with hold_lock(tmp_path / ".out.lock", Path("out")):
        pass
    assert "cannot be locked (No locks available): see to it that nothing else writes out" in (
        capsys.readouterr().err
    )


def test_windows_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows nothing asks for fcntl; the byte that is locked is not one that tells who holds it."""
    locked: list[int] = []

    def locking(descriptor: int, mode: int, n_bytes: int) -> None:
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        if place in locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.append(place)

    fake: Any = SimpleNamespace(locking=locking, LK_NBLCK=2)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "win32")
        patched.setitem(sys.modules, "msvcrt", fake)
        patched.setitem(sys.modules, "fcntl", None)
        module = importlib.reload(mien.lock)
        with module.hold_lock(tmp_path / ".out.lock", Path("out")):
            assert (tmp_path / ".out.lock").read_text().startswith(f"process {os.getpid()} on ")
            module._held.clear()
            with (
                pytest.raises(ArtifactError, match=f"written by process {os.getpid()}"),
                module.hold_lock(tmp_path / ".out.lock", Path("out")),
            ):
                pytest.fail("two writers")
    importlib.reload(mien.lock)
    assert len(locked) == 1
    assert locked[0] > 4096
    assert list(tmp_path.iterdir()) == []
