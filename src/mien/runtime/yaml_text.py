"""Reading YAML that people write: no key twice, no aliases, and errors in one line."""

import re
from pathlib import Path
from typing import Any

import yaml

from mien.errors import MienError

LARGEST_FILE = 100_000


class _Loader(yaml.SafeLoader):
    """Plain YAML that rejects duplicate keys, which would silently override the earlier value.

    Aliases are rejected as well: a few lines of them can expand to gigabytes.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(
                problem="aliases (*name) are not read; write the value out",
                problem_mark=self.peek_event().start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(
                    problem=f"key `{key}` is given twice", problem_mark=mark
                )
        return dict(super().construct_mapping(node, deep=deep))


# YAML 1.1 reads 1e-3, which has no dot, as text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        yaml.YAMLError: it is not valid.
        RecursionError: it is nested too deep.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader


def read_yaml(path: Path, *, what: str, error: type[MienError]) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: the file.
        what: the kind of file, to begin an error message.
        error: class of the errors.

    Raises:
        MienError: of the class ``error``: the file cannot be read, is too large, or holds no mapping.
    """
    if not path.is_file():
        raise error(f"{what} {path} does not exist")
    if path.stat().st_size > LARGEST_FILE:
        raise error(f"{what} {path} has {path.stat().st_size:,} bytes, at most {LARGEST_FILE:,} are read")
    try:
        value = load_yaml(path.read_text(encoding="utf-8-sig"))
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else "?"
        raise error(f"{what} {path} is not valid YAML: {problem.problem}, line {line}") from None
    except RecursionError:
        raise error(f"{what} {path} is nested too deep") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise error(f"{what} {path} cannot be read: {' '.join(str(problem).split())}") from None
    if not isinstance(value, dict):
        got = "nothing" if value is None else repr(value)[:80]
        raise error(f"{what} {path} must be a mapping of keys to values, got {got}")
    return value
