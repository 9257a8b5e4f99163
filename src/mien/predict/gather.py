"""Which pictures `mien predict` was asked to read."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import SourceError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A file to read.

    Attributes:
        path: as it was named, or the named folder joined with the way down from it.
        place: where its annotated copy belongs, relative to the folder of copies.
    """

    path: Path
    place: Path


def gather_pictures(sources: Sequence[Path], *, leave_out: Path | None = None) -> list[Picture]:
    """Return the files that the sources name, and the image files in the folders that they name.

    Folders are walked to the bottom in sorted order; files whose name has no image suffix or begins with a dot
    are passed over, and links to folders are not followed. A file that is named counts whatever its suffix. A
    file that is named twice is read once.

    Args:
        sources: files and folders.
        leave_out: a folder that is not walked into.

    Raises:
        SourceError: a source does not exist or is neither file nor folder, or a folder holds no image file.
    """
    n_folders = sum(source.is_dir() for source in sources)
    pictures: dict[str, Picture] = {}
    for source in sources:
        for picture in _pictures_of(source, name_folder=n_folders > 1, leave_out=leave_out):
            pictures.setdefault(os.path.abspath(picture.path), picture)  # noqa: PTH100 - links stay as named
    return list(pictures.values())


def _pictures_of(source: Path, *, name_folder: bool, leave_out: Path | None) -> Iterator[Picture]:
    if source.is_file():
        yield Picture(source, Path(source.name))
        return
    if not source.is_dir():
        what = "is neither a file nor a folder" if source.exists() else "does not exist"
        raise SourceError(f"{source} {what}. Name image files or folders of them")
    top = Path(source.resolve().name) if name_folder else Path()
    found = False
    for path in _walk(source, None if leave_out is None else leave_out.resolve()):
        found = True
        yield Picture(path, top / path.relative_to(source))
    if not found:
        raise SourceError(
            f"The folder {source} holds no image file ({', '.join(sorted(IMAGE_SUFFIXES))}). Name another one"
        )


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        # os.walk goes on into what is left in `folders`, in that order.
        folders[:] = sorted(
            name for name in folders
            if not name.startswith(".") and (leave_out is None or Path(parent, name).resolve() != leave_out)
        )  # fmt: skip
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(parent, name)
