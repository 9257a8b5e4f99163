"""Processes that cannot outlive the one that started them: `mien` commands, and the workers of a pool.

A command: the starter holds a pipe to the process's standard input and never writes to it. When the starter ends, for
whatever reason, kill -9 included, the pipe is closed, and the process ends as well, with those that it started
itself: they have the same standard input.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_VARIABLE = "MIEN_ENDS_WITH_STDIN"
_SECONDS_TO_END = 10.0


def run_command(words: Sequence[str]) -> int:
    """Run a `mien` command to its end in a process of its own.

    Its standard output joins standard error, which leaves the former to the caller. Ctrl-C is for the caller
    alone, who then ends the process.

    Args:
        words: of the command, without `mien`.

    Returns:
        Its exit code; minus the number of the signal that killed it.
    """
    with _interrupts_kept():
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "mien", *words],
            stdin=subprocess.PIPE,
            stdout=2,
            env={**os.environ, _VARIABLE: "1"},
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    try:
        return process.wait()
    finally:
        _end(process)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Keep Ctrl-C from what is started meanwhile: a mask is inherited, and what it keeps here is delivered afterwards.

    Windows has no masks; there a process group of its own, given when the process is made, does the same.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def hold_lifeline() -> None:
    """End this process as soon as its starter does, if `run_command` started it."""
    if os.environ.get(_VARIABLE):
        threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    # Not through sys.stdin: a forked worker of a loader would wait for the lock that its reader holds.
    while os.read(0, 4096):
        pass
    # At once, as kill -9 would: what a run writes is safe against that.
    os._exit(1)


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: after a kill, no orphan may write beside the next run.

    It is the initializer of a process pool.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
