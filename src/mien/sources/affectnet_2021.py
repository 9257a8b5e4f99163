"""AffectNet's 2021 release: a folder of face crops and one of ``.npy`` annotations for each split."""

import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_8
from mien.faces.landmarks import N_LANDMARKS
from mien.inputs import read_regular
from mien.sources.files import iterate_names, list_names, printable
from mien.sources.record import FaceRecord, RejectedRow, Row, parse_affect

SET_FOLDERS = {"train": "train_set", "val": "val_set"}
EXPRESSION, VALENCE, AROUSAL, LANDMARKS = "exp", "val", "aro", "lnd"
ANNOTATIONS = (EXPRESSION, VALENCE, AROUSAL, LANDMARKS)

# 136 numbers of eight bytes and a header are under 2 kB: a larger file is something else.
MAX_ANNOTATION_BYTES = 65_536

# What numpy raises over damaged files, found by damaging some: its header is parsed as Python.
_DAMAGES = (
    ValueError,
    TypeError,
    EOFError,
    MemoryError,
    OverflowError,
    SyntaxError,
    SystemError,
    tokenize.TokenError,
)


@dataclass(frozen=True, slots=True)
class AffectNet2021:
    """The 2021 release. A row's key is its picture's path under `raw`.

    Attributes:
        raw: the folder that holds ``train_set`` and ``val_set``.
        splits: the splits that there are.
        notes: see `Source`.
    """

    raw: Path
    splits: tuple[str, ...]
    notes: tuple[str, ...] = ()
    name: str = field(default="affectnet-2021", init=False)
    classes: tuple[str, ...] = field(default=EXPRESSIONS_8, init=False)
    natural_crop: str = field(default="aligned", init=False)

    def rows(self) -> Iterator[Row]:
        """Yield a row for every picture and for every annotated number without one, by number.

        A split's names are held while it is read: about 0.4 GB for a million pictures.
        """
        for split in self.splits:
            folder = self.raw / SET_FOLDERS[split]
            pictures = list_names(folder / "images")
            annotated = {_annotated(name) for name in iterate_names(folder / "annotations")}
            lone = annotated.difference((Path(name).stem for name in pictures), [""])
            entries = [(name, "yes") for name in pictures] + [(f"{stem}.jpg", "no") for stem in lone]
            entries.sort(key=lambda entry: _by_number(Path(entry[0]).stem))
            for number, (name, has_picture) in enumerate(entries, start=1):
                file = f"{SET_FOLDERS[split]}/images/{name}"
                fields = {"file": file, "picture": has_picture}
                yield Row(split=split, number=number, key=printable(file), fields=fields)

    def class_of(self, row: Row) -> str:
        """Return the class that the row's ``_exp.npy`` names, or ``"?"``. It reads that file."""
        try:
            return EXPRESSIONS_8[self._label(row)]
        except RejectedRow:
            return "?"

    def parse(self, row: Row) -> FaceRecord:
        """Return the row's face; a missing ``_lnd``, ``_val`` or ``_aro`` file is left out with a warning."""
        if row.fields["picture"] == "no":
            raise RejectedRow("missing_file", "there are annotations of this number, but no picture")
        label = self._label(row)
        warnings: list[str] = []
        landmarks = self._landmarks(row, warnings)
        valence, arousal = (self._affect(row, name, warnings) for name in (VALENCE, AROUSAL))
        return FaceRecord(
            image=self.raw / row.fields["file"],
            label=label,
            landmarks=landmarks,
            valence=valence,
            arousal=arousal,
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def _label(self, row: Row) -> int:
        path = self._path(row, EXPRESSION)
        values = _read_npy(path)
        if values is None:
            raise RejectedRow("missing_annotation", f"there is no `{path.name}`")
        if values.size != 1 or values.flat[0] not in range(len(EXPRESSIONS_8)):
            shown = ", ".join(f"{value:g}" for value in values.flat[:3])
            raise RejectedRow(
                "unknown_label", f"expression {shown or 'empty'} is no whole number from 0 to 7"
            )
        return int(values.flat[0])

    def _affect(self, row: Row, name: str, warnings: list[str]) -> float | None:
        values = self._read_optional(row, name, warnings)
        return parse_affect(str(values.flat[0])) if values is not None and values.size == 1 else None

    def _landmarks(self, row: Row, warnings: list[str]) -> NDArray[np.float64] | None:
        values = self._read_optional(row, LANDMARKS, warnings)
        if values is None or np.isin(values, (-1, -2)).all():
            return None
        if not np.isfinite(values).all():
            warnings.append("landmark_value")
            return None
        if values.size != 2 * N_LANDMARKS:
            warnings.append("landmark_count")
            return None
        return values.reshape(N_LANDMARKS, 2)

    def _path(self, row: Row, name: str) -> Path:
        picture = self.raw / row.fields["file"]
        return picture.parent.parent / "annotations" / f"{picture.stem}_{name}.npy"

    def _read_optional(self, row: Row, name: str, warnings: list[str]) -> NDArray[np.float64] | None:
        try:
            values = _read_npy(self._path(row, name))
        except RejectedRow as rejected:
            warnings.append(rejected.reason)
            return None
        if values is None:
            warnings.append("missing_annotation")
        return values


def _read_npy(path: Path) -> NDArray[np.float64] | None:
    """Return an annotation's numbers, also where they are stored as text; None where there is no such file."""
    try:
        data = read_regular(path, max_bytes=MAX_ANNOTATION_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RejectedRow("broken_annotation", f"`{path.name}`: {error.strerror}") from None
    try:
        values: NDArray[np.generic] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        if values.dtype.kind not in "iufUS":
            raise ValueError(f"holds {values.dtype}, no numbers")
        return values.astype(np.float64)
    except _DAMAGES as error:
        raise RejectedRow("broken_annotation", f"`{path.name}`: {error}") from None


def open_affectnet_2021(raw: Path) -> AffectNet2021:
    """Return the reader of a folder with ``train_set``, ``val_set`` or both.

    Raises:
        DatasetError: one of them lacks its ``images`` or ``annotations`` folder.
    """
    splits = tuple(split for split, folder in SET_FOLDERS.items() if (raw / folder).is_dir())
    for split in splits:
        for part in ("images", "annotations"):
            folder = raw / SET_FOLDERS[split] / part
            if not folder.is_dir():
                raise DatasetError(f"`{folder.parent}` must hold `{part}/`, there is none: unpack it there")
        _require_npy(raw / SET_FOLDERS[split] / "annotations")
    absent = [folder for split, folder in SET_FOLDERS.items() if split not in splits]
    others = [name for name in list_names(raw) if (raw / name).is_dir() and name not in SET_FOLDERS.values()]
    notes = (
        *(f"There is no `{folder}`: its split is left out." for folder in absent),
        *(f"The folder `{printable(name)}` is passed over: its faces are in no split." for name in others),
    )
    return AffectNet2021(raw=raw.resolve(), splits=splits, notes=notes)


def _require_npy(folder: Path) -> None:
    """Refuse annotations of another kind, such as the JSON files of AffectNet+, before every row is rejected for them."""
    names = list(islice(iterate_names(folder), 1000))
    if names and not any(map(_annotated, names)):
        raise DatasetError(
            f"`{folder}` must hold files such as `0_exp.npy`, it holds `{printable(min(names))}`, which is not read: "
            "write a CSV of path, label and split for `mien prepare csv`"
        )


def _annotated(name: str) -> str:
    """Return the number that an annotation file is of, or "" where it is none.

    Example:
        >>> _annotated("12_exp.npy"), _annotated("readme.txt")
        ('12', '')
    """
    stem, _, kind = name.removesuffix(".npy").rpartition("_")
    return stem if name.endswith(".npy") and kind in ANNOTATIONS else ""


def _by_number(stem: str) -> tuple[bool, int, str]:
    is_number = stem.isascii() and stem.isdecimal()
    return (not is_number, int(stem) if is_number else 0, stem)
