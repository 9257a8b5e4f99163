"""Reading nested dictionaries."""

import pytest

from mien.runtime.nested import find_dict, flatten


def test_flatten() -> None:
    """Keys are joined by dots; lists are values, and an empty dictionary has none."""
    values = {"model": {"head": {"size": 16}, "name": "a"}, "packs": [{"x": 1}], "none": {}, "seed": 0}
    assert flatten(values) == {"model.head.size": 16, "model.name": "a", "packs": [{"x": 1}], "seed": 0}


@pytest.mark.parametrize(
    ("path", "found"),
    [((), {"a": {"b": {"c": 1}}}), (("a", "b"), {"c": 1}), (("a", "b", "c"), {}), (("a", "x", "c"), {})],
)
def test_find_dict(path: tuple[str, ...], found: dict[str, object]) -> None:
    """Anything missing, or not a dictionary, is an empty one."""
    assert find_dict({"a": {"b": {"c": 1}}}, *path) == found


def test_find_dict_in_something_else() -> None:
    """Records may come from anyone."""
    assert find_dict([1], "a") == find_dict(None) == {}
