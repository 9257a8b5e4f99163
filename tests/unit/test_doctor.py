"""The doctor's report."""

import io
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mien.doctor import machine, report
from mien.doctor.finding import Finding
from mien.doctor.packages import examine_extras, examine_packages

OK = Finding("packages", "numpy", "2.0")
NOTE = Finding("extras", "train", "lacks torch", "note", "For the `train` extra: pip install 'mien[train]'")
BROKEN = Finding("packages", "pillow", "not installed", "broken", "Install it: pip install 'pillow>=10'")


def written(*findings: Finding, markdown: bool = False) -> tuple[int, str]:
    """Return the exit code and the text of a report."""
    stream = io.StringIO()
    return report.write_report(findings, stream, markdown=markdown), stream.getvalue()


def test_all_well_is_exit_code_0() -> None:
    """The last line says that the plain install works."""
    code, text = written(OK)
    assert code == 0
    assert text.endswith("The plain install works.\n")


def test_something_optional_is_exit_code_0_with_the_command() -> None:
    """A missing extra is named with the exact install command."""
    code, text = written(OK, NOTE)
    assert code == 0
    assert "\n- For the `train` extra: pip install 'mien[train]'\n" in text


def test_something_broken_is_exit_code_1_with_the_command_first() -> None:
    """What stops the plain install comes before what is optional."""
    code, text = written(NOTE, BROKEN)
    assert code == 1
    assert "1 of 2 findings stop the plain install" in text
    assert text.index("pip install 'pillow") < text.index("- For the `train`")


def test_markdown_is_a_table_a_section() -> None:
    """Bars within a value do not break the table."""
    _, text = written(OK, Finding("packages", "odd", "a|b\nc"), NOTE, markdown=True)
    assert text.count("### ") == 2
    assert "| ok | odd | a\\|b c |" in text


def test_findings_are_written_as_they_come() -> None:
    """Each line is there before the next thing is looked at."""
    stream = io.StringIO()
    seen: list[bool] = []

    def findings():  # type: ignore[no-untyped-def]
        yield OK
        seen.append("numpy" in stream.getvalue())
        yield NOTE

    report.write_report(findings(), stream, markdown=False)
    assert seen == [True]


@pytest.mark.parametrize(
    ("line", "state", "remedy"),
    [
        pytest.param("numpy>=1", "ok", "", id="there"),
        pytest.param("no-such-package>=3", "broken", "pip install 'no-such-package>=3'", id="not installed"),
        pytest.param("numpy>=1000", "broken", "pip install 'numpy>=1000'", id="too old"),
    ],
)
def test_a_package_is_looked_up(line: str, state: str, remedy: str) -> None:
    """Against the version that mien asks for."""
    (finding,) = examine_packages([Requirement(line)])
    assert finding.state == state
    assert remedy in finding.remedy


def test_a_package_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as OpenCV without its system libraries."""
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    (finding,) = examine_packages([Requirement("tqdm>=1")])
    assert finding.state == "broken"
    assert "cannot be imported" in finding.value


def test_an_extra_tells_what_it_lacks() -> None:
    """Packages of the plain install and of other extras are not part of it."""
    requirements = [
        Requirement("numpy>=1000"),
        Requirement('no-such-package>=3; extra == "train"'),
        Requirement('tqdm>=1; extra == "serve"'),
    ]
    train, serve = examine_extras(requirements, ["train", "serve"])
    assert (train.state, train.value) == ("note", "lacks no-such-package")
    assert "pip install 'mien[train]'" in train.remedy
    assert (serve.state, serve.value) == ("ok", f"tqdm {metadata.version('tqdm')}")


def test_a_missing_detector_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain install works without it, by the cascade."""
    monkeypatch.delenv("MIEN_DETECTOR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    finding = {finding.name: finding for finding in machine.examine_images()}["detector"]
    assert finding.state == "note"
    assert str(tmp_path) in finding.value


def test_a_detector_that_was_named_and_is_not_there_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every prediction would stop at it."""
    monkeypatch.setenv("MIEN_DETECTOR", str(tmp_path / "no.onnx"))
    finding = {finding.name: finding for finding in machine.examine_images()}["detector"]
    assert finding.state == "broken"


def test_a_folder_that_cannot_be_written_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and what to do."""
    monkeypatch.chdir(tmp_path)

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    finding = {finding.name: finding for finding in machine.examine_machine()}["disk"]
    assert finding.state == "note"
    assert "Permission denied" in finding.value


def test_the_machine_is_described() -> None:
    """Processor, memory and disk each have a line."""
    findings = {finding.name: finding for finding in machine.examine_machine()}
    assert "cores usable" in findings["cpu"].value
    assert "GiB" in findings["memory"].value
