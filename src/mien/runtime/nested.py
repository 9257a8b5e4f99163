"""Reading nested dictionaries, such as recipes and the records in artifacts."""

from typing import Any


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested dictionaries by dotted key.

    Example:
        >>> flatten({"data": {"size": 32}, "seed": 0})
        {'data.size': 32, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def find_dict(record: object, *path: str) -> dict[str, Any]:
    """Return the dictionary at a path of keys, or an empty one if the record, which may come from anyone, lacks it.

    Example:
        >>> find_dict({"training": {"recipe": {"seed": 0}}}, "training", "recipe")
        {'seed': 0}
    """
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record if isinstance(record, dict) else {}
