"""Sets in use whose layout is a folder for each class: the folders must be those of the set.

- MMAFEDB (Kaggle, mahmoudima/mma-facial-expression): ``MMAFEDB/{train,valid,test}/<class>/``, 48 pixels. Its test counts
  3,589 of one class, the size of a split of FER2013: do not train on one and test on the other unchecked.
- NHFI, "Natural Human Face Images" (Kaggle, sudarshanvaidya/random-images-for-face-emotion-recognition): ``<class>/``,
  about 5,000 images in eight folders.
"""

from dataclasses import replace
from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.files import list_names
from mien.datasets.image_folder import ImageFolder, open_folder
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_7, EXPRESSIONS_8

MMAFEDB_FOLDERS = frozenset(("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"))
NHFI_FOLDERS = frozenset(("happiness", "neutrality", "sadness"))


def recognize_mmafedb(raw: Path) -> str | None:
    """Return why a folder is MMAFEDB, or None; see `DatasetKind`."""
    root = raw / "MMAFEDB" if (raw / "MMAFEDB").is_dir() else raw
    splits = [root / name for name in ("train", "valid", "test")]
    is_one = all(folder.is_dir() and {*list_names(folder)} == MMAFEDB_FOLDERS for folder in splits)
    return (
        "`train`, `valid` and `test` in it hold its seven folders, `angry` to `surprise`" if is_one else None
    )


def recognize_nhfi(raw: Path) -> str | None:
    """Return why a folder is NHFI, or None; see `DatasetKind`."""
    names = {*list_names(raw / "images" if (raw / "images").is_dir() else raw)}
    return (
        "it holds a folder `neutrality` next to `happiness` and `sadness`" if names >= NHFI_FOLDERS else None
    )


def open_mmafedb(raw: Path) -> FaceDataset:
    """Open MMAFEDB.

    Raises:
        DatasetError: it does not have the three splits with seven classes each.
    """
    dataset = _open("mmafedb", raw, raw / "MMAFEDB", EXPRESSIONS_7)
    splits = {split for split, _ in dataset.split_folders}
    if splits != {"train", "val", "test"}:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['mmafedb'].layout}, it holds {', '.join(sorted(splits))}"
        )
    return dataset


def open_nhfi(raw: Path, *, val_fraction: float = 0.1) -> FaceDataset:
    """Open NHFI. It has no splits.

    Args:
        raw: the folder of the class folders, or one that holds it as ``images``.
        val_fraction: fraction of faces assigned to ``val``.

    Raises:
        DatasetError: it does not have the eight class folders.
    """
    return _open("nhfi", raw, raw / "images", EXPRESSIONS_8, val_fraction=val_fraction)


def _open(
    name: str, raw: Path, inner: Path, classes: tuple[str, ...], *, val_fraction: float = 0.0
) -> ImageFolder:
    dataset = open_folder(inner if inner.is_dir() else raw, val_fraction=val_fraction)
    if dataset.classes != classes:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS[name].layout}; its classes are {', '.join(dataset.classes)}: use "
            "`mien prepare folder` for other folders"
        )
    return replace(dataset, name=name)
