"""The plain install at the oldest versions that it allows reads as this environment does."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "tests" / "golden" / "image.png"


def oldest_requirements() -> list[str]:
    """Return the plain install's packages, each at the release of its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [re.match(r"([\w-]+)>=([\d.]+)", requirement) for requirement in project["dependencies"]]
    return [f"{match[1]}=={match[2]}.*" for match in found if match is not None]


def read(python: Path | str, image: Path, out: Path) -> list[dict[str, object]]:
    """Read an image that is one face with the model bundled."""
    command = [str(python), "-m", "mien", "predict", str(image), "--crop", "whole", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_oldest_versions_read_alike(tmp_path: Path) -> None:
    requirements = oldest_requirements()
    assert any(requirement.startswith("onnxruntime==") for requirement in requirements)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "old"], check=True)
    python = tmp_path / "old" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    image = tmp_path / "face.jpg"
    with Image.open(IMAGE) as drawn:
        drawn.convert("RGB").save(image, quality=95)
    (old,), (new,) = (
        read(python, image, tmp_path / "old.jsonl"),
        read(sys.executable, image, tmp_path / "new.jsonl"),
    )
    assert old["expression"] == new["expression"]
    for name in ("probabilities", "landmarks"):
        one, other = (
            np.array([*row[name].values()] if name == "probabilities" else row[name]) for row in (old, new)
        )
        # Kernels of int8 differ between releases by a rounding of their steps.
        np.testing.assert_allclose(one, other, atol=0.02 if name == "probabilities" else 5)
