"""The crop contract and the model file in C++ are conformant."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++") or shutil.which("clang++")
# By default where Debian's package libonnxruntime-dev has them.
HEADERS = os.environ.get("ONNXRUNTIME_INCLUDE") or (
    "/usr/include/onnxruntime" if Path("/usr/include/onnxruntime").is_dir() else ""
)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kit_dir(tmp_path: Path) -> Path:
    """Return the unpacked kit."""
    for name, content in _load(ROOT / "conformance" / "build.py").kit_files().items():
        path = tmp_path / "kit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "kit"


def _compile(name: str, program: Path, *options: str) -> Path:
    source = ROOT / "examples" / "cpp" / name
    words = [str(COMPILER), "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", str(source), *options]
    subprocess.run([*words, "-o", str(program)], check=True)
    return program


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
def test_crops_are_those_of_python(tmp_path: Path, kit_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, check = _compile("crops.cpp", tmp_path / "crops"), _load(ROOT / "conformance" / "check.py")
    results = _load(ROOT / "examples" / "cpp" / "kit_cases.py").run_crops(program, kit_dir)
    monkeypatch.setattr(check, "HERE", kit_dir)
    kit = json.loads((kit_dir / "conformance.json").read_text())
    assert check.compare_crops(kit, results)["mean_difference"] < 0.05


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
@pytest.mark.skipif(
    not HEADERS, reason="onnxruntime's headers are not there (ONNXRUNTIME_INCLUDE names their folder)"
)
def test_predictions_are_those_of_python(tmp_path: Path, kit_dir: Path) -> None:
    """Against the library of onnxruntime's wheel, which has no headers."""
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"), None)
    if library is None:
        pytest.skip("onnxruntime's wheel has no library to link with")
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    options = ["-I", HEADERS, str(tmp_path / "libonnxruntime.so.1"), f"-Wl,-rpath,{tmp_path}"]
    program, check = (
        _compile("main.cpp", tmp_path / "main", *options),
        _load(ROOT / "conformance" / "check.py"),
    )
    kit = json.loads((kit_dir / "conformance.json").read_text())
    results = _load(ROOT / "examples" / "cpp" / "kit_cases.py").run_predictions(program, kit_dir)
    for name, value in check.compare_predictions(kit, results).items():
        assert value <= kit["tolerances"]["predictions"][name]
