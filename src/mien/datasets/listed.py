"""Datasets that are described by a list, folders or file names, with all of a face's labels in one row.

A reader states how its rows are listed; this module assigns splits, by person and clip where these are known, and turns
rows into records.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_affect_pair, parse_box_xyxy
from mien.datasets.files import list_names, locate, printable
from mien.datasets.splits import PersonAndClip, assign_split, choose_val_persons, require_val_fraction
from mien.errors import DatasetError
from mien.faces.crop_options import CropMethod
from mien.formats.pack.schema import NO_LABEL, SPLITS


class ListedFace(NamedTuple):
    """A row of a dataset.

    Attributes:
        file: path of the image under the set's folder, with ``/`` between folders.
        class_name: its class; empty if it has a `problem`, or if the set does not annotate its expression.
        problem: reason and detail of a row that cannot be used, see `RejectedRow`.
        split: ``train``, ``val`` or ``test``; empty if the set has no splits.
        person: see `FaceRecord`; empty if unknown.
        clip: see `FaceRecord`; empty if unknown.
        box_xyxy: left, top, right and bottom in pixels, as written; empty if there is none.
        attributes: names and values, see `FaceRecord`.
        affect: valence and arousal in [-1, 1], as written; empty if there are none.
    """

    file: str
    class_name: str
    problem: tuple[str, str] | None = None
    split: str = ""
    person: str = ""
    clip: str = ""
    box_xyxy: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    affect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedFaces:
    """A dataset of `ListedFace` rows. The key of a row is the path of its image under `root`.

    Attributes:
        root: the real path of the set's folder.
        name: see `FaceDataset`.
        classes: see `FaceDataset`.
        natural_crop: see `FaceDataset`.
        list_faces: yields the rows, given the folder; a function that can be pickled.
        annotate: completes a record from files of its own, given the folder, the path in the row and the record; None if there is
            nothing to add. A function that can be pickled.
        notes: see `FaceDataset`.
        val_fraction: fraction of faces assigned to ``val`` if the rows have no split.
        val_persons: the persons and clips that are assigned to ``val`` if the rows have no split.
        is_cropped: see `FaceRecord`.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    natural_crop: CropMethod
    list_faces: Callable[[Path], Iterator[ListedFace]]
    annotate: Callable[[Path, str, FaceRecord], FaceRecord] | None = None
    notes: tuple[str, ...] = ()
    val_fraction: float = 0.0
    val_persons: frozenset[PersonAndClip] = frozenset()
    is_cropped: bool = False

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each split, numbered in the order of the list."""
        for split in SPLITS:
            for number, face in enumerate(self.list_faces(self.root), start=1):
                if self._split_of(face) == split:
                    fields = {"class": face.class_name, "person": face.person, "clip": face.clip}
                    fields |= {f"box {index}": value for index, value in enumerate(face.box_xyxy)}
                    fields |= {f"attribute {name}": value for name, value in face.attributes}
                    fields |= dict(zip(("valence", "arousal"), face.affect, strict=False))
                    if face.problem is not None:
                        fields["reason"], fields["detail"] = face.problem
                    fields["file"] = face.file
                    yield RawRow(split=split, number=number, key=printable(face.file), fields=fields)

    def class_of(self, row: RawRow) -> str:
        """Return the row's class, or ``"?"``."""
        return row.fields["class"] or "?"

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face; a box that cannot be parsed is dropped with a warning."""
        fields = row.fields
        if "reason" in fields:
            raise RejectedRow(fields["reason"], fields["detail"])
        box_xyxy, warnings = parse_box_xyxy(
            tuple(value for name, value in fields.items() if name.startswith("box "))
        )
        valence, arousal, affect_warnings = parse_affect_pair(
            fields.get("valence", ""), fields.get("arousal", "")
        )
        record = FaceRecord(
            image=locate(self.root, fields["file"]),
            label=self.classes.index(fields["class"]) if fields["class"] else NO_LABEL,
            box_xyxy=box_xyxy,
            valence=valence,
            arousal=arousal,
            is_cropped=self.is_cropped,
            warnings=(*warnings, *affect_warnings),
            person=fields["person"] or None,
            clip=fields["clip"] or None,
            attributes={
                name.removeprefix("attribute "): value
                for name, value in fields.items()
                if name.startswith("attribute ")
            },
        )
        return record if self.annotate is None else self.annotate(self.root, fields["file"], record)

    def _split_of(self, face: ListedFace) -> str:
        if face.split or face.problem is not None:
            return face.split or "train"
        if face.person or face.clip:
            return "val" if (face.person, face.clip) in self.val_persons else "train"
        return assign_split(face.file, self.val_fraction)


def draw_val(dataset: ListedFaces, val_fraction: float) -> FaceDataset:
    """Return a dataset without splits of its own with about `val_fraction` of its faces assigned to ``val``.

    Raises:
        DatasetError: it lists no face, or none that can be used.
        ValueError: the fraction is not in [0, 1).
    """
    require_val_fraction(val_fraction)
    counts: Counter[PersonAndClip] = Counter()
    first_problem = ""
    has_usable = False
    for face in dataset.list_faces(dataset.root):
        counts[face.person, face.clip] += 1
        has_usable |= face.problem is None
        if face.problem is not None and not first_problem:
            first_problem = f": for `{printable(face.file)}`, {face.problem[1]}"
    if not has_usable:
        raise DatasetError(
            f"`{dataset.root}` holds no image of {dataset.name}{first_problem}. Give the folder that does"
        )
    del counts["", ""]
    val_persons = choose_val_persons(counts, val_fraction)
    notes = dataset.notes + ((note_val_persons(counts, val_persons),) if counts else ())
    return replace(dataset, val_fraction=val_fraction, val_persons=val_persons, notes=notes)


def note_val_persons(counts: Counter[PersonAndClip], val_persons: frozenset[PersonAndClip]) -> str:
    """Return a note on how ``val`` was drawn by person, or by clip if no person is known."""
    kind, position = ("persons", 0) if any(person for person, _ in counts) else ("clips", 1)
    n_val = len({names[position] for names in val_persons} - {""})
    n_all = len({names[position] for names in counts} - {""})
    drawn = (
        f"{n_val:,} of {n_all:,} {kind}"
        if n_all > 1
        else f"and all faces are of one {kind[:-1]}: val is empty"
    )
    return f"The set has no splits: val is drawn by {kind[:-1]}, {drawn}."


def files_below(root: Path, suffixes: frozenset[str]) -> Iterator[str]:
    """Yield the files below a folder that have one of the suffixes in lower case, sorted, as paths with ``/``.

    Links to folders are followed once.
    """
    pending, seen = [""], set[Path]()
    while pending:
        folder = pending.pop()
        real = (root / folder).resolve()
        if real in seen:
            continue
        seen.add(real)
        inner = []
        for name in list_names(root / folder):
            path = f"{folder}/{name}" if folder else name
            if (root / path).is_dir():
                inner.append(path)
            elif Path(name).suffix.lower() in suffixes:
                yield path
        pending += reversed(inner)
