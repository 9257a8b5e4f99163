"""A pack that was written as Parquet: its faces are packed as they are, and get the same content hash."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow.parquet as pq

from mien.datasets.base import FaceRecord, RawRow, RejectedRow
from mien.datasets.parquet_groups import read_group, read_schema
from mien.errors import DatasetError
from mien.faces.crop import CropContract
from mien.faces.crop_options import CropMethod
from mien.faces.landmarks import N_LANDMARKS
from mien.formats.pack.parquet import IMAGE, LABEL, PackedParquet, copied_columns
from mien.formats.pack.schema import NO_LABEL, OPTIONAL_COLUMNS, SPLITS
from mien.runtime.json_text import parse_json
from mien.tasks import Annotations, optional_tasks, task_shapes


@dataclass(frozen=True, slots=True)
class PackedFaces:
    """Files that mien wrote from a pack. The key of a row is that of the face in the pack.

    Attributes:
        files: split and real path of each file, in order.
        classes: class names in order.
        crop: how the faces were cropped.
        name: kind of dataset that the pack was made from.
        terms: its terms of use, or None.
        annotations: the columns of optional tasks.
        notes: see `FaceDataset`.
    """

    files: tuple[tuple[str, Path], ...]
    classes: tuple[str, ...]
    crop: CropContract
    name: str
    terms: str | None
    annotations: Annotations = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def natural_crop(self) -> CropMethod:
        """The pack's method."""
        return self.crop.method

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each split, in the order of the pack."""
        for split in SPLITS:
            for index, (file_split, path) in enumerate(self.files):
                if file_split == split:
                    yield from self._rows(split, str(index), path)

    def _rows(self, split: str, index: str, path: Path) -> Iterator[RawRow]:
        with pq.ParquetFile(path) as file:
            n_groups = file.num_row_groups
        for group in range(n_groups):
            table = read_group(path, group, ("key", "row", LABEL))
            for place, row in enumerate(table.to_pylist()):
                fields = {
                    "file": index,
                    "group": str(group),
                    "index": str(place),
                    "label": "" if row[LABEL] is None else str(row[LABEL]),
                }
                yield RawRow(split=split, number=int(row["row"] or 0), key=str(row["key"]), fields=fields)

    def class_of(self, row: RawRow) -> str:
        """Return the class of the row's label, or ``"?"``."""
        label = row.fields["label"]
        return self.classes[int(label)] if label.isdecimal() and int(label) < len(self.classes) else "?"

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face, whose image is the finished crop."""
        class_name, is_labeled = self.class_of(row), row.fields["label"] != ""
        if is_labeled and class_name == "?":
            raise RejectedRow("unknown_label", f"label {row.fields['label']} is none of the pack's classes")
        path = self.files[int(row.fields["file"])][1]
        columns = (IMAGE, *copied_columns(self.annotations), *OPTIONAL_COLUMNS)
        group = read_group(path, int(row.fields["group"]), columns)
        cells = group.slice(int(row.fields["index"]), 1).to_pylist()[0]
        try:
            return self._record(cells, self.classes.index(class_name) if is_labeled else NO_LABEL)
        except (KeyError, TypeError, ValueError) as error:
            raise RejectedRow("broken_annotation", f"a cell of the Parquet file: {error}") from None

    def _record(self, cells: dict[str, Any], label: int) -> FaceRecord:
        floats = {}
        for name, shape in (
            ("distribution", (len(self.classes),)),
            ("landmarks", (N_LANDMARKS, 2)),
            ("valence", ()),
            ("arousal", ()),
        ):
            value = None if cells[name] is None else np.array(cells[name], np.float64).reshape(shape)
            if value is not None and not np.isfinite(value).all():
                raise ValueError(f"`{name}` is not finite")
            floats[name] = value
        if cells["crop_method"] not in get_args(CropMethod):
            raise ValueError(f"`crop_method` is {cells['crop_method']!r:.40}")
        distribution, valence, arousal = floats["distribution"], floats["valence"], floats["arousal"]
        attributes = parse_json(cells.get("attributes") or "{}")
        if not isinstance(attributes, dict):
            raise TypeError("`attributes` is not a JSON object")
        annotations = {}
        for name in optional_tasks():
            if cells.get(name) is not None:
                task_shape = task_shapes(len(self.classes), self.annotations)[name]
                annotations[name] = np.array(cells[name], np.float32).reshape(task_shape)
        return FaceRecord(
            image=bytes(cells[IMAGE]["bytes"]),
            label=label,
            distribution=None if distribution is None else tuple(distribution.tolist()),
            landmarks=floats["landmarks"],
            valence=None if valence is None else float(valence),
            arousal=None if arousal is None else float(arousal),
            annotations=annotations,
            person=cells.get("person"),
            clip=cells.get("clip"),
            landmarks_by=cells.get("landmarks_by"),
            attributes={str(name): str(value) for name, value in attributes.items()},
            crop_method=cast("CropMethod", cells["crop_method"]),
        )


def open_packed_parquet(
    raw: Path,
    found: Sequence[tuple[str | None, Path]],
    packed: Sequence[PackedParquet | None],
    notes: Sequence[str],
) -> PackedFaces:
    """Open files that mien wrote.

    Args:
        raw: their folder.
        found: the split in the name of each file, and its path.
        packed: what the metadata of each file says.
        notes: sentences for the summary.

    Raises:
        DatasetError: other files are among them, they are from different packs, or one lacks a column or its split.
    """
    first = packed[0]
    if first is None or any(other != first for other in packed):
        raise DatasetError(
            f"`{raw}` must hold the Parquet files of one pack, it holds others as well: move them away"
        )
    files = []
    for split, path in found:
        missing = {IMAGE, LABEL, *copied_columns(first.annotations)}.difference(read_schema(path).names)
        if split is None or missing:
            what = f"the columns {', '.join(sorted(missing))}" if missing else "its split in its name"
            raise DatasetError(f"`{path}` holds a pack as Parquet, but lacks {what}: export the pack again")
        files.append((split, path.resolve()))
    return PackedFaces(
        tuple(files), first.classes, first.crop, first.source, first.terms, first.annotations, tuple(notes)
    )
