"""What the command line prints: results on standard output, everything else on standard error.

The library only logs, to `logging.getLogger("mien")` and its children. Here alone is decided what of that reaches the
terminal, and how it looks.
"""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.runtime.terminal import on_its_lines, on_one_line


def print_result(text: object) -> None:
    """Print the result of a command; characters that the terminal cannot encode are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{on_its_lines(str(text))}\n".encode(encoding, "backslashreplace").decode(encoding))


def print_notice(text: str) -> None:
    """Print a one-line message to standard error."""
    sys.stderr.write(f"mien: {on_one_line(text)}\n")


def replace_closed_streams() -> None:
    """Make standard output and error discard what is written if they were closed before the command started."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def is_from_stream(error: OSError) -> bool:
    """Return whether an error is that of writing to a pipe or a full disk, rather than that of a file with a name."""
    return error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


def abandon_stdout(error: OSError) -> int:
    """Report that standard output cannot be written, unless its reader just had enough, and return the exit code."""
    # Python would write what is still buffered when it exits, fail again, and print that.
    discarding = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr) if error.errno == errno.EPIPE else (sys.stdout,):
        with suppress(OSError, ValueError):  # not a real file, or closed
            os.dup2(discarding, stream.fileno())
    os.close(discarding)
    if error.errno != errno.EPIPE:
        print_notice(
            f"standard output cannot be written ({error.strerror}). Write somewhere else, or free space"
        )
    return 1


class _TerminalHandler(logging.Handler):
    """Prints log records to standard error, each on one line, without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        # Here because of tqdm, which most error messages need not wait for.
        from mien.runtime.progress import PROGRESS_LOGGER, print_above_bars

        prefix = "" if record.name == PROGRESS_LOGGER else "mien: "
        print_above_bars(f"{prefix}{on_one_line(record.getMessage())}")


@contextmanager
def log_to_stderr(*, quiet: bool = False) -> Iterator[None]:
    """Print what the library logs during the block, instead of passing it to the handlers of the root logger.

    Outside a command, the logging that a program has set up applies. If it set up none, Python prints warnings and
    drops the rest.

    Args:
        quiet: print only warnings, and no progress.
    """
    logger, handler = logging.getLogger("mien"), _TerminalHandler()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    # A library may have given the root logger a handler, which would print each line again.
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
