"""The crop contract in C++ is conformant."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++") or shutil.which("clang++")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
def test_crops_are_those_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "crops"
    options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [str(COMPILER), *options, str(ROOT / "examples" / "cpp" / "crops.cpp"), "-o", str(program)],
        check=True,
    )
    build, check = _load(ROOT / "conformance" / "build.py"), _load(ROOT / "conformance" / "check.py")
    for name, content in build.kit_files().items():
        path = tmp_path / "kit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    results = _load(ROOT / "examples" / "cpp" / "crop_cases.py").run_crops(program, tmp_path / "kit")
    monkeypatch.setattr(check, "HERE", tmp_path / "kit")
    kit = json.loads((tmp_path / "kit" / "conformance.json").read_text())
    assert check.compare_crops(kit, results)["mean_difference"] < 0.05
