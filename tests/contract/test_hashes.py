"""The pins of constraints.txt and the hashes that `make setup` checks belong together."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Their builds differ from machine to machine.
WITHOUT_HASH = {"torch", "torchvision"}
# `make setup` does not install these: they are too large for what they are needed for, or have an environment of their own.
NOT_SET_UP = {"docs", "mlflow", "ray", "wandb"}


def same_name(name: str) -> str:
    """Return a package's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {same_name(name): version for name, version in pairs}


def test_every_pin_has_hashes() -> None:
    text = (ROOT / "hashes.txt").read_text(encoding="utf-8")
    blocks = re.findall(
        r"^(\S+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert len(comments) + sum(
        len(f"{name}=={version} \\\n{hashes}") for name, version, hashes in blocks
    ) == len(text)
    hashed = {same_name(name): version for name, version, _ in blocks}
    assert hashed == {name: version for name, version in read_pins().items() if name not in WITHOUT_HASH}


def test_everything_that_is_asked_for_has_a_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra, requirements in project["project"]["optional-dependencies"].items():
        asked += [] if extra in NOT_SET_UP else requirements
    names = {same_name(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in asked}
    assert names - {"mien"} <= read_pins().keys()  # an extra may name another one
