"""Reading pictures: any file that may be an image becomes RGB or grey pixels, or a named refusal.

Convention: ``(H, W, 3)`` uint8 RGB, or ``(H, W)`` uint8 where the file itself is grey; upright (EXIF applied).
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

# A frame of 50 megapixels is larger than any camera's face picture; above it a file is taken for a bomb.
MAX_PIXELS = 50_000_000
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class UnreadableImage(Exception):  # noqa: N818 - a value as much as an error: it becomes a row
    """Why a file is no usable picture.

    Attributes:
        reason: ``empty_file``, ``not_an_image``, ``truncated_image`` or ``image_too_large``.
        detail: what was found, for a person.
    """

    reason: str
    detail: str

    def __str__(self) -> str:
        return self.detail


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file's bytes, whatever its name says, and turn it upright.

    Args:
        data: a JPEG, PNG, BMP, WebP, GIF or TIFF file's content.

    Returns:
        RGB or grey pixels, see the module. Transparency is laid on black, CMYK and palettes become RGB,
        16-bit values are scaled to 8.

    Raises:
        UnreadableImage: with the reason.
    """
    if not data:
        raise UnreadableImage("empty_file", "the file has 0 bytes")
    if data[:2] == b"\xff\xd8":
        pixels = _decode_plain_jpeg(data)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(data)


# Of the warnings of libjpeg, those that mean lost pixels; others, such as stray bytes, do no harm.
_JPEG_DAMAGES = ("premature end", "bad huffman code", "instead of rst")


def _decode_plain_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """Decode the common JPEG, three times as fast as Pillow; None where Pillow should look (CMYK, rare kinds)."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        _require_size(width, height)
        if colorspace not in ("YCbCr", "Gray", "RGB"):
            return None
        pixels = _decode_strictly(data, "GRAY" if colorspace == "Gray" else "RGB")
    except ValueError:
        return None
    return _upright(
        pixels[:, :, 0] if colorspace == "Gray" else pixels, _orientation(partial(_jpeg_exif, data))
    )


def _decode_strictly(data: bytes, colorspace: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace, strict=True), dtype=np.uint8)
    except ValueError as error:
        if any(damage in str(error).lower() for damage in _JPEG_DAMAGES):
            raise UnreadableImage("truncated_image", str(error)) from None
    return np.asarray(simplejpeg.decode_jpeg(data, colorspace, strict=False), dtype=np.uint8)


def _require_size(width: int, height: int) -> None:
    if height * width > MAX_PIXELS:
        raise UnreadableImage("image_too_large", f"{width}x{height} pixels, the limit is {MAX_PIXELS:,}")


_ORIENTATION_TAG = 0x0112
_START_OF_PIXELS = 0xDA


def _jpeg_exif(data: bytes) -> Image.Exif:
    """Return the EXIF data of the segments before a JPEG's pixels, empty where there is none."""
    exif = Image.Exif()
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1] != _START_OF_PIXELS:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 4 : place + 10] == b"Exif\0\0":
            exif.load(data[place + 4 : end])
            break
        place = end
    return exif


_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")


def _decode_with_pillow(data: bytes) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _require_size(image.width, image.height)
                image.load()
                return _upright(_to_pixels(image), _orientation(image.getexif))
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage("image_too_large", str(error)) from None
    except UnidentifiedImageError:
        raise UnreadableImage("not_an_image", f"begins with {data[:16]!r}") from None
    except Exception as error:  # noqa: BLE001 - damaged files lead Pillow's readers into errors of any kind
        raise UnreadableImage("truncated_image", str(error) or type(error).__name__) from None


def _orientation(read_exif: Callable[[], Image.Exif]) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it is damaged, which costs no picture."""
    try:
        return int(read_exif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - Pillow meets damaged EXIF with errors of any kind
        return 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation (EXIF 2.3, tag 0x0112); 1 and numbers without a meaning change nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        values: NDArray[np.integer] = np.asarray(image)
        if values.max(initial=0) > 255:
            values = values // 256
        return np.asarray(np.clip(values, 0, 255), dtype=np.uint8)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"), dtype=np.uint8)


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Return pixels (RGB or grey) as a JPEG file's bytes; grey stays grey, which is smaller and faster."""
    if pixels.ndim == 2:
        grey = np.ascontiguousarray(pixels[:, :, None])
        return bytes(simplejpeg.encode_jpeg(grey, quality, "GRAY", colorsubsampling="Gray"))
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", colorsubsampling="420"))


def decode_jpeg_rgb(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Return a JPEG that `encode_jpeg` wrote as ``(H, W, 3)`` uint8 RGB."""
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"), dtype=np.uint8)


def to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``(H, W, 3)`` RGB of pixels that may be grey."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
