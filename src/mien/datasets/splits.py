"""Splits: the names that data sets give them, and the assignment of faces in a set that has none."""

import hashlib
import re
from collections.abc import Mapping

from mien.formats.pack.grouping import connect

_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "development": "val", "publictest": "val",
    "test": "test", "testing": "test", "privatetest": "test",
}  # fmt: skip
_SUFFIXES = re.compile(r"[ _-]?(sets?|split|data|images)$")
# "patition" is RAF-DB's spelling.
_COLUMN_WORDS = frozenset(
    (
        *("split", "splits", "phase", "usage", "set", "subset", "partition", "patition", "fold", "folds"),
        *("train", "training", "test", "testing"),
    )
)


def parse_split(word: str) -> str | None:
    """Return the split that a word means, or None.

    ``PublicTest`` and ``PrivateTest`` are FER2013's.

    Example:
        >>> parse_split("Validation"), parse_split("train_set"), parse_split("happy")
        ('val', 'train', None)
    """
    word = word.strip().lower()
    return _SPLIT_NAMES.get(word) or _SPLIT_NAMES.get(_SUFFIXES.sub("", word))


def find_split(text: str) -> str | None:
    """Return the split that a word means; for a path, the split of a folder or of the prefix of the file name.

    Example:
        >>> find_split("Test"), find_split("faces/val/7.jpg"), find_split("train_00001.jpg"), find_split("a/7.jpg")
        ('test', 'val', 'train', None)
    """
    *folders, name = re.split(r"[/\\]", text)
    words = [text, *folders, *re.findall(r"^([A-Za-z]+)[_-]", name)]
    return next((split for word in words if (split := parse_split(word))), None)


def is_split_column(column: str) -> bool:
    """Return whether the name of a column contains a word for splits.

    Example:
        >>> is_split_column("is_test"), is_split_column("dataSplit"), is_split_column("label")
        (True, True, False)
    """
    return not _COLUMN_WORDS.isdisjoint(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column))


def assign_split(key: str, val_fraction: float) -> str:
    """Return ``val`` for about `val_fraction` of all keys and ``train`` for the others.

    It is a hash of the key alone, so existing faces keep their split when the set grows.
    """
    digest = hashlib.sha256(key.encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") < val_fraction * 2**64 else "train"


# The person and the clip of faces, each empty where the data set names none.
PersonAndClip = tuple[str, str]


def choose_val_persons(counts: Mapping[PersonAndClip, int], val_fraction: float) -> frozenset[PersonAndClip]:
    """Choose persons and clips for ``val`` that have about `val_fraction` of the faces; the others are ``train``.

    Persons who share a clip, and clips that share a person, stay together. The order in which they are considered is that
    of a hash of their names. If there are several, at least one is chosen and at least one is not.

    Args:
        counts: number of faces of each person and clip; at least one of the two is named.
        val_fraction: in [0, 1).

    Example:
        >>> sorted(choose_val_persons({("Ann", ""): 5, ("Bo", ""): 5, ("Cy", ""): 5}, 0.3))
        [('Bo', '')]
    """
    persons, clips = (
        ([name or None for name in names] for names in zip(*counts, strict=True)) if counts else ([], [])
    )
    by_group: dict[int, list[PersonAndClip]] = {}
    for names, group in zip(counts, connect(persons, clips).tolist(), strict=True):
        by_group.setdefault(group, []).append(names)
    parts = list(by_group.values())
    if not val_fraction or len(parts) < 2:
        return frozenset()
    parts.sort(key=lambda part: hashlib.sha256("\0".join(min(part)).encode()).digest())
    target, n_chosen = val_fraction * sum(counts.values()), 0
    chosen: list[list[PersonAndClip]] = []
    for part in parts:
        n_faces = sum(counts[names] for names in part)
        if len(chosen) < len(parts) - 1 and abs(n_chosen + n_faces - target) < abs(n_chosen - target):
            chosen.append(part)
            n_chosen += n_faces
    smallest = min(parts, key=lambda part: sum(counts[names] for names in part))
    return frozenset(names for part in chosen or [smallest] for names in part)


def require_val_fraction(val_fraction: float) -> None:
    """Check the fraction of faces assigned to ``val``.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"`val_fraction` must be in [0, 1), got {val_fraction!r}")
