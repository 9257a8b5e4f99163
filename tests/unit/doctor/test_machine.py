"""Checks of the machine."""

from itertools import chain
from pathlib import Path

import pytest

from mien.doctor import machine


def test_missing_detector_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain install works without it, using the cascade."""
    monkeypatch.delenv("MIEN_DETECTOR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (finding,) = machine.examine_detector()
    assert finding.state == "note"
    assert str(tmp_path) in finding.value


def test_missing_detector_given_by_the_user_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every prediction would fail because of it."""
    monkeypatch.setenv("MIEN_DETECTOR", str(tmp_path / "no.onnx"))
    (finding,) = machine.examine_detector()
    assert finding.state == "broken"


def test_folder_that_is_not_writable_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is given."""
    monkeypatch.chdir(tmp_path)

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    (finding,) = machine.examine_disk()
    assert finding.state == "note"
    assert "Permission denied" in finding.value


def test_the_machine_is_described() -> None:
    """Processor and memory each have a line."""
    findings = {
        finding.name: finding for finding in chain(machine.examine_processor(), machine.examine_memory())
    }
    assert "cores usable" in findings["cpu"].value
    assert "GiB" in findings["memory"].value
