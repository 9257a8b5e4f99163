"""Parquet files with the images in them, as the Hugging Face Hub and the `datasets` library hold image sets.

Layout of https://huggingface.co/docs/datasets/image_dataset, as `datasets` 5.2 writes and reads it: an image is a struct
of `bytes` and `path`; the names of a class label are in the schema's metadata under ``huggingface``; the split is in the
name of a file (``train-00000-of-00002.parquet``) or of its folder (``train/0000.parquet``). A label without names must be
explained: the Hub's copies of AffectNet do not number their classes as AffectNet does.

Files that mien wrote from a pack (`mien.formats.pack.parquet`) are read as the crops that they are.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_affect_pair
from mien.datasets.csv_survey import Survey, check_scales
from mien.datasets.files import list_names, locate, quote_names
from mien.datasets.hub_parquet_columns import AFFECT, Columns, choose_columns, read_label_names
from mien.datasets.labels import LabelNames, map_labels, order_classes
from mien.datasets.list_options import ColumnOptions
from mien.datasets.list_table import normalize_value
from mien.datasets.packed_parquet import open_packed_parquet
from mien.datasets.parquet_groups import read_group, read_schema
from mien.datasets.registry import DATASETS
from mien.datasets.splits import assign_split, find_split, parse_split, require_splits, require_val_fraction
from mien.errors import DatasetError
from mien.faces.crop_options import CropMethod
from mien.faces.image_files import MAX_FILE_BYTES
from mien.faces.images import IMAGE_SUFFIXES
from mien.formats.pack.parquet import parse_packed_parquet
from mien.formats.pack.schema import SPLITS
from mien.runtime.options import given_options, option_flag

SUFFIX = ".parquet"
MAX_LABELS = 1000

_SHARD = re.compile(r"(?P<name>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})$")


class ImageFile(NamedTuple):
    """A Parquet file.

    Attributes:
        split: the split that its name or folder says, or None.
        path: its real path.
        label_names: the names of its class label, in order; None if its labels are words, or numbers without names.
    """

    split: str | None
    path: Path
    label_names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class HubParquet:
    """Parquet files of labeled images.

    The key of a row is the image's path in the set if every row has another one, otherwise file and row.

    Attributes:
        root: the real path of the folder; images that are not in the files are looked for in it.
        files: the files, in order.
        columns: the columns that are read.
        has_paths: every image has a path of its own.
        classes: class names in order.
        label_classes: the class of each label, by name or as written.
        val_fraction: fraction of faces assigned to ``val`` if there are no splits.
        affect_range: the scale of valence and arousal.
        notes: see `FaceDataset`.
    """

    root: Path
    files: tuple[ImageFile, ...]
    columns: Columns
    has_paths: bool
    classes: tuple[str, ...]
    label_classes: dict[str, str]
    val_fraction: float
    affect_range: tuple[float, float] = (-1.0, 1.0)
    notes: tuple[str, ...] = ()
    name: str = field(default="parquet", init=False)
    natural_crop: CropMethod = field(default="whole", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each split; rows of an unknown split come with ``train``, to be rejected."""
        for split in SPLITS:
            for place, file in enumerate(self.files):
                if file.split is not None and self.columns.split is None and file.split != split:
                    continue
                name = file.path.relative_to(self.root).as_posix()
                for number, cells in enumerate(read_small_columns(file, self.columns)):
                    key = cells["path"] if self.has_paths else f"{name}/{number}"
                    if self.columns.split is not None:
                        actual = find_split(cells["split"]) or "train"
                    else:
                        actual = file.split or assign_split(key, self.val_fraction)
                    if actual == split:
                        fields = cells | {"file": str(place)}
                        yield RawRow(split=split, number=number + 1, key=key, fields=fields)

    def class_of(self, row: RawRow) -> str:
        """Return the class of the row's label, or ``"?"``."""
        return self.label_classes.get(row.fields["label"], "?")

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face, with the bytes of its image."""
        if self.columns.split is not None and find_split(row.fields["split"]) is None:
            raise RejectedRow(
                "unknown_split", f"split {row.fields['split']!r} is none of {', '.join(SPLITS)}"
            )
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow(
                "unknown_label", f"label {row.fields['label']!r} is none of {', '.join(self.classes[:12])}"
            )
        path = self.files[int(row.fields["file"])].path
        columns = (self.columns.image, *self.columns.affect)
        group = read_group(path, int(row.fields["group"]), columns)
        index = int(row.fields["index"])
        affect = {name: group[name][index].as_py() for name in self.columns.affect}
        cells = ["" if affect.get(name) is None else str(affect[name]) for name in AFFECT]
        valence, arousal, warnings = parse_affect_pair(cells[0], cells[1], self.affect_range)
        return FaceRecord(
            image=self._image(group[self.columns.image][index].as_py()),
            label=self.classes.index(class_name),
            valence=valence,
            arousal=arousal,
            warnings=warnings,
        )

    def _image(self, cell: Any) -> Path | bytes:
        """Return the image's bytes, or the path of its file if the set has it outside of the Parquet file."""
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(data, bytes):
            if len(data) > MAX_FILE_BYTES:
                raise RejectedRow("image_too_large", f"{len(data):,} bytes")
            return data
        path = cell.get("path") if isinstance(cell, dict) else None
        if not path:
            raise RejectedRow("missing_file", "the row has neither the bytes of an image nor a path")
        return locate(self.root, path)


def find_parquet_files(raw: Path) -> list[Path]:
    """Return the Parquet files in a folder and its subfolders, without hidden ones, or ``raw`` if it is one."""
    if raw.is_file():
        return [raw] if raw.suffix.lower() == SUFFIX else []
    found = []
    for parent, folders, _ in os.walk(raw):
        visible = list_names(Path(parent))
        folders[:] = sorted(set(folders).intersection(visible))
        found += [Path(parent, name) for name in visible if name.lower().endswith(SUFFIX)]
    return sorted(path for path in found if path.is_file())


def holds_only_parquet(raw: Path) -> bool:
    """Return whether a path is a Parquet file, or a folder with such files and without images."""
    if not raw.is_dir():
        return raw.suffix.lower() == SUFFIX
    found = False
    for parent, folders, _ in os.walk(raw):
        suffixes = {os.path.splitext(name)[1].lower() for name in list_names(Path(parent))}  # noqa: PTH122
        if not suffixes.isdisjoint(IMAGE_SUFFIXES):
            return False
        found |= SUFFIX in suffixes
        folders[:] = [name for name in folders if not name.startswith(".")]
    return found


def open_parquet(
    raw: Path,
    *,
    val_fraction: float = 0.1,
    label_names: LabelNames | None = None,
    columns: ColumnOptions = ColumnOptions(),
) -> FaceDataset:
    """Open Parquet files of labeled images. Their labels are read once, see `map_labels`.

    Args:
        raw: a file, or a folder of files that belong to one set.
        val_fraction: fraction of faces assigned to ``val`` if neither files nor a column say the split; 0 for none.
        label_names: the class of each label, see `map_labels`.
        columns: the ``split_column`` if the files' names do not say the split, `NO_COLUMN` if there is none; the
            ``label_column``, the ``split_names`` and the ``affect_range``. No other column can be named.

    Raises:
        DatasetError: there are no such files or they belong to several sets, a column is missing or there are several
            of its kind, labels are numbers without names, or an unnamed column seems to hold the split.
        ArtifactError: files that mien wrote are damaged.
    """
    require_val_fraction(val_fraction)
    for other, _ in given_options(columns):
        if other.name not in DATASETS["parquet"].columns:
            raise DatasetError(
                f"{option_flag(other)} does not apply to Parquet files: leave it out, or write the columns that you need as CSV "
                "and the images as files"
            )
    paths = find_parquet_files(raw)
    if not paths:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['parquet'].layout}, it holds none: give their folder"
        )
    splits, notes = _find_splits(raw, paths)
    schemas = [read_schema(path) for path in paths]
    packed = [
        parse_packed_parquet(schema, where=str(path)) for schema, path in zip(schemas, paths, strict=True)
    ]
    if any(packed):
        if label_names is not None or columns != ColumnOptions():
            raise DatasetError(
                f"`{raw}` holds a pack as Parquet, with its classes and splits: leave out --label-names and options of columns"
            )
        return open_packed_parquet(raw, list(zip(splits, paths, strict=True)), packed, notes)
    chosen = choose_columns(raw, paths, schemas, columns, has_splits=any(splits))
    _require_effect(raw, chosen, columns)
    root = (raw.parent if raw.is_file() else raw).resolve()
    files = tuple(
        ImageFile(split, path.resolve(), read_label_names(schema, chosen.label))
        for split, path, schema in zip(splits, paths, schemas, strict=True)
    )
    if any(not file.path.is_relative_to(root) for file in files):
        raise DatasetError(f"`{raw}` holds links to files elsewhere: copy them into it, or give their folder")
    counts, has_paths = _count_labels(raw, files, chosen)
    scales = Survey(())
    for file in files:
        for name, value in read_affect(file, chosen):
            scales.add_number(name, value)
    check_scales(scales, where=f"`{raw}`", affect_range=columns.affect_range, box_format=None)
    label_classes, label_notes = map_labels(
        counts, label_names, where=f"`{raw}` without names in their schema"
    )
    if not label_classes:
        raise DatasetError(f"`{raw}` must have rows with a label, it has none in `{chosen.label}`")
    used = {*chosen[:3], *chosen.affect}
    unused = [name for name in schemas[0].names if name not in used]
    if unused:
        notes.append(f"Columns not used in the Parquet files: {', '.join(unused)}.")
    return HubParquet(
        root=root,
        files=files,
        columns=chosen,
        has_paths=has_paths,
        classes=order_classes(set(label_classes.values())),
        label_classes=label_classes,
        val_fraction=val_fraction,
        affect_range=columns.affect_range or (-1.0, 1.0),
        notes=(*label_notes, *notes),
    )


def _require_effect(raw: Path, chosen: Columns, columns: ColumnOptions) -> None:
    """Refuse options about columns that the files do not have.

    Raises:
        DatasetError: there is one.
    """
    if columns.split_names and chosen.split is None:
        raise DatasetError(
            f"--split-names has no effect, since no column of splits is read from `{raw}`: leave it out, or name the column with "
            "--split-column"
        )
    if columns.affect_range is not None and not chosen.affect:
        raise DatasetError(
            f"--affect-range has no effect, since `{raw}` has no column `valence` or `arousal`: leave it out, or rename the columns"
        )


def _find_splits(raw: Path, paths: list[Path]) -> tuple[list[str | None], list[str]]:
    """Return the split that each file's name or folder says, and notes on missing files.

    Raises:
        DatasetError: only some files say a split, or the files belong to several sets.
    """
    root = raw.parent if raw.is_file() else raw
    names = [path.relative_to(root) for path in paths]
    splits = [find_split(name.as_posix()) or parse_split(name.stem) for name in names]
    if any(splits) and not all(splits):
        other = names[splits.index(None)].as_posix()
        raise DatasetError(
            f"`{raw}` must hold Parquet files that all name their split, such as `train-00000-of-00001.parquet`, but "
            f"`{other}` does not: rename it, or move it away"
        )
    sets = {"/".join(part for part in name.parts[:-1] if parse_split(part) is None) for name in names}
    if len(sets) > 1:
        raise DatasetError(
            f"`{raw}` must hold one set, its Parquet files lie in {quote_names([name or '.' for name in sorted(sets)])}: give "
            "one of these folders"
        )
    notes = []
    shards: dict[tuple[str, int], set[int]] = {}
    for relative in names:
        if found := _SHARD.match(relative.with_suffix("").as_posix()):
            shards.setdefault((found["name"], int(found["total"])), set()).add(int(found["number"]))
    for (name, total), numbers in shards.items():
        missing = [f"{name}-{n:05d}-of-{total:05d}{SUFFIX}" for n in range(total) if n not in numbers]
        if missing:
            notes.append(
                f"The set is incomplete: {quote_names(missing, limit=3)} missing of {total:,} files."
            )
    return splits, notes


def read_small_columns(file: ImageFile, columns: Columns) -> Iterator[dict[str, str]]:
    """Yield label, split and path of each row as text, and its row group and index in it, without reading images.

    Raises:
        DatasetError: the file is damaged.
    """
    try:
        with pq.ParquetFile(file.path) as opened:
            leaves = [opened.schema.column(index).path for index in range(len(opened.schema))]
            path = f"{columns.image}.path"
            split_names = dict(columns.split_names)
            wanted = [columns.label, *filter(None, [columns.split]), *([path] if path in leaves else [])]
            for group in range(opened.num_row_groups):
                index = 0
                for batch in opened.iter_batches(row_groups=[group], columns=wanted):
                    for row in batch.to_pylist():
                        value, names = row[columns.label], file.label_names
                        split = "" if columns.split is None else str(row[columns.split])
                        label = "" if value is None else str(value).strip()
                        if names is not None and isinstance(value, int) and 0 <= value < len(names):
                            label = names[value]
                        yield {
                            "label": label,
                            "split": split_names.get(normalize_value(split), split),
                            "path": str((row.get(columns.image) or {}).get("path") or ""),
                            "group": str(group),
                            "index": str(index),
                        }
                        index += 1
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"`{file.path}` cannot be read to its end: {error}; copy it again") from None


def read_affect(file: ImageFile, columns: Columns) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each number of valence and arousal, without reading images.

    Raises:
        DatasetError: the file is damaged.
    """
    try:
        with pq.ParquetFile(file.path) as opened:
            for batch in opened.iter_batches(columns=list(columns.affect)) if columns.affect else ():
                for name in columns.affect:
                    yield from ((name, str(value)) for value in batch[name].to_pylist() if value is not None)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"`{file.path}` cannot be read to its end: {error}; copy it again") from None


def _count_labels(raw: Path, files: tuple[ImageFile, ...], columns: Columns) -> tuple[Counter[str], bool]:
    """Return the number of rows with each label, and whether every image has a path of its own.

    Raises:
        DatasetError: there are over `MAX_LABELS` labels, or the column of splits holds something else.
    """
    counts: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    paths: set[str] = set()
    n_rows = 0
    for file in files:
        for cells in read_small_columns(file, columns):
            n_rows += 1
            paths.add(cells["path"])
            splits[cells["split"]] += 1
            # -1 is how the `datasets` library writes a class label that is not known.
            if cells["label"] and not (file.label_names is not None and cells["label"] == "-1"):
                counts[cells["label"]] += 1
        if len(counts) > MAX_LABELS:
            raise DatasetError(
                f"`{columns.label}` of `{raw}` must hold classes, it holds over {MAX_LABELS:,} different labels"
            )
    if columns.split is not None:
        require_splits(splits, column=columns.split, where=f"`{raw}`")
    return counts, len(paths) == n_rows and "" not in paths
