"""AffectNet+: the faces of AffectNet with soft labels, a JSON file per image.

Fard, Hosseini, Sweeny, Mahoor 2024, https://arxiv.org/abs/2410.22506: hard label of the human annotators, soft label over
the eight expressions, difficulty (easy, challenging, difficult), and as metadata age, gender, ethnicity, head pose, facial
landmarks, valence and arousal. The paper does not specify the files. Folders and keys follow the loaders that people
have published: ``human_annotated/{train_set,validation_set}/{images,annotations}/<id>.{jpg,json}``, and in each JSON
``human-label`` (0 to 7 as in AffectNet), ``soft-label`` (eight numbers), ``subset`` and ``metadata``; case, hyphens and
underscores in keys make no difference. Assumed, and said in the summary: soft labels are in the order of AffectNet's
numbers and are divided by their sum; landmarks are read if there are 68 of them, as pixels of the image.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.affectnet_2021 import (
    annotated_photos,
    note_other_folders,
    require_photo,
    require_photo_folders,
)
from mien.datasets.base import FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_affect_pair, parse_integer
from mien.datasets.files import iterate_names
from mien.faces.classes import EXPRESSIONS_8
from mien.faces.crop_options import CropMethod
from mien.faces.landmarks import N_LANDMARKS
from mien.runtime.json_text import parse_json
from mien.runtime.regular_files import read_regular

SET_FOLDERS = {"train": ("train_set",), "val": ("validation_set", "val_set"), "test": ("test_set",)}
# Each of the two halves is unpacked to a folder of its own; only this one has human labels.
HUMAN_FOLDER = "human_annotated"
MAX_ANNOTATION_BYTES = 1_000_000
ASSUMED = (
    "AffectNet+ is read as its published loaders read it: soft labels in the order of AffectNet's numbers, divided by "
    "their sum; subset (difficulty), age, gender, ethnicity and head pose are not read."
)


@dataclass(frozen=True, slots=True)
class AffectNetPlus:
    """AffectNet+. The key of a row is the path of its photo under `raw`.

    Attributes:
        raw: the real path of the folder that holds ``train_set`` and ``validation_set``.
        folders: the folder of each split that is there.
        notes: see `FaceDataset`.
    """

    raw: Path
    folders: dict[str, str]
    notes: tuple[str, ...] = ()
    name: str = field(default="affectnet-plus", init=False)
    classes: tuple[str, ...] = field(default=EXPRESSIONS_8, init=False)
    natural_crop: CropMethod = field(default="aligned", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for every photo and for every annotated number without one, in numerical order."""
        for split, folder in self.folders.items():
            yield from annotated_photos(self.raw, folder, split, _annotated_number)

    def class_of(self, row: RawRow) -> str:
        """Return the class of the human label in the row's JSON, which is read from disk, or ``"?"``."""
        try:
            return EXPRESSIONS_8[_parse_label(self._read(row))]
        except RejectedRow:
            return "?"

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face; a soft label or landmarks that cannot be used are dropped with a warning."""
        require_photo(row)
        annotation = self._read(row)
        metadata = annotation.get("metadata")
        metadata = _plain_keys(metadata) if isinstance(metadata, dict) else {}
        distribution, label_warnings = _parse_soft_label(annotation.get("softlabel"))
        landmarks, landmark_warnings = _parse_points(metadata.get("landmarks"))
        valence, arousal, affect_warnings = parse_affect_pair(
            str(metadata.get("valence", "")), str(metadata.get("arousal", ""))
        )
        return FaceRecord(
            image=self.raw / row.fields["file"],
            label=_parse_label(annotation),
            distribution=distribution,
            landmarks=landmarks,
            valence=valence,
            arousal=arousal,
            warnings=(*label_warnings, *landmark_warnings, *affect_warnings),
        )

    def _read(self, row: RawRow) -> dict[str, Any]:
        photo = self.raw / row.fields["file"]
        path = photo.parent.parent / "annotations" / f"{photo.stem}.json"
        try:
            annotation = parse_json(read_regular(path, max_bytes=MAX_ANNOTATION_BYTES))
        except FileNotFoundError:
            raise RejectedRow("missing_annotation", f"there is no `{path.name}`") from None
        except (OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RejectedRow("broken_annotation", f"`{path.name}`: {reason}") from None
        if not isinstance(annotation, dict):
            raise RejectedRow("broken_annotation", f"`{path.name}` holds no JSON object")
        return _plain_keys(annotation)


def find_affectnet_plus(raw: Path) -> Path | None:
    """Return the folder of AffectNet+'s splits, ``raw`` or the human half in it; None if its annotations are not JSON."""
    for folder in (raw, raw / HUMAN_FOLDER):
        for names in SET_FOLDERS.values():
            for name in names:
                annotations = folder / name / "annotations"
                names_in_it = list(islice(iterate_names(annotations), 1000)) if annotations.is_dir() else []
                if any(map(_annotated_number, names_in_it)) and not any(
                    n.endswith(".npy") for n in names_in_it
                ):
                    return folder
    return None


def open_affectnet_plus(raw: Path, above: Path) -> AffectNetPlus:
    """Open the folder that `find_affectnet_plus` found in ``above``.

    Raises:
        DatasetError: a split lacks its ``images`` or ``annotations``, or has annotations in another format.
    """
    found = {
        split: next((name for name in names if (raw / name).is_dir()), None)
        for split, names in SET_FOLDERS.items()
    }
    folders = {split: name for split, name in found.items() if name is not None}
    require_photo_folders([raw / folder for folder in folders.values()], _annotated_number, "0.json")
    notes = [
        f"There is no `{SET_FOLDERS[split][0]}`: its split is skipped."
        for split in ("train", "val")
        if split not in folders
    ]
    notes += note_other_folders(raw, folders.values())
    if raw != above:
        notes += note_other_folders(above, [raw.name])
    return AffectNetPlus(raw=raw.resolve(), folders=folders, notes=(ASSUMED, *notes))


def _annotated_number(name: str) -> str:
    return name.removesuffix(".json") if name.endswith(".json") else ""


def _plain_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by their keys in lower case, without hyphens, underscores and blanks."""
    return {"".join(c for c in key.lower() if c not in "-_ "): value for key, value in values.items()}


def _parse_label(annotation: Mapping[str, Any]) -> int:
    written = annotation.get("humanlabel")
    if written is None:
        raise RejectedRow("missing_annotation", "its JSON has no `human-label`")
    label = parse_integer(str(written))
    if label is None or label not in range(len(EXPRESSIONS_8)):
        raise RejectedRow("unknown_label", f"human-label {str(written)[:40]!r} is not an integer from 0 to 7")
    return label


def _parse_soft_label(value: object) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Return fractions that sum to 1, or None and a warning code unless there is simply no soft label."""
    if value is None:
        return None, ()
    numbers = _parse_numbers(value)
    if (
        numbers is None
        or numbers.shape != (len(EXPRESSIONS_8),)
        or numbers.min() < 0
        or not numbers.sum() > 0
    ):
        return None, ("soft_label_value",)
    return tuple((numbers / numbers.sum()).tolist()), ()


def _parse_points(value: object) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Return ``(68, 2)`` landmarks from any nesting of 136 numbers, or None and a warning code unless there are none."""
    if value is None or value in ([], ""):
        return None, ()
    numbers = _parse_numbers(value)
    if numbers is None:
        return None, ("landmark_value",)
    if np.isin(numbers, (-1, -2)).all():
        return None, ()
    if numbers.size != 2 * N_LANDMARKS:
        return None, ("landmark_count",)
    return numbers.reshape(N_LANDMARKS, 2), ()


def _parse_numbers(value: object) -> NDArray[np.float64] | None:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if np.isfinite(numbers).all() and math.prod(numbers.shape) else None
