"""What a folder can be that is given as `mien prepare folder`: class folders, or another layout without a list."""

from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.hub_parquet import holds_only_parquet, open_parquet
from mien.datasets.image_folder import open_folder
from mien.datasets.labels import LabelNames


def open_any_folder(
    raw: Path, *, val_fraction: float = 0.1, label_names: LabelNames | None = None
) -> FaceDataset:
    """Open a folder of class folders, or of Parquet files.

    Args:
        raw: the folder.
        val_fraction: see `open_folder`.
        label_names: see `open_folder`.

    Raises:
        DatasetError: as for `open_folder` and `open_parquet`.
    """
    if holds_only_parquet(raw):
        return open_parquet(raw, val_fraction=val_fraction, label_names=label_names)
    return open_folder(raw, val_fraction=val_fraction, label_names=label_names)
