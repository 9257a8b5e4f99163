"""The folder of annotated copies: a name for each, and the files."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.artifacts import disk_errors, write_atomically
from mien.errors import ArtifactError
from mien.predict.gather import Picture

_JPEG_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
_JPEG_QUALITY = 92


def claim_copies_folder(folder: Path, *, force: bool) -> None:
    """Make sure that copies may go into a folder. With ``force`` files of their names are replaced, no others.

    Raises:
        ArtifactError: it is a file, or holds something and ``force`` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(
            f"{folder} is a file, and the annotated copies need a folder. Choose another path"
        )
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise ArtifactError(
            f"{folder} exists and is not empty. Choose another path, or add --force to write into it"
        )


def name_copies(pictures: Sequence[Picture], folder: Path) -> dict[Path, Path]:
    """Return where the copy of each picture goes, by the picture's path.

    Sub-folders are kept. A PNG's copy is a PNG, any other a JPEG, named after the whole name of the picture; names
    that would meet, on file systems that ignore case too, get a number.
    """
    taken: set[str] = set()
    copies: dict[Path, Path] = {}
    for picture in pictures:
        suffix = picture.place.suffix.lower()
        added = "" if suffix == ".png" or suffix in _JPEG_SUFFIXES else ".jpg"
        place = picture.place.with_name(picture.place.name + added)
        number = 1
        while str(place).casefold() in taken:
            number += 1
            stem = picture.place.stem if not added else picture.place.name
            place = picture.place.with_name(f"{stem}-{number}{added or picture.place.suffix}")
        taken.add(str(place).casefold())
        copies[picture.path] = folder / place
    return copies


def write_copy(path: Path, drawing_rgb: NDArray[np.uint8]) -> None:
    """Write an annotated copy, in the format that its name says.

    Raises:
        ArtifactError: the disk is full, or the folder cannot be written.
    """
    data = io.BytesIO()
    picture = Image.fromarray(drawing_rgb)
    if path.suffix.lower() == ".png":
        picture.save(data, "PNG", compress_level=3)
    else:
        # Full color resolution: thin colored lines smear without it.
        picture.save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda partial: _write_bytes(partial, data.getvalue()))


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
