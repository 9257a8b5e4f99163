"""The conformance kit: built the same everywhere, passed by mien, and failed by a port that is wrong in any part."""

import copy
import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mien.formats.onnx_model import OnnxModel

FOLDER = Path(__file__).parents[2] / "conformance"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build, check, run_python = _load("build"), _load("check"), _load("run_python")


@pytest.fixture(scope="module")
def kit_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked kit."""
    folder = tmp_path_factory.mktemp("kit")
    build.build_kit(folder / "kit.zip")
    with zipfile.ZipFile(folder / "kit.zip") as archive:
        archive.extractall(folder)
    return folder / "mien-conformance"


@pytest.fixture(scope="module")
def kit(kit_dir: Path) -> dict[str, Any]:
    """Return the kit's index."""
    return json.loads((kit_dir / "conformance.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(kit_dir: Path, kit: dict[str, Any]) -> dict[str, Any]:
    """Return mien's results; those of the detector are the expected ones, so that its file is not needed."""
    own = run_python.run_kit(kit_dir, None)
    return json.loads(json.dumps({**own, "detections": kit["detections"], "faces": kit["faces"]}))


def judge(kit_dir: Path, results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(check, "HERE", kit_dir)
    return bool(check.check(json.loads((kit_dir / "conformance.json").read_text(encoding="utf-8")), results))


def test_the_cases_have_the_contract_of_the_model_file(kit_dir: Path, kit: dict[str, Any]) -> None:
    """A port reads the contract from the file, and gets what the kit expects."""
    contract = OnnxModel.load(kit_dir / "model.onnx").info.crop
    assert kit["model"]["crop"] == contract.to_dict()
    for case in kit["predictions"]:
        assert (case["crop"]["margin"], case["crop"]["size"]) == (contract.margin, contract.size)


def test_the_archive_is_the_same_each_time(tmp_path: Path) -> None:
    build.build_kit(tmp_path / "one.zip")
    build.build_kit(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_mien_is_conformant(
    kit_dir: Path,
    results: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert judge(kit_dir, results, monkeypatch)
    assert capsys.readouterr().out.rstrip().endswith(": conformant")
    partial = {key: value for key, value in results.items() if key not in check.OPTIONAL_PARTS}
    assert judge(kit_dir, partial, monkeypatch)
    assert "conformant, without a detector" in capsys.readouterr().out


def _swap(values: list[Any]) -> None:
    values[0], values[1] = values[1], values[0]


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "crop-missing": lambda it: it["crops"].pop(),
    "crop-method": lambda it: it["crops"][0].update(method="box"),
    "crop-of-another-case": lambda it: it["crops"][3].update(rgb=it["crops"][4]["rgb"]),
    "crop-no-base64": lambda it: it["crops"][0].update(rgb="?"),
    "class-order": lambda it: _swap(it["predictions"][0]["probabilities"]),
    "landmark-axes": lambda it: [_swap(point) for point in it["predictions"][0]["landmarks"]],
    "not-a-number": lambda it: it["predictions"][0]["probabilities"].__setitem__(0, None),
    "prior-ignored": lambda it: it["priors"][0].update(balanced=it["priors"][0]["as-trained"]),
    "face-missed": lambda it: it["detections"][0]["faces"].pop(),
    "eyes-swapped": lambda it: _swap(it["detections"][0]["faces"][0]["points"]),
    "box-xywh": lambda it: it["faces"][0].update(box_xyxy=[0, 0, 10, 10]),
    "smallest-first": lambda it: it["faces"].reverse(),
    "no-list": lambda it: it.update(crops={}),
    "part-missing": lambda it: it.pop("priors"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_port_is_not_conformant(
    name: str,
    kit_dir: Path,
    results: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = copy.deepcopy(results)
    WRONG[name](changed)
    assert not judge(kit_dir, changed, monkeypatch)
    assert "not conformant" in capsys.readouterr().out


def test_the_judge_needs_nothing_but_python(kit_dir: Path, results: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "other.json").write_text('{"format_version": 2}')
    command = [sys.executable, "-I", "-S", str(kit_dir / "check.py")]
    assert (
        subprocess.run(
            [*command, str(tmp_path / "results.json")], capture_output=True, check=False
        ).returncode
        == 0
    )
    done = subprocess.run(
        [*command, str(tmp_path / "other.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "`format_version` 1, got 2" in done.stderr
