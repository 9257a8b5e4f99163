"""Which columns of a set's Parquet files hold the images, their labels and the split."""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mien.datasets.column_names import LABEL, PATH, SPELLINGS
from mien.datasets.list_options import NO_COLUMN, ColumnOptions
from mien.datasets.splits import is_split_column, parse_last_split
from mien.errors import DatasetError
from mien.formats.pack.parquet import HUGGING_FACE_KEY
from mien.runtime.json_text import parse_json

AFFECT = ("valence", "arousal")


class Columns(NamedTuple):
    """The columns that are read.

    Attributes:
        image: the images.
        label: the labels.
        split: the split, or None.
        affect: those of `AFFECT` that are there.
        split_names: the split of each value of the column of splits that is no name of one.
    """

    image: str
    label: str
    split: str | None
    affect: tuple[str, ...]
    split_names: tuple[tuple[str, str], ...] = ()


def choose_columns(
    raw: Path, paths: list[Path], schemas: list[pa.Schema], options: ColumnOptions, *, has_splits: bool
) -> Columns:
    """Find the columns of images, labels and splits, which every file must have.

    Raises:
        DatasetError: one of them is missing, or there are several.
    """
    split_column, label_column = options.split_column, options.label_column
    schema = schemas[0]
    features = read_features(schema)
    names = schema.names
    images = [name for name in names if features.get(name, {}).get("_type") == "Image"]
    images = images or [name for name in names if _holds_images(schema.field(name).type)]
    labels = [name for name in names if features.get(name, {}).get("_type") == "ClassLabel"]
    spelled = [name for name in names if name.lower() in SPELLINGS[LABEL]]
    if not images:
        raise DatasetError(
            f"`{raw}` holds no images: if it lists their paths, write it as CSV for `mien prepare csv`, for example with "
            f'`pandas.read_parquet(FILE).to_csv("list.csv")`; its columns are {", ".join(names)}'
        )
    image = _choose_one(
        raw, "image", images, [name for name in images if name.lower() in ("images", *SPELLINGS[PATH])], names
    )
    if label_column is None:
        label = _choose_one(raw, "label", labels or spelled, [n for n in labels if n in spelled], names)
    elif label_column in names:
        label = label_column
    else:
        raise DatasetError(f"`{raw}` has no column `{label_column}`, it has {', '.join(names)}")
    split = None
    if split_column is not None and split_column != NO_COLUMN:
        if split_column not in names:
            raise DatasetError(f"`{raw}` has no column `{split_column}`, it has {', '.join(names)}")
        split = split_column
    elif split_column is None and not has_splits:
        split = "split" if "split" in names else None
        rest = [name for name in names if name not in (image, label)]
        others = [name for name in rest if is_split_column(name)]
        others = others or [name for name in rest if is_filled_with_splits(paths, name)]
        if split is None and others:
            raise DatasetError(
                f"`{raw}` has no column `split`, but `{others[0]}` seems to hold the split: add --split-column "
                f"{shlex.quote(others[0])} to use it, or --split-column {NO_COLUMN} if it is not one"
            )
    affect = tuple(name for name in AFFECT if name in names)
    columns = Columns(image, label, split, affect, options.split_names)
    for other in schemas[1:]:
        for name in (*filter(None, columns[:3]), *columns.affect):
            if name not in other.names or other.field(name).type != schema.field(name).type:
                raise DatasetError(
                    f"The Parquet files in `{raw}` must have the same columns, `{name}` differs between them: give the "
                    "folder of one set"
                )
    kind = value_type(schema, label)
    if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DatasetError(
            f"`{label}` of `{raw}` must hold a number or word in each row, it holds {kind}: name another column with "
            "--label-column, or write a column with one class for each row"
        )
    return columns


def value_type(schema: pa.Schema, column: str) -> pa.DataType:
    """Return the type of a column's values, also of a categorical of pandas."""
    kind = schema.field(column).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_filled_with_splits(paths: list[Path], column: str) -> bool:
    """Return whether most cells of a column of text are names of splits."""
    n_splits = n_rows = 0
    for path in paths:
        with pq.ParquetFile(path) as opened:
            if not _is_text(value_type(opened.schema_arrow, column)):
                return False
            for batch in opened.iter_batches(columns=[column]):
                n_rows += len(batch)
                cells = ((cell or "").strip() for cell in batch[column].to_pylist())
                n_splits += sum(parse_last_split(cell) is not None for cell in cells)
    return 2 * n_splits > n_rows


def _choose_one(raw: Path, what: str, found: list[str], preferred: list[str], names: list[str]) -> str:
    chosen = found if len(found) == 1 else preferred
    if len(chosen) == 1:
        return chosen[0]
    wanted = (
        "bytes" if what == "image" else f"a column named {', '.join(SPELLINGS[LABEL])}, or of type ClassLabel"
    )
    raise DatasetError(
        f"`{raw}` must have one {what} column ({wanted}), it has {', '.join(found) or 'none'} among "
        f"{', '.join(names)}: {'name it with --label-column' if what == 'label' else 'rename or drop columns'}"
    )


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(child.name == "bytes" for child in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def read_features(schema: pa.Schema) -> dict[str, Any]:
    """Return the features by column that the `datasets` library wrote, or none."""
    try:
        metadata = parse_json((schema.metadata or {})[HUGGING_FACE_KEY])
        features = metadata["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: value for name, value in features.items() if isinstance(value, dict)}


def read_label_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    """Return the names of a class label, in order; None if its labels are words, or numbers without names."""
    names = read_features(schema).get(column, {}).get("names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(name.strip() for name in names)
    return None
