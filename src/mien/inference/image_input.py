"""What `Model.predict` and `Model.watch` take as an image: whatever programs pass on becomes upright uint8 pixels.

Nothing about pixels is guessed: where their range or the order of their axes is unclear, a `TypeError` names the ways out.
"""

import glob
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.faces.file_signatures import N_SIGNATURE_BYTES, identify_format
from mien.faces.image_files import MAX_FILE_BYTES, read_image_file
from mien.faces.images import UnreadableImage, composite_on_black, decode_image, decode_pillow
from mien.inference.urls import MAX_PATH_LENGTH, download_image, explain_name, is_url, redact_url

_log = logging.getLogger(__name__)


class BinaryFile(Protocol):
    """A file object that returns bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most that many bytes."""


class PixelArray(Protocol):
    """An array or a tensor."""

    def __array__(self) -> NDArray[Any]:
        """Return it as numpy's."""


class VideoFrame(Protocol):
    """A frame of PyAV."""

    def to_ndarray(self, *, format: str) -> NDArray[Any]:  # noqa: A002 - PyAV's name
        """Return its pixels in a format such as ``rgb24``."""


# A string is a path or an http(s) address; bytes and a file object are the content of an image file.
ImageInput: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryFile
    | Image.Image
    | PixelArray
    | VideoFrame
)
AnyImage = TypeVar("AnyImage", bound=ImageInput)
# The order of the channels of pixels; files and Pillow images state theirs.
ColorOrder = Literal["rgb", "bgr"]

ACCEPTED = (
    "a path, an http(s) address, bytes, a binary file object, a Pillow image, PyAV's frame, or pixels: uint8, or floating point from 0 to 1, "
    "in the shape (H, W, 3), (H, W, 4), (H, W) or (N, H, W, 3); torch tensors (3, H, W) or (N, 3, H, W) too"
)
_CHANNELS = (1, 3, 4)


def source_name(image: ImageInput) -> str:
    """Return the name that an image has in its rows: a path, an address without its secrets, or nothing."""
    if isinstance(image, str) and is_url(image):
        return redact_url(image)
    if isinstance(image, str | os.PathLike):
        path = os.fsdecode(image)
        return path if len(path) <= MAX_PATH_LENGTH else ""
    name = getattr(image, "filename" if isinstance(image, Image.Image) else "name", "")
    return name if isinstance(name, str) else ""


def read_input(image: ImageInput, *, color: ColorOrder = "rgb") -> tuple[NDArray[np.uint8], bytes | None]:
    """Return the upright pixels of an image, and the bytes of the file that they are from.

    Args:
        image: see `ACCEPTED`; transparent pixels are composited on black.
        color: order of the channels if the image is an array or a tensor, as ``"bgr"`` from `cv2.imread`.

    Returns:
        ``(H, W, 3)`` RGB or ``(H, W)`` grayscale uint8, and the file's content, None if the image is no file.

    Raises:
        UnreadableImage: the file, address or Pillow image cannot be read.
        TypeError: it is something else, or pixels in an unclear format.
        ValueError: the color order is unknown.
    """
    if color not in ("rgb", "bgr"):
        raise ValueError(f"`color` must be 'rgb' or 'bgr', got {color!r}")
    if isinstance(image, Image.Image):
        return decode_pillow(image), None
    if isinstance(image, str) and is_url(image):
        data = download_image(image)
    elif isinstance(image, str | os.PathLike):
        data = _read_path(os.fsdecode(image))
    elif isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    elif hasattr(image, "read"):
        data = _read_file_object(image)
    elif hasattr(image, "to_ndarray"):  # a frame of PyAV, which knows its colors
        return pixels_from_array(image.to_ndarray(format="rgb24")), None
    else:
        return pixels_from_array(as_array(image), color=color), None
    return decode_image(data), data


def split_batch(image: ImageInput | Sequence[ImageInput]) -> Sequence[ImageInput] | None:
    """Return the images of a list, a tuple, or an array or tensor of several; None for a single image."""
    if isinstance(image, list | tuple):
        return image
    is_batch = getattr(image, "ndim", 0) == 4 and hasattr(image, "shape")
    return cast("Sequence[ImageInput]", as_array(image)) if is_batch else None


def as_array(image: object) -> NDArray[Any]:
    """Return an array or tensor as an array with the channels last.

    A torch tensor has its channels first unless only its last axis can be the channels.

    Raises:
        TypeError: it is neither, or the order of its axes is ambiguous.
    """
    if type(image).__module__.split(".")[0] == "torch" and hasattr(image, "detach"):
        return _array_from_tensor(image)
    # Lists of numbers are refused: without a dtype, neither range nor order is certain.
    if isinstance(image, str | bytes | Mapping | list | tuple) or not hasattr(image, "__array__"):
        is_several = isinstance(image, Iterable) and not isinstance(
            image, str | bytes | Mapping | list | tuple
        )
        hint = ": several images must be a list, such as `list(images)`" if is_several else ""
        raise TypeError(f"an image must be {ACCEPTED}; got {type(image).__name__}{hint}")
    return np.asarray(image)


def _array_from_tensor(tensor: Any) -> NDArray[Any]:
    values = tensor.detach().cpu()
    # numpy has no bfloat16.
    array = np.asarray((values.float() if values.is_floating_point() else values).numpy())
    if array.ndim not in (3, 4):
        return array
    first, last = array.shape[-3] in _CHANNELS, array.shape[-1] in _CHANNELS
    if first and last:
        raise TypeError(
            f"a tensor of shape {tuple(array.shape)} may have its channels first or last: pass a numpy array with the "
            "channels last, (H, W, 3)"
        )
    return np.moveaxis(array, -3, -1) if first else array


def pixels_from_array(array: NDArray[Any], *, color: ColorOrder = "rgb") -> NDArray[np.uint8]:
    """Return ``(H, W)`` or ``(H, W, C)`` values as ``(H, W, 3)`` RGB or ``(H, W)`` grayscale uint8.

    Raises:
        TypeError: shape, dtype or range are none of those in `ACCEPTED`.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        hint = ""
        if array.ndim == 1 and array.dtype.kind in "OSTU":
            hint = "; several images must be a list, such as `images.tolist()`"
        elif array.ndim == 1 and array.dtype == np.uint8:
            hint = "; the bytes of an image file are passed as `array.tobytes()`"
        elif array.ndim == 3 and array.shape[0] in _CHANNELS:
            hint = "; if its channels are first, pass `pixels.transpose(1, 2, 0)`"
        raise TypeError(
            f"pixels must be (H, W, 3), (H, W, 4), (H, W) or (N, H, W, 3), got {array.dtype} {array.shape}{hint}"
        )
    pixels = _to_uint8(array)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = composite_on_black(pixels)
    if pixels.ndim == 3 and color == "bgr":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def _to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        if array.max() == 1:
            _warn_of_ones()
        return array
    expected = "pixels must be uint8, or floating point from 0 to 1"
    if array.dtype.kind == "b":
        raise TypeError(f"{expected}, got {array.dtype}: pass `pixels.astype(float)`")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{expected}, got {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind in "iu":
        ways = "`.astype(numpy.uint8)` if 255 is white" if low >= 0 and high <= 255 else ""
        ways += " or " if ways else ""
        raise TypeError(
            f"{expected}, got {array.dtype} from {low:g} to {high:g}: pass {ways}`pixels / WHITE`, where WHITE is the value "
            "of white, such as 65535 for 16 bits"
        )
    if not (np.isfinite(low) and np.isfinite(high)):
        raise TypeError(
            "floating-point pixels must range from 0 to 1, but some are not finite (NaN or infinity)"
        )
    if not (low >= 0 and high <= 1):
        raise TypeError(
            f"floating-point pixels must range from 0 to 1, got {low:g} to {high:g}: divide values up to 255 by 255, and undo "
            "a normalization by mean and standard deviation"
        )
    return np.asarray(np.rint(array * 255), dtype=np.uint8)


@cache
def _warn_of_ones() -> None:
    _log.warning(
        "uint8 pixels that are all 0 or 1 are almost black: if 1 is white, pass `pixels * 255`, or floating point from 0 to 1"
    )


def _read_path(path: str) -> bytes:
    """Return the bytes of a file; an error also says what the path might have been meant as.

    Raises:
        UnreadableImage: see `read_image_file`.
    """
    if not path or len(path) > MAX_PATH_LENGTH:
        hint = f", {len(path):,} characters long: {explain_name(path)}" if path else ": the path is empty"
        raise UnreadableImage("missing_file", f"there is no file of this name{hint}")
    try:
        return read_image_file(Path(path))
    except UnreadableImage as error:
        if error.reason != "missing_file" and not explain_name(path):
            raise
        detail = error.detail
        if hint := explain_name(path):
            detail = f"{detail}: {hint}"
        elif glob.has_magic(path):
            detail = f"{detail}: for a pattern, pass the list `glob.glob(...)`"
        elif os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` raises for long names
            detail = "it is a folder: pass a list of the images in it, such as `[*Path(...).glob('*.jpg')]`"
        raise UnreadableImage(error.reason, detail) from None


def _read_file_object(file: Any) -> bytes:
    """Return what is left in a file object.

    Raises:
        UnreadableImage: it is too large, or already at its end.
        TypeError: it returns no bytes.
    """
    if isinstance(file, io.TextIOBase):
        raise TypeError("a file object must return bytes: open it in binary mode, 'rb'")
    try:
        data = file.read(MAX_FILE_BYTES + 1)
    except io.UnsupportedOperation:
        raise TypeError("a file object must be opened for reading, in mode 'rb'") from None
    except OSError as error:
        raise UnreadableImage("unreadable_file", error.strerror or str(error)) from None
    if not isinstance(data, bytes | bytearray | memoryview):
        if hasattr(data, "close"):
            data.close()  # a coroutine, which Python would otherwise report as never awaited
        raise TypeError(
            f"a file object must return bytes, got {type(data).__name__} from {type(file).__name__}: open it in binary mode, "
            "or pass the bytes that an asynchronous `read` returns"
        )
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableImage("image_too_large", f"more than {MAX_FILE_BYTES:,} bytes")
    if not data and isinstance(file, io.IOBase) and file.seekable() and file.tell():
        raise UnreadableImage("empty_file", "the file object is at its end: call `seek(0)` before it is read")
    start = file.tell() - len(data) if isinstance(file, io.IOBase) and file.seekable() else 0
    if start > 0 and identify_format(bytes(data[:N_SIGNATURE_BYTES])) is None:
        raise UnreadableImage(
            "not_an_image",
            f"the file object was read from byte {start:,} on: call `seek(0)` before it is read",
        )
    return bytes(data)
