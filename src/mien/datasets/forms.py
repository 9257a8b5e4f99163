"""What a path can be that is given as `mien prepare folder` or `csv`: also another layout of the Hugging Face Hub."""

from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.csv_table import open_csv
from mien.datasets.folder_list import choose_labels
from mien.datasets.hub_parquet import holds_only_parquet, open_parquet
from mien.datasets.image_folder import open_folder
from mien.datasets.labels import LabelNames
from mien.datasets.list_options import ColumnOptions, SplitLists
from mien.datasets.metadata_folder import METADATA_FILES, find_metadata_files, open_metadata_folder
from mien.errors import DatasetError


def open_any_folder(
    raw: Path,
    *,
    val_fraction: float = 0.1,
    label_names: LabelNames | None = None,
    labels_from: str | None = None,
) -> FaceDataset:
    """Open a folder of class folders, or of Parquet files.

    Args:
        raw: the folder.
        val_fraction: see `open_folder`.
        label_names: the class of each class folder, see `open_folder`; also of numbers in a list next to them.
        labels_from: see `choose_labels`.

    Raises:
        DatasetError: as for `open_folder`, `choose_labels` and `open_parquet`.
    """
    if holds_only_parquet(raw):
        if labels_from is not None:
            raise DatasetError(
                f"--labels-from is for class folders, `{raw}` holds Parquet files: leave it out"
            )
        return open_parquet(raw, val_fraction=val_fraction, label_names=label_names)
    folder = open_folder(raw, val_fraction=val_fraction, label_names=label_names)
    return choose_labels(folder, labels_from, label_names)


def open_any_list(
    raw: Path,
    *,
    val_fraction: float = 0.1,
    label_names: LabelNames | None = None,
    images: tuple[Path, ...] = (),
    columns: ColumnOptions = ColumnOptions(),
    lists: SplitLists = SplitLists(),
) -> FaceDataset:
    """Open a list of paths and labels, Parquet files, or a folder with several metadata files.

    Args:
        raw: the list or the folder.
        val_fraction: see `open_csv`.
        label_names: see `open_csv`.
        images: see `open_csv`.
        columns: see `open_csv`.
        lists: see `open_csv`.

    Raises:
        DatasetError: as for `open_csv`, `open_parquet` and `open_metadata_folder`.
    """
    if not lists and holds_only_parquet(raw):
        return open_parquet(raw, val_fraction=val_fraction, label_names=label_names, columns=columns)
    # One metadata.csv for all splits is a CSV like any other.
    if not lists and raw.is_dir() and find_metadata_files(raw) not in ([], [raw / METADATA_FILES[0]]):
        return open_metadata_folder(
            raw, val_fraction=val_fraction, label_names=label_names, images=images, columns=columns
        )
    return open_csv(
        raw,
        val_fraction=val_fraction,
        label_names=label_names,
        images=images,
        columns=columns,
        lists=lists,
    )
