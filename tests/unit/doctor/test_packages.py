"""Checks of installed packages and extras."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mien.doctor.packages import examine_extras, examine_packages


@pytest.mark.parametrize(
    ("line", "state", "remedy"),
    [
        pytest.param("numpy>=1", "ok", "", id="installed"),
        pytest.param("no-such-package>=3", "broken", "pip install 'no-such-package>=3'", id="not installed"),
        pytest.param("numpy>=1000", "broken", "pip install 'numpy>=1000'", id="too old"),
    ],
)
def test_installed_version_is_checked(line: str, state: str, remedy: str) -> None:
    """Against the versions that mien requires."""
    (finding,) = examine_packages([Requirement(line)])
    assert finding.state == state
    assert remedy in finding.remedy


def test_package_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example OpenCV without its system libraries."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    (finding,) = examine_packages([Requirement("tqdm>=1")])
    assert finding.state == "broken"
    assert "cannot be imported" in finding.value


def test_packages_are_imported_by_the_names_that_they_give_their_modules() -> None:
    """Such as ``cv2``, ``PIL`` and ``fontTools``: everything that the plain install needs is found where the tests run."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    findings = list(examine_packages([Requirement(line) for line in project["dependencies"]]))
    assert len(findings) == len(project["dependencies"])
    assert [finding for finding in findings if finding.state != "ok"] == []


def test_extra_lists_its_missing_packages() -> None:
    """Packages of the plain install and of other extras do not count."""
    requirements = [
        Requirement("numpy>=1000"),
        Requirement('no-such-package>=3; extra == "train"'),
        Requirement('tqdm>=1; extra == "serve"'),
    ]
    train, serve = examine_extras(requirements, ["train", "serve"])
    assert (train.state, train.value) == ("note", "missing no-such-package")
    assert "pip install 'mien[train]'" in train.remedy
    assert (serve.state, serve.value) == ("ok", f"tqdm {metadata.version('tqdm')}")


def test_extra_that_includes_others_lists_what_they_lack() -> None:
    """Also through an extra that is included itself; mien is no package of an extra."""
    requirements = [
        Requirement('mien[train]; extra == "all"'),
        Requirement('mien[data]; extra == "train"'),
        Requirement('no-such-package>=3; extra == "data"'),
        Requirement('tqdm>=1; extra == "data"'),
    ]
    (found,) = examine_extras(requirements, ["all"])
    assert (found.state, found.value) == ("note", "missing no-such-package")
    (found,) = examine_extras(requirements[:2] + requirements[3:], ["all"])
    assert (found.state, found.value) == ("ok", f"tqdm {metadata.version('tqdm')}")
