"""Which pictures a sample set has: how many of each class in each split, under which names, and which are bad.

AffectNet's imbalance is kept in kind, not in degree: at its true shares three thousand faces would hold 27 of
contempt.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES

Split = Literal["training", "validation"]
SPLITS: tuple[Split, ...] = ("training", "validation")
Fault = Literal["empty", "truncated", "html", "missing", "label"]

# Two of each class: one to train on, one to validate with.
MIN_FACES = 2 * len(AFFECTNET_CLASSES)
N_COPIES = 2
_VALIDATION_SHARE = 1 / 6
_TRAINING_PERCENT = {
    "Neutral": 17, "Happy": 23, "Sad": 10, "Surprise": 8, "Fear": 6, "Disgust": 5, "Anger": 10, "Contempt": 3,
    "NoneOfEight": 6, "Uncertain": 4, "NonFace": 8,
}  # fmt: skip
_FAULTS: tuple[tuple[Fault, Split, str], ...] = (
    ("empty", "training", "Happy"),
    ("html", "training", "Neutral"),
    ("missing", "training", "Sad"),
    ("label", "training", "Happy"),
    ("truncated", "validation", "Surprise"),
)
N_UNUSABLE = len(_FAULTS)
_FACES_PER_FOLDER = 250


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row of a sample set.

    Attributes:
        index: what the picture is drawn from, together with the set's seed.
        class_name: one of AffectNet's classes.
        split: the list that the row stands in.
        path: of its file, relative to the folder of pictures.
        fault: why the row cannot be used, or None.
    """

    index: int
    class_name: str
    split: Split
    path: str
    fault: Fault | None = None


def plan_rows(n_faces: int, *, seed: int) -> list[PlannedRow]:
    """Return all rows, training before validation, each in its order.

    Args:
        n_faces: usable rows; `N_UNUSABLE` more cannot be used. The last `N_COPIES` of validation that are
            shuffled in are copies of training pictures.
        seed: of the set.

    Raises:
        DatasetError: a number is out of range.
    """
    if n_faces < MIN_FACES:
        raise DatasetError(f"A sample set needs at least {MIN_FACES} faces, two of each class, got {n_faces}")
    if seed < 0:
        raise DatasetError(f"The seed of a sample set must be 0 or more, got {seed}")
    rng = np.random.default_rng([seed, 0])
    kinds: list[tuple[Split, str, Fault | None]] = [
        (split, name, None) for split in SPLITS for name in _classes_of(split, n_faces)
    ]
    kinds += [(split, name, fault) for fault, split, name in _FAULTS]
    n_folders = 1 + len(kinds) // _FACES_PER_FOLDER
    # index 0 is this plan's own
    rows = [
        PlannedRow(index, name, split, _path(seed, index, n_folders), fault)
        for index, (split, name, fault) in enumerate(kinds, start=1)
    ]
    rows = _with_copies(rows)
    shuffled = [rows[k] for k in rng.permutation(len(rows))]
    return [row for split in SPLITS for row in shuffled if row.split == split]


def _classes_of(split: Split, n_faces: int) -> list[str]:
    n_validation = max(len(AFFECTNET_CLASSES), round(n_faces * _VALIDATION_SHARE))
    if split == "validation":
        counts = _allot(n_validation, dict.fromkeys(AFFECTNET_CLASSES, 1))
    else:
        counts = _allot(n_faces - n_validation, _TRAINING_PERCENT)
    return list(Counter(counts).elements())


def _allot(total: int, weights: dict[str, int]) -> dict[str, int]:
    """Share a total by weights, at least one to each and what rounding leaves to the heaviest first."""
    spare = total - len(weights)
    exact = {name: spare * weight / sum(weights.values()) for name, weight in weights.items()}
    counts = {name: 1 + int(share) for name, share in exact.items()}
    by_need = sorted(weights, key=lambda name: int(exact[name]) - exact[name])
    for name in by_need[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _path(seed: int, index: int, n_folders: int) -> str:
    name = hashlib.sha256(f"mien sample {seed} {index}".encode()).hexdigest()[:56]
    return f"{int(name[:8], 16) % n_folders}/{name}.jpg"


def _with_copies(rows: list[PlannedRow]) -> list[PlannedRow]:
    """Let the first validation faces of two classes show training pictures, as happens in real sets."""
    rows = list(rows)
    for name in ("Neutral", "Happy")[:N_COPIES]:
        places = {
            row.split: k
            for k, row in reversed(list(enumerate(rows)))
            if row.class_name == name and not row.fault
        }
        copied, copy = places["training"], places["validation"]
        rows[copy] = replace(rows[copy], index=rows[copied].index)
    return rows
