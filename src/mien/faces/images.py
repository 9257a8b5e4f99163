"""Reading pictures: any file that may be an image becomes RGB or grey pixels, or a named refusal.

Convention: ``(H, W, 3)`` uint8 RGB, or ``(H, W)`` uint8 where the file itself is grey; upright (EXIF applied).
"""

import io
import math
import threading
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
# Cameras write a progressive JPEG in about ten scans. One scan more costs a file some bytes and its reader the time of
# a whole picture: 30 kB can hold seconds of work.
MAX_JPEG_SCANS = 100
# What files of pictures are called; what a file is, its content decides.
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)


@dataclass(frozen=True, slots=True)
class UnreadableImage(Exception):  # noqa: N818 - a value as much as an error: it becomes a row
    """Why a file is no usable picture.

    Attributes:
        reason: ``empty_file``, ``not_an_image``, ``truncated_image``, ``image_too_large`` or ``unclear_depth``; of
            `mien.faces.image_files` also ``missing_file``, ``not_a_file`` or ``unreadable_file``.
        detail: what was found, for a person.
    """

    reason: str
    detail: str

    def __str__(self) -> str:
        return self.detail


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an image file's bytes, whatever its name says, and turn it upright.

    Args:
        data: a JPEG, PNG, BMP, WebP, GIF or TIFF file's content.
        max_pixels: a larger picture is refused before it is decoded.

    Returns:
        RGB or grey pixels, see the module. Transparency is laid on black, CMYK and palettes become RGB,
        values of 16 bits and of floating point are scaled to 8 bits where their range is clear.

    Raises:
        UnreadableImage: with the reason.
    """
    return open_picture(data, max_pixels=max_pixels).decode()[0]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture whose size is known, and whose pixels a common JPEG can give halved for less than whole.

    Attributes:
        size_wh: width and height of the upright picture.
        pixels: of what is decoded already, else None.
        jpeg: the file of what is not.
        colorspace: to decode the JPEG to, ``RGB`` or ``GRAY``.
        orientation: EXIF's, 1 to 8.
    """

    size_wh: tuple[int, int]
    pixels: NDArray[np.uint8] | None = None
    jpeg: bytes = b""
    colorspace: str = "RGB"
    orientation: int = 1

    def decode(self, halvings: int = 0) -> tuple[NDArray[np.uint8], int]:
        """Return upright pixels, and how many of the halvings wanted they have had.

        A halving is that of `mien.faces.crop`: libjpeg's smaller pictures are means of blocks too. What it was
        not built for has had none: other files, and JPEGs that are to be turned.

        Raises:
            UnreadableImage: the picture is damaged.
        """
        if self.pixels is not None:
            return self.pixels, 0
        if self.orientation != 1:
            halvings = 0
        halvings = min(halvings, _MOST_JPEG_HALVINGS, min(self.size_wh).bit_length() - 1)
        try:
            pixels = _decode_jpeg(self.jpeg, self.colorspace, self.size_wh, halvings)
        except ValueError:
            return _decode_with_pillow(self.jpeg, MAX_PIXELS), 0
        return _upright(pixels[:, :, 0] if self.colorspace == "GRAY" else pixels, self.orientation), halvings


def open_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Find out the size of an image file's picture, decoding it where there is no other way.

    Args:
        data: as of `decode_image`.
        max_pixels: as of `decode_image`.

    Raises:
        UnreadableImage: as `decode_image`; the damage of a common JPEG shows only in `Picture.decode`.
    """
    if not data:
        raise UnreadableImage("empty_file", "the file has 0 bytes")
    picture = None
    if data[:2] == b"\xff\xd8":
        _require_few_scans(data)
        picture = _open_plain_jpeg(data, max_pixels)
    if picture is None:
        pixels = _decode_with_pillow(data, max_pixels)
        picture = Picture((pixels.shape[1], pixels.shape[0]), pixels)
    return picture


# libjpeg gives a picture at 1/2, 1/4 and 1/8 of its size.
_MOST_JPEG_HALVINGS = 3
# Of the warnings of libjpeg, those that mean lost pixels; others, such as stray bytes, do no harm.
_JPEG_DAMAGES = ("premature end", "bad huffman code", "instead of rst")


def _open_plain_jpeg(data: bytes, max_pixels: int) -> Picture | None:
    """Open the common JPEG, which decodes three times as fast without Pillow; None where it is none (CMYK)."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _require_size(width, height, max_pixels)
    if colorspace not in ("YCbCr", "Gray", "RGB"):
        return None
    orientation = _orientation(partial(_jpeg_exif, data))
    return Picture(
        size_wh=(height, width) if orientation >= 5 else (width, height),
        jpeg=data,
        colorspace="GRAY" if colorspace == "Gray" else "RGB",
        orientation=orientation,
    )


def _decode_jpeg(data: bytes, colorspace: str, size_wh: tuple[int, int], halvings: int) -> NDArray[np.uint8]:
    """Decode without mercy for lost pixels; a last row or column that is no whole block is left out."""
    wanted: dict[str, int] = {}
    width, height = (side >> halvings for side in size_wh)
    if halvings:
        wanted = {"min_width": width, "min_height": height, "min_factor": 2**halvings}
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace, strict=True, **wanted)
    except ValueError as error:
        if any(damage in str(error).lower() for damage in _JPEG_DAMAGES):
            raise UnreadableImage("truncated_image", str(error)) from None
        pixels = simplejpeg.decode_jpeg(data, colorspace, strict=False, **wanted)
    return np.asarray(pixels[:height, :width] if halvings else pixels, dtype=np.uint8)


def _require_few_scans(jpeg: bytes) -> None:
    # Within a scan 0xff is followed by 0 alone, so that nearly each of these pairs is a scan.
    n_scans = jpeg.count(b"\xff\xda")
    if n_scans > MAX_JPEG_SCANS:
        raise UnreadableImage("image_too_large", f"{n_scans:,} scans, the limit is {MAX_JPEG_SCANS}")


def _require_size(width: int, height: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise UnreadableImage("image_too_large", f"{width}x{height} pixels, the limit is {max_pixels:,}")


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


_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*")
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8")


class _QuietPillow:
    """Silences Pillow's remarks on damaged metadata while any thread is inside.

    The filters of warnings belong to the whole process: `warnings.catch_warnings` in threads that overlap would leave
    them changed for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._before.__exit__(None, None, None)


_QUIET_PILLOW = _QuietPillow()


def _decode_with_pillow(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    try:
        with (
            _QUIET_PILLOW,
            Image.open(io.BytesIO(data), formats=_FORMATS) as image,
        ):
            _require_size(image.width, image.height, max_pixels)
            if image.format == "TIFF":
                _require_size(*_tile_size(image), max_pixels)
            image.load()
            pixels = _to_pixels(image)
            _require_clear_depth(image, pixels, data)
            return _upright(pixels, _orientation(image.getexif))
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage("image_too_large", str(error)) from None
    except UnidentifiedImageError:
        if data.startswith(_BEGINNINGS):
            raise UnreadableImage("truncated_image", "the file ends or is damaged in its header") from None
        if data.startswith(_TIFF_BEGINNINGS):
            raise UnreadableImage(
                "not_an_image",
                "a TIFF of a kind that is not read, such as colors of floating point: save it as PNG",
            ) from None
        raise UnreadableImage("not_an_image", f"begins with {data[:16]!r}") from None
    except Exception as error:  # noqa: BLE001 - damaged files lead Pillow's readers into errors of any kind
        raise UnreadableImage("truncated_image", str(error) or type(error).__name__) from None


_TIFF_BITS, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 0x0102, 0x0142, 0x0143
# The place of the bits a channel in a PNG, whose header comes first.
_PNG_DEPTH = 24


def _tile_size(tiff: Image.Image) -> tuple[int, int]:
    """Return the width and height of a TIFF's tiles, 0 where it has none: one is decoded whole, however small the picture."""
    tags = tiff.getexif()
    return int(tags.get(_TIFF_TILE_WIDTH, 0)), int(tags.get(_TIFF_TILE_HEIGHT, 0))


def _orientation(read_exif: Callable[[], Image.Exif]) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it is damaged, which costs no picture."""
    try:
        with _QUIET_PILLOW:
            orientation = int(read_exif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - Pillow meets damaged EXIF with errors of any kind
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation (EXIF 2.3, tag 0x0112); 1 changes nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


# Pixels of 16 bits are taken for the full range where the brightest is above this. Below it they may as well be of 10, 12
# or 14 bits in 16, as cameras and microscopes write them, and the file does not say: read as 16 they would be dark or black.
_SURE_16_BIT = 2**14
# Pixels of floating point are taken for 0 to 255 where the brightest is above this, and for 0 to 1 up to 1.
_SURE_FLOAT_255 = 64


def _to_pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        return _scaled_to_8_bits(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"), dtype=np.uint8)


def _scaled_to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return grey pixels of integers of more than 8 bits, or of floating point, scaled to 0 to 255.

    Raises:
        UnreadableImage: ``unclear_depth`` where their range cannot be told.
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
        kind = "floating point" if is_float else "more than 8 bits"
        raise UnreadableImage(
            "unclear_depth",
            f"pixels of {kind} from {low:g} to {high:g}, of which the file does not say the range",
        )
    scaled = values.astype(np.float64) * factor
    return np.asarray(np.rint(scaled) if is_float else scaled, dtype=np.uint8)


def _require_clear_depth(image: Image.Image, pixels: NDArray[np.uint8], data: bytes) -> None:
    """Refuse colors of 16 bits of which nothing is bright: Pillow gives their upper 8 bits alone.

    Raises:
        UnreadableImage: ``unclear_depth``.
    """
    is_deep = (image.format == "PNG" and data[_PNG_DEPTH] == 16) or (
        image.format == "TIFF" and max(np.atleast_1d(image.getexif().get(_TIFF_BITS, 8))) > 8
    )
    high = int(pixels.max(initial=0))
    if is_deep and pixels.ndim == 3 and high < _SURE_16_BIT >> 8:
        raise UnreadableImage(
            "unclear_depth",
            f"pixels of 16 bits up to about {256 * high:,}, of which the file does not say the range",
        )


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Return pixels (RGB or grey) as a JPEG file's bytes; grey stays grey, which is smaller and faster."""
    if pixels.ndim == 2:
        grey = np.ascontiguousarray(pixels[:, :, None])
        return bytes(simplejpeg.encode_jpeg(grey, quality, "GRAY", colorsubsampling="Gray"))
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", colorsubsampling="420"))


def decode_jpeg_rgb(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Return a JPEG that `encode_jpeg` wrote as ``(H, W, 3)`` uint8 RGB."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    # Into aligned memory libjpeg-turbo writes past the cache, and whatever reads the crop next takes twice as
    # long (benchmarks/training_input.py); an odd address is never aligned.
    buffer = np.empty(height * width * 3 + 2, dtype=np.uint8)
    odd = buffer[1 - buffer.ctypes.data % 2 :][: height * width * 3]
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB", buffer=odd), dtype=np.uint8)


def to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``(H, W, 3)`` RGB of pixels that may be grey."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
