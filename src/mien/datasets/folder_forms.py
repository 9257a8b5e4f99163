"""What a folder can be that is given as `mien prepare folder`: class folders, with or without a list, or Parquet files."""

from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.folder_list import choose_labels
from mien.datasets.hub_parquet import holds_only_parquet, open_parquet
from mien.datasets.image_folder import open_folder
from mien.datasets.labels import LabelNames
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
