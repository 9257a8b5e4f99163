"""Measure the package's structure, print it, and exit with 1 where a budget is exceeded. Run by `make check`."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "mien"

# Measure -> (largest value allowed, what it is).
BUDGETS = {
    "longest file": (500, "lines"),
    "functions of more than 40 lines": (3.0, "% of functions, docstrings not counted"),
    "functions of more than 60 lines": (0.0, "% of functions"),
    "private functions used once": (12.0, "% of functions: a fragment that is read only where it is called"),
    "dataclasses": (0.45, "per module"),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    """Print every measure beside its budget; return 1 if one is exceeded."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    trees = [ast.parse(source) for source in sources.values()]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, Function)]
    lengths = [count_lines(function) for function in functions]
    uses = Counter(name for tree in trees for name in used_names(tree))
    fragments = [f for f in functions if is_private(f.name) and uses[f.name] == 1]
    n_dataclasses = sum(is_dataclass(node) for tree in trees for node in ast.walk(tree))
    values = {
        "longest file": max(source.count("\n") for source in sources.values()),
        "functions of more than 40 lines": 100 * sum(n > 40 for n in lengths) / len(functions),
        "functions of more than 60 lines": 100 * sum(n > 60 for n in lengths) / len(functions),
        "private functions used once": 100 * len(fragments) / len(functions),
        "dataclasses": n_dataclasses / len(sources),
    }
    print(f"{len(sources)} modules, {len(functions)} functions, {len(fragments)} private functions used once")
    exceeded = False
    for name, value in values.items():
        largest, unit = BUDGETS[name]
        is_over = round(value, 2) > largest
        exceeded |= is_over
        print(f"{'OVER' if is_over else 'ok':>4}  {name}: {value:.4g} (at most {largest:g}) {unit}")
    return int(exceeded)


def count_lines(function: Function) -> int:
    """Return the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0


def used_names(tree: ast.Module) -> Iterator[str]:
    """Yield every name that is read, as a name, as an attribute or in an import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def is_private(name: str) -> bool:
    """Return whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def is_dataclass(node: ast.AST) -> bool:
    """Return whether a node is a class decorated as a dataclass."""
    if not isinstance(node, ast.ClassDef):
        return False
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(isinstance(d, ast.Name) and d.id == "dataclass" for d in decorators)


if __name__ == "__main__":
    sys.exit(main())
