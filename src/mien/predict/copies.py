"""The folder of annotated copies: a name for each, and the files of pictures."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.artifacts import LOCK_WITHIN, disk_errors, one_writer, write_atomically
from mien.errors import ArtifactError
from mien.predict.gather import Source, Video

FILM_SUFFIX = ".mp4"
_JPEG_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
_JPEG_QUALITY = 92
# A JPEG's sides are this long at most.
_JPEG_MAX_SIDE = 65_500


@contextmanager
def claim_copies_folder(folder: Path, *, force: bool) -> Iterator[None]:
    """Make sure that copies may go into a folder, from nobody else meanwhile. With ``force`` files of their names are replaced, no others.

    Raises:
        ArtifactError: it is a file, or holds something and ``force`` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(
            f"{folder} is a file, and the annotated copies need a folder. Choose another path"
        )
    with one_writer(folder, within=True):
        if not force and any(entry.name != LOCK_WITHIN for entry in folder.iterdir()):
            raise ArtifactError(
                f"{folder} exists and is not empty. Choose another path, or add --force to write into it"
            )
        yield


def name_copies(sources: Sequence[Source], folder: Path) -> dict[str, Path]:
    """Return where the copy of each picture and video goes, by the source's name.

    Sub-folders are kept. A PNG's copy is a PNG, any other picture's a JPEG, a video's an MP4, named after the whole
    name of the source; names that would meet, on file systems that ignore case too, get a number.

    Raises:
        ArtifactError: a copy would take the place of a picture or video that is read.
    """
    taken: set[str] = set()
    copies: dict[str, Path] = {}
    for source in sources:
        added = _added_suffix(source)
        place = source.place.with_name(source.place.name + added)
        number = 1
        while str(place).casefold() in taken:
            number += 1
            stem = source.place.stem if not added else source.place.name
            place = source.place.with_name(f"{stem}-{number}{added or source.place.suffix}")
        taken.add(str(place).casefold())
        copies[source.name] = folder / place
    _require_others_places(copies, folder)
    return copies


def _require_others_places(copies: dict[str, Path], folder: Path) -> None:
    """Make sure that no copy replaces what is read, by whatever name or link the two are reached."""
    if not folder.is_dir():
        return
    read = {_identity(Path(name)) for name in copies} - {None}
    for copy in copies.values():
        if _identity(copy) in read:
            raise ArtifactError(
                f"{copy} is among what is read, and an annotated copy would replace it. Choose another folder"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others, None where there is none."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def _added_suffix(source: Source) -> str:
    suffix = source.place.suffix.lower()
    if isinstance(source, Video):
        return "" if suffix == FILM_SUFFIX else FILM_SUFFIX
    return "" if suffix == ".png" or suffix in _JPEG_SUFFIXES else ".jpg"


def write_copy(path: Path, drawing_rgb: NDArray[np.uint8]) -> None:
    """Write an annotated copy, in the format that its name says; for a JPEG it is shrunk where it is too long.

    Raises:
        ArtifactError: the disk is full, or the folder cannot be written.
    """
    data = io.BytesIO()
    if path.suffix.lower() == ".png":
        Image.fromarray(drawing_rgb).save(data, "PNG", compress_level=3)
    else:
        picture = Image.fromarray(_within(drawing_rgb, _JPEG_MAX_SIDE))
        # Full color resolution: thin colored lines smear without it.
        picture.save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda partial: _write_bytes(partial, data.getvalue()))


def _within(image_rgb: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Return a picture no side of which is longer."""
    height, width = image_rgb.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image_rgb
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
