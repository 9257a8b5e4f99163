"""Decoding images: the bytes of any file become RGB or grayscale pixels, or an `UnreadableImage` with the reason.

Convention: ``(H, W, 3)`` uint8 RGB, or ``(H, W)`` uint8 if the file itself is grayscale; upright (EXIF applied).
"""

import base64
import io
import math
import re
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien.faces.file_signatures import (
    HEIF_FORMATS,
    OTHER_IMAGE_FORMATS,
    READABLE_FORMATS,
    explain_format,
    identify_format,
)

# 50 megapixels is more than any camera's image of a face; a larger file is treated as a decompression bomb.
MAX_PIXELS = 50_000_000
JPEG_QUALITY = 92
# Cameras write a progressive JPEG in about ten scans. Each further scan adds a few bytes to a file but a full pass
# over the image to its decoding: 30 kB can hold seconds of work.
MAX_JPEG_SCANS = 100
# File name suffixes of images. What a file is decoded as depends on its content alone.
IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
        *(".avif", ".jp2", ".j2k", ".heic", ".heif", ".jxl"),
    )
)


class UnreadableImage(Exception):  # noqa: N818 - as much a value as an error: it becomes a row
    """Why a file is not a usable image.

    Attributes:
        reason: ``empty_file``, ``not_an_image``, ``unsupported_format``, ``truncated_image``, ``image_too_large`` or
            ``unclear_depth``; from `mien.faces.image_files` also ``missing_file``, ``not_a_file`` or
            ``unreadable_file``.
        detail: what was found, as text for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode the bytes of an image file, whatever its name, and rotate the image upright.

    Args:
        data: content of a JPEG, PNG, BMP, WebP, GIF, TIFF, PPM, JPEG 2000 or AVIF file, or with the extra ``heif`` of a
            HEIC file.
        max_pixels: larger images are refused before they are decoded.

    Returns:
        RGB or grayscale pixels, see the module. Transparent images are composited on black, CMYK and palettes become
        RGB, 16-bit and floating-point values are scaled to 8 bits if their range is unambiguous.

    Raises:
        UnreadableImage: the image cannot be decoded.
    """
    return open_image(data, max_pixels=max_pixels).decode()[0]


def count_images(data: bytes) -> int:
    """Return how many images the bytes of a file hold, of which `decode_image` returns the first.

    They are pages of a TIFF or HEIF, or frames of an animation. It is 1 for other formats, whose further images are thumbnails,
    and where they cannot be counted.
    """
    if identify_format(data) not in (*HEIF_FORMATS, "TIFF", "GIF", "PNG", "WebP", "AVIF"):
        return 1
    try:
        with _QUIET_PILLOW, Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001 - Pillow raises errors of any kind for damaged files
        return 1


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """An image of known size, not decoded yet if it is a common JPEG, which decodes faster at reduced size.

    Attributes:
        size_wh: width and height of the upright image.
        pixels: the pixels of an image that is already decoded, otherwise None.
        jpeg: the bytes of a JPEG that is not.
        colorspace: color space to decode the JPEG to, ``RGB`` or ``GRAY``.
        orientation: EXIF orientation, 1 to 8.
        max_pixels: see `decode_image`.
    """

    size_wh: tuple[int, int]
    pixels: NDArray[np.uint8] | None = None
    jpeg: bytes = b""
    colorspace: str = "RGB"
    orientation: int = 1
    max_pixels: int = MAX_PIXELS

    def decode(self, halvings: int = 0) -> tuple[NDArray[np.uint8], int]:
        """Return upright pixels, and how many of the requested halvings have been applied.

        A halving is the one of `mien.faces.crop`: libjpeg's reduced images are block means too. Other formats, and
        JPEGs that must be rotated, are decoded at full size.

        Raises:
            UnreadableImage: the image is damaged.
        """
        if self.pixels is not None:
            return self.pixels, 0
        if self.orientation != 1:
            halvings = 0
        halvings = min(halvings, _MAX_JPEG_HALVINGS, min(self.size_wh).bit_length() - 1)
        try:
            pixels = _decode_jpeg(self.jpeg, self.colorspace, self.size_wh, halvings)
        except ValueError:
            return _decode_with_pillow(self.jpeg, self.max_pixels), 0
        return _upright(pixels[:, :, 0] if self.colorspace == "GRAY" else pixels, self.orientation), halvings


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> EncodedImage:
    """Determine the size of the image in a file, decoding it only if necessary.

    Args:
        data: see `decode_image`.
        max_pixels: see `decode_image`.

    Raises:
        UnreadableImage: see `decode_image`; damage in a common JPEG is only found by `EncodedImage.decode`.
    """
    if not data:
        raise UnreadableImage("empty_file", "the file has 0 bytes")
    image = None
    if data[:2] == b"\xff\xd8":
        # Within a scan 0xff is followed by 0, so nearly every one of these pairs starts a scan.
        n_scans = data.count(b"\xff\xda")
        if n_scans > MAX_JPEG_SCANS:
            raise UnreadableImage("image_too_large", f"{n_scans:,} scans, the limit is {MAX_JPEG_SCANS}")
        image = _open_plain_jpeg(data, max_pixels)
    if image is None:
        pixels = _decode_with_pillow(data, max_pixels)
        image = EncodedImage((pixels.shape[1], pixels.shape[0]), pixels)
    return image


# libjpeg can decode an image at 1/2, 1/4 and 1/8 of its size.
_MAX_JPEG_HALVINGS = 3
# The warnings of libjpeg that mean lost pixels; others, such as stray bytes, are harmless.
_JPEG_DAMAGES = ("premature end", "bad huffman code", "instead of rst")


def _open_plain_jpeg(data: bytes, max_pixels: int) -> EncodedImage | None:
    """Open a common JPEG, which decodes three times as fast without Pillow; return None for others, such as CMYK."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _require_size(width, height, max_pixels)
    if colorspace not in ("YCbCr", "Gray", "RGB"):
        return None
    orientation = _orientation(partial(_jpeg_exif, data))
    return EncodedImage(
        size_wh=(height, width) if orientation >= 5 else (width, height),
        jpeg=data,
        colorspace="GRAY" if colorspace == "Gray" else "RGB",
        orientation=orientation,
        max_pixels=max_pixels,
    )


def _decode_jpeg(data: bytes, colorspace: str, size_wh: tuple[int, int], halvings: int) -> NDArray[np.uint8]:
    """Decode a JPEG, refusing one with lost pixels; an odd last row or column is dropped when halving."""
    scaling: dict[str, int] = {}
    width, height = (side >> halvings for side in size_wh)
    if halvings:
        scaling = {"min_width": width, "min_height": height, "min_factor": 2**halvings}
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace, strict=True, **scaling)
    except ValueError as error:
        if any(damage in str(error).lower() for damage in _JPEG_DAMAGES):
            raise UnreadableImage("truncated_image", str(error)) from None
        pixels = simplejpeg.decode_jpeg(data, colorspace, strict=False, **scaling)
    return np.asarray(pixels[:height, :width] if halvings else pixels, dtype=np.uint8)


def _require_size(width: int, height: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise UnreadableImage("image_too_large", f"{width}x{height} pixels, the limit is {max_pixels:,}")


_ORIENTATION_TAG = 0x0112
_START_OF_PIXELS = 0xDA


def _jpeg_exif(data: bytes) -> Image.Exif:
    """Return the EXIF data in the segments before a JPEG's pixels, empty if there is none."""
    exif = Image.Exif()
    start = 2
    while data[start : start + 1] == b"\xff" and data[start + 1] != _START_OF_PIXELS:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if data[start + 4 : start + 10] == b"Exif\0\0":
            exif.load(data[start + 4 : end])
            break
        start = end
    return exif


# Pillow's names. It tries only these decoders; HEIF is that of the extra `heif`.
_FORMATS = ["JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF"]


@cache
def heif_version() -> str | None:
    """Make Pillow read HEIC, and return the version of the library that does it; None if it is not installed."""
    try:
        import pillow_heif  # noqa: PLC0415 - only for files that need it
    except ImportError:
        return None
    pillow_heif.register_heif_opener(thumbnails=False)
    _FORMATS.append("HEIF")
    return str(pillow_heif.__version__)


class _QuietPillow:
    """Silences Pillow's warnings about damaged metadata while any thread is inside, and lifts its limit of pixels.

    The limit is `_require_size`, before anything is decoded. Warning filters and Pillow's limit belong to the process:
    `warnings.catch_warnings` in overlapping threads would leave them changed permanently.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before = warnings.catch_warnings()
        self._pixels_before = Image.MAX_IMAGE_PIXELS

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._pixels_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._before.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = self._pixels_before


_QUIET_PILLOW = _QuietPillow()


def _decode_with_pillow(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    name = identify_format(data)
    if name in OTHER_IMAGE_FORMATS and not (name in HEIF_FORMATS and heif_version()):
        raise UnreadableImage("unsupported_format", explain_format(name, data))
    try:
        with (
            _QUIET_PILLOW,
            Image.open(io.BytesIO(data), formats=_FORMATS) as image,
        ):
            _require_size(image.width, image.height, max_pixels)
            if image.format == "TIFF":
                # A tile, 0 x 0 if there are none, is decoded in full, however small the image.
                tags = image.getexif()
                _require_size(
                    int(tags.get(_TIFF_TILE_WIDTH, 0)), int(tags.get(_TIFF_TILE_HEIGHT, 0)), max_pixels
                )
            image.load()
            return _upright(_to_pixels(image, data), _orientation(image.getexif))
    except (UnreadableImage, MemoryError):
        raise
    except UnidentifiedImageError:
        if name == "TIFF":
            raise UnreadableImage(
                "not_an_image",
                "an unsupported kind of TIFF, such as floating-point colors or 64 bits per value: save it as PNG",
            ) from None
        if name in (READABLE_FORMATS - {"BMP", "PPM"}) | HEIF_FORMATS:
            raise UnreadableImage("truncated_image", "the header is incomplete or damaged") from None
        detail = f"begins with {data[:16]!r}" if name is None else explain_format(name, data)
        raise UnreadableImage("not_an_image", detail) from None
    except Exception as error:  # noqa: BLE001 - Pillow raises errors of any kind for damaged files
        raise UnreadableImage("truncated_image", str(error) or type(error).__name__) from None


_TIFF_BITS, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 0x0102, 0x0142, 0x0143
# Offset of the bits per channel in a PNG, whose header comes first.
_PNG_DEPTH = 24


def _orientation(read_exif: Callable[[], Image.Exif]) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is missing or damaged, which is no reason to refuse an image."""
    try:
        with _QUIET_PILLOW:
            orientation = int(read_exif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - Pillow raises errors of any kind for damaged EXIF
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rotate and flip pixels to undo an EXIF orientation (EXIF 2.3, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


# 16-bit pixels are taken to use the full range if the brightest is above this. Below it they might as well hold 10, 12 or
# 14 bits, as cameras and microscopes write them, and the file does not say: read as 16 bits they would be dark or black.
_SURE_16_BIT = 2**14
# Floating-point pixels are taken to range from 0 to 255 if the brightest is above this, and from 0 to 1 if it is at most 1.
_SURE_FLOAT_255 = 64


def _to_pixels(image: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a loaded Pillow image; ``data`` is its file.

    Raises:
        UnreadableImage: ``unclear_depth`` if the range of deep pixels is ambiguous.
    """
    if image.mode.startswith(("I", "F")):
        return _scaled_to_8_bits(np.asarray(image))
    pixels = _opaque_pixels(image)
    # Pillow keeps only the upper 8 bits of 16-bit colors.
    high = int(pixels.max(initial=0))
    if pixels.ndim == 3 and _has_16_bits(image, data) and high < _SURE_16_BIT >> 8:
        raise UnreadableImage(
            "unclear_depth", f"16-bit pixels up to about {256 * high:,}, whose range the file does not state"
        )
    return pixels


def _opaque_pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "La":  # Pillow converts it, whose gray is multiplied by its opacity, to nothing else
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"), dtype=np.uint8)


def composite_on_black(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``(H, W, 4)`` pixels, whose last channel is the opacity, as ``(H, W, 3)``."""
    opacity = pixels[:, :, 3:].astype(np.uint16)
    return np.asarray((pixels[:, :, :3] * opacity + 127) // 255, dtype=np.uint8)


def decode_pillow(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of a Pillow image as `decode_image` does those of a file, upright by its EXIF data.

    Raises:
        UnreadableImage: it is too large, empty or damaged, or its range is unclear.
    """
    _require_size(image.width, image.height, MAX_PIXELS)
    if not image.width or not image.height:
        raise UnreadableImage("empty_file", f"the image has {image.width}x{image.height} pixels")
    try:
        with _QUIET_PILLOW:
            image.load()
            is_deep = image.mode.startswith(("I", "F"))
            pixels = _scaled_to_8_bits(np.asarray(image)) if is_deep else _opaque_pixels(image)
            return _upright(pixels, _orientation(image.getexif))
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - Pillow raises errors of any kind for damaged files
        raise UnreadableImage("truncated_image", str(error) or type(error).__name__) from None


def _has_16_bits(image: Image.Image, data: bytes) -> bool:
    """Return whether the file of a loaded color image states more than 8 bits per channel, and up to 16."""
    if image.format == "PNG":
        return data[_PNG_DEPTH] == 16
    if image.format == "TIFF":
        return bool(max(np.atleast_1d(image.getexif().get(_TIFF_BITS, 8))) > 8)
    if image.format == "JPEG2000":
        # Ssiz, the depth of the first channel less one, in the marker segment that begins a code stream (ISO 15444-1).
        start = data.find(b"\xff\x4f\xff\x51")
        return start >= 0 and data[start + 42 : start + 43] == b"\x0f"
    # The largest value, which Pillow scales to 255, is the third number of a PPM.
    return (
        image.format == "PPM"
        and re.match(rb"P[36](\s+(#[^\n]*\n\s*)*\d+){2}\s+(#[^\n]*\n\s*)*65535\s", data) is not None
    )


def _scaled_to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return grayscale pixels of more than 8 bits or of floating point, scaled to 0 to 255.

    Raises:
        UnreadableImage: ``unclear_depth`` if their range is ambiguous.
    """
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    is_float = values.dtype.kind == "f"
    if low < 0 or not math.isfinite(high) or not math.isfinite(low):
        factor = None
    elif is_float:
        factor = 255.0 if high <= 1 else 1.0 if _SURE_FLOAT_255 < high <= 255 else None
    else:
        factor = 1.0 if high <= 255 else 1 / 256 if _SURE_16_BIT <= high < 2**16 else None
    if factor is None:
        kind = "floating-point pixels" if is_float else "pixels of more than 8 bits"
        raise UnreadableImage(
            "unclear_depth", f"{kind} from {low:g} to {high:g}, whose range the file does not state"
        )
    scaled = values.astype(np.float64) * factor
    return np.asarray(np.rint(scaled) if is_float else scaled, dtype=np.uint8)


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Encode RGB or grayscale pixels as JPEG. Grayscale stays grayscale, which is smaller and faster."""
    if pixels.ndim == 2:
        gray = np.ascontiguousarray(pixels[:, :, None])
        return bytes(simplejpeg.encode_jpeg(gray, quality, "GRAY", colorsubsampling="Gray"))
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", colorsubsampling="420"))


def image_uri(encoded: bytes | memoryview, kind: Literal["jpeg", "png"] = "jpeg") -> str:
    """Return an encoded image as a data URI, for pages that hold their images."""
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


def decode_jpeg_rgb(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Decode a JPEG from `encode_jpeg` to ``(H, W, 3)`` uint8 RGB."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    # libjpeg-turbo bypasses the cache when it writes to aligned memory, and whatever reads the crop next takes twice
    # as long (benchmarks/training_input.py); an odd address is never aligned.
    buffer = np.empty(height * width * 3 + 2, dtype=np.uint8)
    odd = buffer[1 - buffer.ctypes.data % 2 :][: height * width * 3]
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB", buffer=odd), dtype=np.uint8)


def decode_jpeg_gray(data: bytes | memoryview, *, min_side: int) -> NDArray[np.uint8]:
    """Decode a JPEG from `encode_jpeg` to ``(H, W)`` uint8, reduced to no less than a size as far as libjpeg can."""
    pixels = simplejpeg.decode_jpeg(data, "GRAY", min_width=min_side, min_height=min_side, min_factor=1)
    return np.asarray(pixels[:, :, 0], dtype=np.uint8)


def to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels that may be grayscale as ``(H, W, 3)`` RGB."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
