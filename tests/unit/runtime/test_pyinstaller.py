"""The hook for PyInstaller, run as PyInstaller runs it, with stand-ins for what it imports."""

import pkgutil
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import pytest

import mien
from mien.faces.detector import CASCADE_PATH
from mien.predict.options import PEER_FORMATS, PREDICTION_FORMATS
from mien.runtime.pyinstaller import get_hook_dirs
from mien.tasks import TASKS


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the names that the hook sets."""
    folders = {"mien": Path(mien.__file__).parent, "cv2": Path(cv2.__file__).parent}

    def collect_data_files(package: str, includes: tuple[str, ...] = ("**/*.*",)) -> list[str]:
        return [str(path) for pattern in includes for path in folders[package].glob(pattern)]

    def collect_submodules(package: str, filter: Callable[[str], bool], on_error: str) -> list[str]:  # noqa: A002
        found = pkgutil.walk_packages([str(folders[package])], f"{package}.")
        return [module.name for module in found if filter(module.name)]

    hooks = ModuleType("PyInstaller.utils.hooks")
    hooks.__dict__.update(collect_data_files=collect_data_files, collect_submodules=collect_submodules)
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, hooks.__name__, hooks)
    (path,) = Path(get_hook_dirs()[0]).glob("hook-*.py")
    assert path.name == "hook-mien.py"
    return runpy.run_path(str(path))


def test_the_models_and_the_cascade_are_collected(hook: dict[str, Any]) -> None:
    names = {Path(path).name for path in hook["datas"]}
    assert {"mien-base.onnx", CASCADE_PATH.name} <= names


def test_modules_named_as_text_are_collected_and_training_is_not(hook: dict[str, Any]) -> None:
    named = [*PREDICTION_FORMATS.values(), *(writer for _, writer in PEER_FORMATS.values())]
    named += [task.row for task in TASKS.values() if task.row is not None]
    assert {name.partition(":")[0] for name in named} <= set(hook["hiddenimports"])
    assert not [name for name in hook["hiddenimports"] if name.startswith(("mien.train", "mien.nets"))]
