"""Which reports are of models that differ in their seed alone, told by their paths."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from mien.compare.reports import Report
from mien.errors import ArtifactError

# `seed-3`, `seed3` or `seed_3`, as a folder's whole name or as a part of it that stands for itself.
_SEED = re.compile(r"^seed[-_]?\d+(?:$|[-_.])|[-_.]seed[-_]?\d+(?=$|[-_.])", re.IGNORECASE)
# The parts of a recipe that decide what is trained, as against where it runs.
_RECIPE_PARTS = ("model", "data", "schedule")


def group_paths(paths: Sequence[Path]) -> dict[str, list[int]]:
    """Return the places of each group's reports, by the group's name, in the order of first appearance.

    A group is a path without its `seed-<number>`; what all groups' paths begin and end with is left out of its
    name.

    Example:
        >>> group_paths([Path("a/seed-0/report"), Path("b/seed-0/report"), Path("a/seed-1/report")])
        {'a': [0, 2], 'b': [1]}
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, path in enumerate(paths):
        parts = (_SEED.sub("", part) for part in path.resolve().parts)
        groups.setdefault(tuple(part for part in parts if part), []).append(index)
    return dict(zip(_name(list(groups)), groups.values(), strict=True))


def _name(keys: list[tuple[str, ...]]) -> list[str]:
    if len(keys) == 1:
        return ["/".join(keys[0][-2:])]
    # the shortest keeps a part to be named by
    shortest = min(len(key) for key in keys) - 1
    n_before = min(_n_alike(keys), shortest)
    n_after = min(_n_alike([key[::-1] for key in keys]), shortest - n_before)
    return ["/".join(key[n_before : len(key) - n_after]) for key in keys]


def _n_alike(keys: list[tuple[str, ...]]) -> int:
    """Return how many parts all begin with."""
    return sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*keys, strict=False)))


def require_different_models(name: str, reports: Sequence[Report]) -> None:
    """Refuse a group that counts a model twice, which would make its spread look smaller than it is.

    Raises:
        ArtifactError: two reports are of one model file.
    """
    seen: dict[str, Path] = {}
    for report in reports:
        marks = (str(report.path.resolve()), _entry(report.metrics, "model").get("sha256"))
        for mark in filter(None, marks):
            if mark in seen:
                raise ArtifactError(
                    f"Reports of a group must be of different models: {seen[mark]} and {report.path} of group "
                    f"{name!r} are of the same model file. Name each seed's report once"
                )
            seen[mark] = report.path


def note_recipes(name: str, reports: Sequence[Report]) -> tuple[str, ...]:
    """Return a warning for each way in which a group's models differ in more, or in less, than their seed."""
    recipes = [_entry(_entry(_entry(report.metrics, "model"), "training"), "recipe") for report in reports]
    notes = []
    flat = [_flatten({part: _entry(recipe, part) for part in _RECIPE_PARTS}) for recipe in recipes]
    differing = sorted(
        {key for one in flat for key in one if any(one[key] != other.get(key) for other in flat)}
    )
    if differing:
        notes.append(f"The recipes of group {name!r} differ in more than the seed: {', '.join(differing)}")
    seeds = Counter(_entry(recipe, "runtime").get("seed") for recipe in recipes)
    repeated = [str(seed) for seed, count in seeds.items() if seed is not None and count > 1]
    if repeated:
        notes.append(f"Several models of group {name!r} have the same seed: {', '.join(repeated)}")
    return tuple(notes)


def _flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, entry in value.items():
        inner = _flatten(entry, f"{prefix}{key}.") if isinstance(entry, dict) else {prefix + key: entry}
        flat.update(inner)
    return flat


def _entry(record: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a part of what a report records, which may have been written by anyone."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}
