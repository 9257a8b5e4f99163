"""Which images a sample set has: the number per class and split, file names, and which are faulty.

The set is imbalanced like AffectNet, but less so: with AffectNet's proportions, 3000 faces would include only 27 of
contempt.
"""

import hashlib
from collections import Counter
from typing import Literal, NamedTuple

import numpy as np

from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES

Split = Literal["training", "validation"]
SPLITS: tuple[Split, ...] = ("training", "validation")
Fault = Literal["empty", "truncated", "html", "missing", "label"]

# Two of each class: one for training, one for validation.
MIN_FACES = 2 * len(AFFECTNET_CLASSES)
N_COPIES = 2
_VALIDATION_FRACTION = 1 / 6
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


class PlannedRow(NamedTuple):
    """A row of a sample set.

    Attributes:
        image_index: determines the image, together with the set's seed.
        class_name: one of AffectNet's classes.
        split: the list that contains the row.
        path: image file, relative to the image folder.
        fault: why the row is unusable, or None.
    """

    image_index: int
    class_name: str
    split: Split
    path: str
    fault: Fault | None = None


def plan_rows(n_faces: int, *, seed: int) -> list[PlannedRow]:
    """Return all rows, shuffled, training before validation.

    In two classes, `N_COPIES` in all, one validation row repeats a training image under another name, as happens in
    real sets.

    Args:
        n_faces: number of usable rows; `N_UNUSABLE` unusable ones are added.
        seed: seed of the set.

    Raises:
        DatasetError: a number is out of range.
    """
    if n_faces < MIN_FACES:
        raise DatasetError(f"A sample set needs at least {MIN_FACES} faces, two of each class, got {n_faces}")
    if seed < 0:
        raise DatasetError(f"The seed of a sample set must be 0 or more, got {seed}")
    n_validation = max(len(AFFECTNET_CLASSES), round(n_faces * _VALIDATION_FRACTION))
    training = _apportion(n_faces - n_validation, _TRAINING_PERCENT)
    validation = _apportion(n_validation, dict.fromkeys(AFFECTNET_CLASSES, 1))
    kinds: list[tuple[Split, str, Fault | None]] = [
        *(("training", name, None) for name in Counter(training).elements()),
        *(("validation", name, None) for name in Counter(validation).elements()),
        *((split, name, fault) for fault, split, name in _FAULTS),
    ]
    n_folders = 1 + len(kinds) // _FACES_PER_FOLDER
    rows = []
    for index, (split, class_name, fault) in enumerate(kinds, start=1):  # index 0 seeds the shuffling
        name = hashlib.sha256(f"mien sample {seed} {index}".encode()).hexdigest()[:56]
        path = f"{int(name[:8], 16) % n_folders}/{name}.jpg"
        rows.append(PlannedRow(index, class_name, split, path, fault))
    for class_name in ("Neutral", "Happy")[:N_COPIES]:
        first = {row.split: k for k, row in reversed([*enumerate(rows)])
                 if row.class_name == class_name and row.fault is None}  # fmt: skip
        rows[first["validation"]] = rows[first["validation"]]._replace(
            image_index=rows[first["training"]].image_index
        )
    shuffled = [rows[k] for k in np.random.default_rng([seed, 0]).permutation(len(rows))]
    return [row for split in SPLITS for row in shuffled if row.split == split]


def _apportion(total: int, weights: dict[str, int]) -> dict[str, int]:
    """Divide a total in proportion to weights, with at least one for each, by the largest remainders."""
    spare = total - len(weights)
    exact = {name: spare * weight / sum(weights.values()) for name, weight in weights.items()}
    counts = {name: 1 + int(quota) for name, quota in exact.items()}
    by_remainder = sorted(weights, key=lambda name: int(exact[name]) - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
