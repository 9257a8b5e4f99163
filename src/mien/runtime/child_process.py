"""Processes that cannot outlive their parent: `mien` commands, and the workers of a process pool.

For a command, the parent holds a pipe to the child's standard input and never writes to it. When the parent ends for any
reason, kill -9 included, the pipe closes and the child exits. So do its own children, which inherit the same standard
input.
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


def run_command(arguments: Sequence[str]) -> int:
    """Run a `mien` command to completion in a child process.

    Its standard output goes to standard error, so that the caller's standard output stays clean. Ctrl-C reaches only the
    caller, which then ends the child.

    Args:
        arguments: the command without `mien`.

    Returns:
        Its exit code, or minus the number of the signal that killed it.
    """
    with _interrupts_blocked():
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "mien", *arguments],
            stdin=subprocess.PIPE,
            stdout=2,
            env={**os.environ, _VARIABLE: "1"},
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    try:
        return process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in processes started inside the block: they inherit the signal mask; here it is delivered afterwards.

    Windows has no signal masks; the new process group given to the child does the same.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)


def end_with_parent() -> None:
    """Exit as soon as the parent does, if `run_command` started this process."""

    def wait_for_end_of_stdin() -> None:
        # Not through sys.stdin: a forked data-loader worker would wait for the lock that its reader holds.
        while os.read(0, 4096):
            pass
        # At once, as kill -9 would: everything a run writes is safe against that.
        os._exit(1)

    if os.environ.get(_VARIABLE):
        threading.Thread(target=wait_for_end_of_stdin, daemon=True).start()


def start_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit with the parent: an orphan must not write next to a new run.

    This is the initializer of a process pool.
    """

    def wait_for_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=wait_for_parent, daemon=True).start()
