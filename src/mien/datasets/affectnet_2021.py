"""AffectNet's 2021 release: for each split, a folder of face crops and a folder of ``.npy`` annotations."""

import io
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_affect_pair
from mien.datasets.files import iterate_names, list_names, printable
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_8
from mien.faces.crop_options import CropMethod
from mien.faces.landmarks import N_LANDMARKS
from mien.runtime.regular_files import read_regular

SET_FOLDERS = {"train": "train_set", "val": "val_set", "test": "test_set"}
EXPRESSION, VALENCE, AROUSAL, LANDMARKS = "exp", "val", "aro", "lnd"
ANNOTATIONS = (EXPRESSION, VALENCE, AROUSAL, LANDMARKS)

# 136 numbers of eight bytes and a header take under 2 kB: a much larger file is something else.
MAX_ANNOTATION_BYTES = 65_536

# What numpy raises for damaged files, found by damaging some: it parses the header as Python.
_DAMAGE_ERRORS = (
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
    """The 2021 release. The key of a row is the path of its photo under `raw`.

    Attributes:
        raw: the folder that holds ``train_set`` and ``val_set``.
        splits: the splits that are present.
        notes: see `FaceDataset`.
    """

    raw: Path
    splits: tuple[str, ...]
    notes: tuple[str, ...] = ()
    name: str = field(default="affectnet-2021", init=False)
    classes: tuple[str, ...] = field(default=EXPRESSIONS_8, init=False)
    natural_crop: CropMethod = field(default="aligned", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for every photo and for every annotated number without one, in numerical order.

        The names of a split are held in memory while it is read: about 0.4 GB for a million photos.
        """
        for split in self.splits:
            yield from annotated_photos(self.raw, SET_FOLDERS[split], split, _annotated_number)

    def class_of(self, row: RawRow) -> str:
        """Return the class in the row's ``_exp.npy``, which is read from disk, or ``"?"``."""
        try:
            return EXPRESSIONS_8[self._label(row)]
        except RejectedRow:
            return "?"

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face; a missing ``_lnd``, ``_val`` or ``_aro`` file only causes a warning."""
        require_photo(row)
        label = self._label(row)
        warnings: list[str] = []
        landmarks = self._landmarks(row, warnings)
        valence, arousal, affect_warnings = parse_affect_pair(
            self._affect_cell(row, VALENCE, warnings), self._affect_cell(row, AROUSAL, warnings)
        )
        return FaceRecord(
            image=self.raw / row.fields["file"],
            label=label,
            landmarks=landmarks,
            valence=valence,
            arousal=arousal,
            warnings=tuple(dict.fromkeys((*warnings, *affect_warnings))),
        )

    def _label(self, row: RawRow) -> int:
        path = self._path(row, EXPRESSION)
        values = _read_npy(path)
        if values is None:
            raise RejectedRow("missing_annotation", f"there is no `{path.name}`")
        if values.size != 1 or values.flat[0] not in range(len(EXPRESSIONS_8)):
            shown = ", ".join(f"{value:g}" for value in values.flat[:3])
            raise RejectedRow("unknown_label", f"expression {shown or 'empty'} is not an integer from 0 to 7")
        return int(values.flat[0])

    def _affect_cell(self, row: RawRow, name: str, warnings: list[str]) -> str:
        values = self._read_optional(row, name, warnings)
        return str(values.flat[0]) if values is not None and values.size == 1 else ""

    def _landmarks(self, row: RawRow, warnings: list[str]) -> NDArray[np.float64] | None:
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

    def _path(self, row: RawRow, name: str) -> Path:
        photo = self.raw / row.fields["file"]
        return photo.parent.parent / "annotations" / f"{photo.stem}_{name}.npy"

    def _read_optional(self, row: RawRow, name: str, warnings: list[str]) -> NDArray[np.float64] | None:
        try:
            values = _read_npy(self._path(row, name))
        except RejectedRow as rejected:
            warnings.append(rejected.reason)
            return None
        if values is None:
            warnings.append("missing_annotation")
        return values


def annotated_photos(
    raw: Path, folder: str, split: str, annotated_number: Callable[[str], str]
) -> Iterator[RawRow]:
    """Yield a row for every photo of a split and for every annotated number without one, in numerical order.

    Args:
        raw: the set.
        folder: the split's folder under ``raw``, with ``images`` and ``annotations``.
        split: the split.
        annotated_number: returns the number in the name of an annotation file, "" for other files.
    """
    photos = list_names(raw / folder / "images")
    annotated = {annotated_number(name) for name in iterate_names(raw / folder / "annotations")}
    unmatched = annotated.difference((Path(name).stem for name in photos), [""])
    entries = [(name, "yes") for name in photos] + [(f"{stem}.jpg", "no") for stem in unmatched]
    entries.sort(key=_numerical_order)
    for number, (name, has_image) in enumerate(entries, start=1):
        file = f"{folder}/images/{name}"
        yield RawRow(
            split=split, number=number, key=printable(file), fields={"file": file, "photo": has_image}
        )


def require_photo(row: RawRow) -> None:
    """Reject a row of `annotated_photos` that has no photo.

    Raises:
        RejectedRow: ``missing_file``.
    """
    if row.fields["photo"] == "no":
        raise RejectedRow("missing_file", "there are annotations with this number, but no photo")


def _read_npy(path: Path) -> NDArray[np.float64] | None:
    """Return the numbers in an annotation file, which may be stored as text; None if there is no such file."""
    try:
        data = read_regular(path, max_bytes=MAX_ANNOTATION_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RejectedRow("broken_annotation", f"`{path.name}`: {error.strerror}") from None
    try:
        values: NDArray[np.generic] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        if values.dtype.kind not in "iufUS":
            raise ValueError(f"contains {values.dtype}, not numbers")
        return values.astype(np.float64)
    except _DAMAGE_ERRORS as error:
        raise RejectedRow("broken_annotation", f"`{path.name}`: {error}") from None


def open_affectnet_2021(raw: Path) -> AffectNet2021:
    """Open a folder with ``train_set``, ``val_set`` or both, and perhaps a ``test_set``.

    A ``test_set`` without annotations is left out: the labels of AffectNet's own test set were never released.

    Raises:
        DatasetError: one of them lacks its ``images`` or ``annotations`` folder, or its annotations are in another format.
    """
    splits = tuple(split for split, folder in SET_FOLDERS.items() if (raw / folder).is_dir())
    notes = [
        f"There is no `{folder}`: its split is skipped."
        for split, folder in SET_FOLDERS.items()
        if split not in (*splits, "test")
    ]
    if "test" in splits and not (raw / SET_FOLDERS["test"] / "annotations").is_dir():
        splits = tuple(split for split in splits if split != "test")
        notes.append("`test_set` has no `annotations`: its faces have no labels, and are left out.")
    require_photo_folders([raw / SET_FOLDERS[split] for split in splits], _annotated_number, "0_exp.npy")
    return AffectNet2021(
        raw=raw.resolve(), splits=splits, notes=(*notes, *note_other_folders(raw, SET_FOLDERS.values()))
    )


def require_photo_folders(folders: list[Path], annotated_number: Callable[[str], str], example: str) -> None:
    """Require ``images`` and ``annotations`` in each folder, with annotations of the release's format.

    Args:
        folders: the folder of each split.
        annotated_number: see `annotated_photos`.
        example: the name of such a file.

    Raises:
        DatasetError: there is no such folder, or only other files in it.
    """
    for folder in folders:
        for part in ("images", "annotations"):
            if not (folder / part).is_dir():
                raise DatasetError(f"`{folder}` must hold `{part}/`, there is none: unpack it there")
        names = list(islice(iterate_names(folder / "annotations"), 1000))
        if names and not any(map(annotated_number, names)):
            raise DatasetError(
                f"`{folder / 'annotations'}` must hold files such as `{example}`, it holds `{printable(min(names))}`, "
                "which cannot be read: write a CSV of path, label and split for `mien prepare csv`"
            )


def note_other_folders(raw: Path, used: Iterable[str]) -> tuple[str, ...]:
    """Return notes on the folders of a set that are in no split."""
    others = [name for name in list_names(raw) if (raw / name).is_dir() and name not in set(used)]
    return tuple(f"The folder `{printable(name)}` is ignored: its faces are in no split." for name in others)


def _annotated_number(name: str) -> str:
    """Return the number in the name of an annotation file, or "" if it is not one.

    Example:
        >>> _annotated_number("12_exp.npy"), _annotated_number("readme.txt")
        ('12', '')
    """
    stem, _, kind = name.removesuffix(".npy").rpartition("_")
    return stem if name.endswith(".npy") and kind in ANNOTATIONS else ""


def _numerical_order(entry: tuple[str, str]) -> tuple[bool, int, str]:
    stem = Path(entry[0]).stem
    is_number = stem.isascii() and stem.isdecimal()
    return (not is_number, int(stem) if is_number else 0, stem)
