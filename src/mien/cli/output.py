"""What the command line prints: results on standard output, everything else on standard error."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mien.runtime.terminal import on_its_lines, on_one_line


def print_result(text: object) -> None:
    """Print the result of a command; characters that the terminal cannot encode become question marks."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{on_its_lines(str(text))}\n".encode(encoding, "replace").decode(encoding))


def print_notice(text: str) -> None:
    """Print a one-line message to standard error."""
    sys.stderr.write(f"mien: {on_one_line(text)}\n")


class _NoticeHandler(logging.Handler):
    """Prints log records as notices."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        print_notice(record.getMessage())


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Print what the library logs during the block; outside a command, logging's own defaults apply."""
    logger, handler = logging.getLogger("mien"), _NoticeHandler()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
