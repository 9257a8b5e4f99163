"""What a command prints of the library's log."""

import logging
import subprocess
import sys

import pytest

from mien.cli.output import log_to_stderr

LOGGER = logging.getLogger("mien")


def test_log_records_are_notices_during_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is one safe line; before and after the command, nothing is printed by mien."""
    LOGGER.warning("before")
    with log_to_stderr():
        LOGGER.info("half done\x1b[2J")
        LOGGER.debug("details")
    LOGGER.warning("after")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "mien: half done\\x1b[2J\n"


def test_the_handler_is_removed_after_a_failure() -> None:
    before = (list(LOGGER.handlers), LOGGER.level)
    with pytest.raises(ZeroDivisionError), log_to_stderr():
        raise ZeroDivisionError
    assert (LOGGER.handlers, LOGGER.level) == before


def test_the_library_leaves_logging_alone() -> None:
    """In a program, a warning appears once on standard error through logging's last resort."""
    code = "import logging, mien; logging.getLogger('mien').warning('careful')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "careful\n"
