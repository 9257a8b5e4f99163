"""Expected failures and their exit codes."""

import re
import signal

import pytest

from mien import errors
from mien.errors import MienError


def test_the_tree_in_the_docstring_is_complete() -> None:
    """It names every error once, and every exit code other than 1."""
    tree = dict(re.findall(r"^[├└]── (\w+) +(.+)$", errors.__doc__ or "", re.MULTILINE))
    classes = {kind.__name__: kind for kind in MienError.__subclasses__()}
    assert list(tree) == [name for name in vars(errors) if name in classes]
    codes = {name: re.search(r"exit code (\d+)", text) for name, text in tree.items()}
    assert {name: int(code[1]) if code else 1 for name, code in codes.items()} == {
        name: kind.exit_code for name, kind in classes.items()
    }


@pytest.mark.parametrize(("kind", "code"), [("ArtifactError", 1), ("RecipeError", 2), ("StoppedError", 143)])
def test_exit_codes(kind: str, code: int) -> None:
    """128 + n is what a shell reports for a process that signal n ended."""
    assert getattr(errors, kind).exit_code == code
    assert 128 + signal.SIGTERM == 143
