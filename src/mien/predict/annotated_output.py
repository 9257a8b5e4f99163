"""Annotated copies of images and videos: their folder, their names, and the files."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.artifacts import LOCK_WITHIN, disk_errors, one_writer, publish, write_atomically
from mien.drawing.annotate import annotate
from mien.errors import ArtifactError
from mien.inference.media_sources import MediaSource
from mien.inference.results import ImagePrediction
from mien.predict.video_encoders import VideoEncoder, open_encoder

VIDEO_SUFFIX = ".mp4"
_JPEG_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
_JPEG_QUALITY = 92
# The JPEG format's limit on a side.
_JPEG_MAX_SIDE = 65_500


@contextmanager
def claim_annotation_folder(folder: Path, *, force: bool) -> Iterator[None]:
    """Reserve a folder for annotated copies. With ``force``, copies of the same names, also unfinished ones, are replaced, and no others.

    Raises:
        ArtifactError: it is a file, is being written, or is not empty and ``force`` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(
            f"{folder} is a file, but annotated copies are written to a folder. Choose another path"
        )
    with one_writer(folder, within=True):
        if not force and any(entry.name != LOCK_WITHIN for entry in folder.iterdir()):
            raise ArtifactError(
                f"{folder} exists and is not empty. Choose another path, or add --force to write into it"
            )
        yield


def assign_annotated_paths(sources: Sequence[MediaSource], folder: Path) -> dict[str, Path]:
    """Return the path of each source's annotated copy, by the source's name.

    Subfolders are kept. A PNG is copied as PNG, any other image as JPEG, a video as MP4; a new suffix is appended to the
    full file name. Names that would collide, ignoring case, get a number.

    Raises:
        ArtifactError: a copy would replace one of the sources, under whatever name or link.
    """
    taken: set[str] = set()
    copies: dict[str, Path] = {}
    for source in sources:
        original = source.relative_path
        suffix = original.suffix.lower()
        if source.is_video:
            added = "" if suffix == VIDEO_SUFFIX else VIDEO_SUFFIX
        else:
            added = "" if suffix == ".png" or suffix in _JPEG_SUFFIXES else ".jpg"
        path = original.with_name(original.name + added)
        number = 1
        while not taken.isdisjoint(names := _names_taken_by(path, is_video=source.is_video)):
            number += 1
            stem = original.name if added else original.stem
            path = original.with_name(f"{stem}-{number}{added or original.suffix}")
        taken |= names
        copies[source.name] = folder / path
    if folder.is_dir():
        inputs = {_file_identity(Path(name)) for name in copies} - {None}
        for copy in copies.values():
            if _file_identity(copy) in inputs:
                raise ArtifactError(
                    f"{copy} is one of the inputs, and an annotated copy would replace it. Choose another folder"
                )
    return copies


def _names_taken_by(copy: Path, *, is_video: bool) -> set[str]:
    return {str(path).casefold() for path in ((copy, _unfinished(copy)) if is_video else (copy,))}


def _unfinished(video: Path) -> Path:
    """Return the name of a video's copy until it is complete."""
    return video.with_name(f"{video.stem}.partial{video.suffix}")


def _file_identity(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from all others, None if it does not exist."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def write_annotated_image(path: Path, drawing_rgb: NDArray[np.uint8]) -> None:
    """Write an annotated image in the format of its suffix, shrunk if it exceeds what JPEG allows.

    Raises:
        ArtifactError: the disk is full, or the folder is not writable.
    """
    data = io.BytesIO()
    if path.suffix.lower() == ".png":
        Image.fromarray(drawing_rgb).save(data, "PNG", compress_level=3)
    else:
        height, width = drawing_rgb.shape[:2]
        scale = _JPEG_MAX_SIDE / max(height, width)
        if scale < 1:
            size_wh = max(1, int(width * scale)), max(1, int(height * scale))
            resized = cv2.resize(drawing_rgb, size_wh, interpolation=cv2.INTER_AREA)
            drawing_rgb = np.asarray(resized, dtype=np.uint8)
        # Full chroma resolution: thin colored lines smear without it.
        Image.fromarray(drawing_rgb).save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0)

    def write(partial: Path) -> None:
        partial.write_bytes(data.getvalue())

    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)


class AnnotatedVideoWriter:
    """Writes an MP4 of the frames with their predictions drawn on them; the file gets its name when it is complete."""

    def __init__(self, path: Path, *, frame_rate: float, is_live: bool, blur: bool = False) -> None:
        """Prepare a video.

        Args:
            path: the ``.mp4`` file.
            frame_rate: frames per second.
            is_live: frames are irregular: each is shown until the next, so that the video runs in real time.
            blur: make the faces unrecognizable.
        """
        self._path, self._frame_rate, self._is_live = path, frame_rate, is_live
        self._blur = blur
        self._partial = _unfinished(path)
        self._encoder: VideoEncoder | None = None
        self._size_wh = (0, 0)
        self._label_sides: dict[int, int] = {}

    def add(self, prediction: ImagePrediction) -> None:
        """Draw a frame and write it; an unreadable one is skipped.

        Raises:
            ArtifactError: the file cannot be written.
        """
        if prediction.image_rgb is None:
            return
        drawing = annotate(prediction.image_rgb, prediction.rows, sides=self._label_sides, blur=self._blur)
        if self._encoder is None:
            self._encoder = self._open(drawing.shape[1] // 2 * 2, drawing.shape[0] // 2 * 2)
        width, height = self._size_wh
        drawing = drawing[:height, :width]
        if drawing.shape[:2] != (height, width):
            drawing = np.asarray(cv2.resize(drawing, self._size_wh), dtype=np.uint8)
        try:
            self._encoder.write(np.ascontiguousarray(drawing), prediction.rows[0].seconds or 0.0)
        except OSError as error:
            raise self._incomplete(error) from None

    def _open(self, width: int, height: int) -> VideoEncoder:
        self._size_wh = (width, height)
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.unlink(missing_ok=True)
            self._partial.touch(exist_ok=False)  # which follows no link
            return open_encoder(
                self._partial, self._size_wh, frame_rate=self._frame_rate, is_live=self._is_live
            )

    def _incomplete(self, error: OSError) -> ArtifactError:
        return ArtifactError(
            f"{self._path} is incomplete: {self._partial} could not be written ({error.strerror or error}). "
            "The disk is probably full; free some space and run the same command again"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file; after an error it keeps its partial name. Without a frame there is no file.

        Raises:
            ArtifactError: the file is incomplete.
        """
        if self._encoder is None:
            return
        try:
            self._encoder.close()
        except OSError as failure:
            if kind is None:
                raise self._incomplete(failure) from None
        if kind is not None:
            return
        with disk_errors(self._path):
            publish(self._partial, self._path)
