"""What a command prints of the library's log."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.cli import main
from mien.cli.output import log_to_stderr
from mien.runtime.progress import report_step

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
    before = (list(LOGGER.handlers), LOGGER.level, LOGGER.propagate)
    with pytest.raises(ZeroDivisionError), log_to_stderr():
        raise ZeroDivisionError
    assert (LOGGER.handlers, LOGGER.level, LOGGER.propagate) == before


def test_a_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Also if a library has given the root logger a handler, as absl and `logging.basicConfig` do."""
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        with log_to_stderr():
            logging.getLogger("mien.faces").warning("careful")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err == "mien: careful\n"


def test_progress_has_no_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    with log_to_stderr():
        report_step("run 1 of 3: seed 0")
    assert capsys.readouterr().err == "run 1 of 3: seed 0\n"


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_quiet_leaves_results_warnings_and_errors(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary of `predict` goes; the table on standard output, the warning and the error stay."""
    image = tmp_path / "gray.png"
    image.write_bytes(cv2.imencode(".png", np.full((64, 64), 128, np.uint8))[1].tobytes())
    shown = []
    for words in ([], [option]):
        assert main(["predict", str(image), "--crop", "whole", *words]) == 0
        shown.append(capsys.readouterr())
    assert shown[0].out == shown[1].out != ""
    assert shown[0].err == "mien: 1 face in 1 image\n"
    assert shown[1].err == ""
    (tmp_path / "rows.csv.partial").touch()
    words = ["predict", str(image), "--crop", "whole", "--out", str(tmp_path / "rows.csv"), option]
    assert main([*words, "--force"]) == 0
    assert "rows.csv.partial is left over" in capsys.readouterr().err
    assert main(words) == 1
    assert "already exists" in capsys.readouterr().err


def run_program(setup: str) -> str:
    """Return the standard error of a program that uses mien as a library, without YuNet's file or a network."""
    code = f"""
import logging, os, urllib.request
import mien
from mien.faces import detector_file
{setup}
detector_file.YUNET_URL = "http://127.0.0.1:9/"
mien.load().detector
"""
    environment = {key: value for key, value in os.environ.items() if key != "MIEN_DETECTOR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"XDG_CACHE_HOME": os.devnull},
    )
    return done.stderr


def test_a_program_sees_warnings_and_nothing_else() -> None:
    """Without any setup, a worse detector is reported once by logging's last resort, and the download is not."""
    (line,) = run_program("").splitlines()
    assert line.startswith("YuNet could not be downloaded")


def test_a_program_can_silence_mien() -> None:
    assert run_program("logging.getLogger('mien').addHandler(logging.NullHandler())") == ""


def test_a_handler_of_a_program_receives_everything() -> None:
    """Each record once, in the program's own format, from the logger of the module."""
    lines = run_program(
        "logging.basicConfig(level=logging.INFO, format='%(levelname)s %(name)s')"
    ).splitlines()
    assert lines == ["INFO mien.faces.detector_file", "WARNING mien.faces.detector_file"]


@pytest.mark.parametrize("closed", [("stdout",), ("stderr",), ("stdin", "stdout", "stderr")])
def test_streams_that_were_closed(closed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """As by `>&-`, or for a program without a console: what is written is discarded."""
    for name in closed:
        monkeypatch.setattr(sys, name, None)
    assert main(["cite"]) == 0
    for stream in (sys.stdout, sys.stderr):
        if stream.name == os.devnull:
            stream.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output() -> None:
    """Also where the buffer is written only at the end."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "mien", "cite"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "standard output cannot be written (No space left on device)" in done.stderr
