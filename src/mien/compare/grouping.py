"""Which reports are of models that differ only in their seed, according to their paths."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from mien.compare.reports import Report
from mien.errors import ArtifactError
from mien.runtime.nested import find_dict, flatten

# `seed-3`, `seed3` or `seed_3`, as the full name of a folder or as a delimited part of it.
_SEED = re.compile(r"^seed[-_]?\d+(?:$|[-_.])|[-_.]seed[-_]?\d+(?=$|[-_.])", re.IGNORECASE)
# The parts of a recipe that determine the model, unlike `runtime`.
_RECIPE_PARTS = ("model", "data", "schedule")


def group_paths(paths: Sequence[Path]) -> dict[str, list[int]]:
    """Return the indices of each group's reports by the group's name, in order of first appearance.

    A group is a path without its `seed-<number>`. Its name is what distinguishes it, see `name_paths`.

    Example:
        >>> group_paths([Path("a/seed-0/report"), Path("b/seed-0/report"), Path("a/seed-1/report")])
        {'a': [0, 2], 'b': [1]}
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, path in enumerate(paths):
        parts = (_SEED.sub("", part) for part in path.resolve().parts)
        groups.setdefault(tuple(part for part in parts if part), []).append(index)
    if len(groups) == 1:
        ((key, indices),) = groups.items()
        return {"/".join(key[-2:]): indices}
    return dict(zip(name_paths(list(groups)), groups.values(), strict=True))


def name_paths(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the shortest part of each path that distinguishes it: the end, without what all paths end with.

    A path that is given twice gets a number.

    Example:
        >>> name_paths([("runs", "a", "report"), ("old", "b", "report")])
        ['a', 'b']
        >>> name_paths([("x", "1", "r"), ("x", "2", "r"), ("y", "1", "r")])
        ['x/1', 'x/2', 'y/1']
    """
    # The shortest path keeps at least one part as its name.
    n_removable = min(map(len, paths)) - 1
    different = sorted(set(paths))
    reversed_parts = zip(*(path[::-1] for path in different), strict=False)
    n_suffix = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, reversed_parts))
    n_suffix = min(n_suffix, n_removable) if len(different) > 1 else 0
    stripped = {path: path[: len(path) - n_suffix] for path in different}
    n_parts = 1
    while len({path[-n_parts:] for path in stripped.values()}) < len(different):
        n_parts += 1
    names: list[str] = []
    n_seen: Counter[tuple[str, ...]] = Counter()
    for path in paths:
        n_seen[path] += 1
        number = f" ({n_seen[path]})" if n_seen[path] > 1 else ""
        names.append("/".join(stripped[path][-n_parts:]) + number)
    return names


def require_different_models(name: str, reports: Sequence[Report]) -> None:
    """Reject a group that includes a model twice, which would underestimate its standard deviation.

    Raises:
        ArtifactError: two reports are of the same model file.
    """
    seen: dict[str, Path] = {}
    for report in reports:
        identities = (str(report.path.resolve()), find_dict(report.metrics, "model").get("sha256"))
        for identity in filter(None, identities):
            if identity in seen:
                raise ArtifactError(
                    f"Reports of a group must be of different models: {seen[identity]} and {report.path} of group "
                    f"{name!r} are of the same model file. Name each seed's report once"
                )
            seen[identity] = report.path


def note_recipes(name: str, reports: Sequence[Report]) -> tuple[str, ...]:
    """Return warnings if the recipes of a group differ in more than the seed, or have the same seed."""
    recipes = [find_dict(report.metrics, "model", "training", "recipe") for report in reports]
    notes = []
    flat = [flatten({part: find_dict(recipe, part) for part in _RECIPE_PARTS}) for recipe in recipes]
    differing = sorted(
        {key for one in flat for key in one if any(one[key] != other.get(key) for other in flat)}
    )
    if differing:
        notes.append(f"The recipes of group {name!r} differ in more than the seed: {', '.join(differing)}")
    seeds = Counter(find_dict(recipe, "runtime").get("seed") for recipe in recipes)
    repeated = [str(seed) for seed, count in seeds.items() if seed is not None and count > 1]
    if repeated:
        notes.append(f"Several models of group {name!r} have the same seed: {', '.join(repeated)}")
    return tuple(notes)
