"""Scripts that no test runs, because they take long or need other packages, use names that exist."""

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="some scripts train")

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path for folder in ("benchmarks", "examples", "tools") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_scripts_import_from_mien_exists(script: Path) -> None:
    missing = []
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "mien":
            continue
        module = importlib.import_module(str(node.module))
        for name in (alias.name for alias in node.names):
            is_module = hasattr(module, "__path__") and find_spec(f"{node.module}.{name}") is not None
            if not hasattr(module, name) and not is_module:
                missing.append(f"{node.module}.{name}")
    assert missing == []
