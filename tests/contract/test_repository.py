"""What the files around the code say of each other."""

import re
import tomllib
from pathlib import Path

import yaml

import mien

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_there_is_one_version() -> None:
    """In the package, in its metadata, and in what is cited."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {project["version"], citation["version"]} == {mien.__version__}
    assert citation["license"] == project["license"]


def test_workflows_run_targets_of_the_makefile() -> None:
    """And nothing else, so that whatever fails there can be repeated with the same words."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert len(WORKFLOWS) == 4
    for path in WORKFLOWS:
        jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
        commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
        for command in commands:
            program, *words = command.split()
            assert program == "make", (path.name, command)
            assert {word for word in words if "=" not in word} <= targets, (path.name, command)


def test_supported_versions_of_python_are_tested() -> None:
    """Each that the metadata names, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [
        line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r"Python :: 3\.\d+", line)
    ]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python-version"] == named
    assert project["requires-python"] == f">={named[0]}"
