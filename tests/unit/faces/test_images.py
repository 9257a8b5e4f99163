"""Reading pictures of every kind, and refusing what is none."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from mien.faces.images import (
    MAX_JPEG_SCANS,
    MAX_PIXELS,
    UnreadableImage,
    decode_image,
    decode_jpeg_rgb,
    encode_jpeg,
    open_picture,
    to_rgb,
)

Pixels = NDArray[np.uint8]


def smooth_picture(width: int = 60, height: int = 44) -> Pixels:
    """Four coloured quarters, blurred: no two of its eight turned and mirrored versions are alike."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (220, 40, 40)
    pixels[: height // 2, width // 2 :] = (40, 200, 60)
    pixels[height // 2 :, : width // 2] = (50, 60, 210)
    pixels[height // 2 :, width // 2 :] = (230, 220, 200)
    return np.asarray(cv2.GaussianBlur(pixels, (9, 9), 3), dtype=np.uint8)


PICTURE = smooth_picture()
GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rgb_image() -> Image.Image:
    return Image.fromarray(PICTURE)


def stray_bytes() -> bytes:
    data = save(rgb_image(), "JPEG", quality=95, progressive=True)
    return data[:-2] + b"abc" + data[-2:]


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        pytest.param(lambda: save(rgb_image(), "PNG"), 0, id="PNG"),
        pytest.param(lambda: save(rgb_image(), "BMP"), 0, id="BMP"),
        pytest.param(lambda: save(rgb_image(), "TIFF", compression="tiff_lzw"), 0, id="TIFF"),
        pytest.param(lambda: save(rgb_image(), "WEBP", lossless=True), 0, id="WebP"),
        pytest.param(lambda: save(rgb_image(), "PPM"), 0, id="PPM"),
        pytest.param(lambda: save(rgb_image().quantize(256), "PNG"), 12, id="palette PNG"),
        pytest.param(lambda: save(rgb_image().quantize(256), "GIF"), 12, id="GIF"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95), 12, id="JPEG"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95, progressive=True), 12, id="progressive"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95, subsampling=0), 12, id="JPEG 4:4:4"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95, keep_rgb=True), 12, id="RGB JPEG"),
        pytest.param(lambda: save(rgb_image().convert("CMYK"), "JPEG", quality=95), 16, id="Adobe CMYK JPEG"),
        pytest.param(lambda: save(rgb_image().convert("CMYK"), "TIFF"), 0, id="CMYK TIFF"),
        pytest.param(lambda: save(rgb_image().convert("RGBA"), "PNG"), 0, id="opaque RGBA"),
        pytest.param(lambda: png_16_bit(PICTURE), 0, id="16-bit RGB PNG"),
        pytest.param(
            lambda: save(rgb_image(), "JPEG", quality=95) + b"\0junk" * 9, 12, id="junk after the end"
        ),
        pytest.param(stray_bytes, 12, id="stray bytes before the end"),
    ],
)
def test_every_kind_gives_its_pixels(data: Callable[[], bytes], tolerance: int) -> None:
    """Each kind of file is read as the RGB picture that it holds."""
    pixels = decode_image(data())
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - PICTURE).max() <= tolerance


def png_16_bit(pixels: Pixels) -> bytes:
    return bytes(cv2.imencode(".png", pixels[:, :, ::-1].astype(np.uint16) * 257)[1])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(lambda: save(Image.fromarray(GREY), "PNG"), GREY, id="8-bit"),
        pytest.param(
            lambda: save(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"), GREY, id="16-bit PNG"
        ),
        pytest.param(lambda: save(Image.fromarray(GREY.astype(np.uint16)), "PNG"), GREY, id="16-bit, 8 used"),
        pytest.param(
            lambda: save(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"), GREY, id="16-bit TIFF"
        ),
        pytest.param(
            lambda: save(Image.fromarray(GREY.astype(np.int32) * 257), "TIFF"), GREY, id="32-bit TIFF"
        ),
        pytest.param(
            lambda: save(Image.fromarray(GREY > 128), "PNG"), (GREY > 128).astype(np.uint8) * 255, id="1-bit"
        ),
    ],
)
def test_grey_stays_grey(data: Callable[[], bytes], expected: Pixels) -> None:
    """A grey file gives one plane, 16-bit values scaled to 8."""
    np.testing.assert_array_equal(decode_image(data()), expected)


FLOATS = GREY.astype(np.float32)


@pytest.mark.parametrize("pixels", [FLOATS / 255, FLOATS], ids=["0 to 1", "0 to 255"])
def test_floating_point_is_scaled(pixels: NDArray[np.float32]) -> None:
    """A TIFF as scikit-image and scipy write it gives the picture that it holds, not a black one."""
    np.testing.assert_array_equal(decode_image(save(Image.fromarray(pixels), "TIFF")), GREY)


def deep_color(top: int, ending: str) -> bytes:
    """A picture of colors of 16 bits whose white is at `top`."""
    pixels = np.rint(PICTURE[:, :, ::-1].astype(np.float64) * top / 255).astype(np.uint16)
    return bytes(cv2.imencode(ending, pixels)[1])


def deep_grey(top: int, ending: str) -> bytes:
    pixels = np.rint(GREY.astype(np.float64) * top / 255).astype(np.uint16)
    return save(Image.fromarray(pixels), {".png": "PNG", ".tiff": "TIFF"}[ending])


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("top", [1023, 4095, 16383], ids=["10 bits", "12 bits", "14 bits"])
@pytest.mark.parametrize("make", [deep_grey, deep_color])
def test_fewer_bits_in_16_are_refused(make: Callable[[int, str], bytes], top: int, ending: str) -> None:
    """As 16 bits they would be dark or black, and the file does not say what they are."""
    with pytest.raises(UnreadableImage, match=r"bits .*of which the file does not say the range") as refused:
        decode_image(make(top, ending))
    assert refused.value.reason == "unclear_depth"


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_deep_pictures_are_never_black(top: int, ending: str) -> None:
    """8 bits in 16 are read where both bytes can be seen, else refused; 16 bits are scaled."""
    assert np.abs(decode_image(deep_grey(top, ending)).astype(int) - GREY).max() <= 1
    if top == 65535:
        assert np.abs(decode_image(deep_color(top, ending)).astype(int) - PICTURE).max() <= 1
    else:
        with pytest.raises(UnreadableImage):
            decode_image(deep_color(top, ending))


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(FLOATS / 127.5 - 1, id="-1 to 1"),
        pytest.param(FLOATS * 257, id="0 to 65535"),
        pytest.param(FLOATS / 200, id="a little over 1"),
        pytest.param(np.where(GREY > 200, np.float32(np.nan), FLOATS), id="NaN"),
        pytest.param((GREY.astype(np.int32) - 128) * 2**24, id="32-bit with a sign"),
    ],
)
def test_ranges_that_nobody_knows_are_refused(pixels: NDArray[np.generic]) -> None:
    """Nothing is clipped to black or white unsaid."""
    with pytest.raises(UnreadableImage, match="of which the file does not say the range"):
        decode_image(save(Image.fromarray(pixels), "TIFF"))


def test_colors_of_floating_point_are_told() -> None:
    """Pillow does not know them; the message says how to go on."""
    tiff = bytes(cv2.imencode(".tiff", PICTURE.astype(np.float32) / 255)[1])
    with pytest.raises(UnreadableImage, match="a TIFF of a kind that is not read"):
        decode_image(tiff)


def test_grey_jpeg_is_one_plane() -> None:
    """The common grey JPEG is not blown up to three planes."""
    pixels = decode_image(save(Image.fromarray(GREY), "JPEG", quality=95))
    assert pixels.shape == GREY.shape
    assert np.abs(pixels.astype(int) - GREY).max() < 8


def test_transparency_is_laid_on_black() -> None:
    """What is transparent is black, and half of it half as bright, in RGBA, grey with alpha and palettes."""
    alpha = np.zeros(GREY.shape, np.uint8)
    alpha[:, 20:] = 128
    alpha[:, 40:] = 255
    rgba = decode_image(save(Image.fromarray(np.dstack([PICTURE, alpha])), "PNG"))
    expected = PICTURE * (alpha[:, :, None] / 255)
    np.testing.assert_allclose(rgba, expected, atol=1)
    la = decode_image(save(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]), "PNG"))
    np.testing.assert_allclose(la[:, :, 1], GREY * (alpha / 255), atol=1)
    palette = rgb_image().quantize(16)
    first = np.asarray(palette) == 0
    assert not decode_image(save(palette, "PNG", transparency=0))[first].any()


def test_first_frame_of_an_animation() -> None:
    """A GIF that moves gives its first picture."""
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pixels = decode_image(save(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.abs((pixels if pixels.ndim == 2 else pixels[:, :, 0]).astype(int) - GREY).max() <= 2


# How a picture is stored under each orientation, so that the reader must undo it (EXIF 2.3, tag 0x0112).
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: lambda p: np.rot90(p, -1),
}


def with_orientation(orientation: int, kind: str, pixels: Pixels = PICTURE) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = (
        {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    )
    stored = np.ascontiguousarray(STORED[orientation](pixels))
    return save(Image.fromarray(stored), kind, exif=exif.tobytes(), **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations(orientation: int, kind: str) -> None:
    """A picture stored turned or mirrored comes out upright, as Pillow turns it."""
    data = with_orientation(orientation, kind)
    pixels = decode_image(data)
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - PICTURE).max() <= (20 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientation_of_grey_and_cmyk_jpegs(orientation: int) -> None:
    """Grey and CMYK JPEGs are turned too."""
    grey = decode_image(with_orientation(orientation, "JPEG", GREY))
    assert np.abs(grey.astype(int) - GREY).max() <= 8
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](PICTURE))).convert("CMYK")
    cmyk = decode_image(save(stored, "JPEG", quality=95, exif=exif.tobytes()))
    assert np.abs(cmyk.astype(int) - PICTURE).max() <= 16


def test_orientation_behind_a_long_segment() -> None:
    """EXIF is found behind other segments, a colour profile of 60 kB among them."""
    data = with_orientation(6, "JPEG")
    profile = b"\xff\xe2" + struct.pack(">H", 60_002) + b"ICC_PROFILE\0\1\1" + bytes(59_986)
    assert decode_image(data[:2] + profile + data[2:]).shape == PICTURE.shape


@pytest.mark.parametrize("tail", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"\xff" * 40])
def test_damaged_exif_costs_no_picture(tail: bytes) -> None:
    """A picture whose EXIF cannot be read is taken as it is stored."""
    segment = b"Exif\0\0" + tail
    data = save(rgb_image(), "JPEG", quality=95)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    assert decode_image(data).shape == PICTURE.shape


JPEG = save(rgb_image(), "JPEG", quality=95)
PROGRESSIVE = save(rgb_image(), "JPEG", quality=95, progressive=True)
PNG = save(rgb_image(), "PNG")


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(99))),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG whose frame header was changed to another size."""
    place = JPEG.index(b"\xff\xc0")
    return JPEG[: place + 5] + struct.pack(">HH", height, width) + JPEG[place + 9 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "empty_file", id="empty"),
        pytest.param(b"hello, this is no picture\n", "not_an_image", id="text"),
        pytest.param(b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image", id="HTML"),
        pytest.param(b"\0" * 4096, "not_an_image", id="zeros"),
        pytest.param(b"%PDF-1.4 ...", "not_an_image", id="PDF"),
        pytest.param(JPEG[:2], "not_an_image", id="two bytes of a JPEG"),
        pytest.param(JPEG[:20], "truncated_image", id="JPEG cut in its header"),
        pytest.param(JPEG[: len(JPEG) // 2], "truncated_image", id="half a JPEG"),
        pytest.param(JPEG[:-40], "truncated_image", id="JPEG without its last bytes"),
        pytest.param(JPEG[: len(JPEG) // 2] + b"\xff\xd9", "truncated_image", id="half a JPEG, closed"),
        pytest.param(JPEG[:700] + bytes(len(JPEG) - 700), "truncated_image", id="JPEG ending in zeros"),
        pytest.param(PROGRESSIVE[: len(PROGRESSIVE) // 2], "truncated_image", id="half a progressive JPEG"),
        pytest.param(PNG[: len(PNG) // 2], "truncated_image", id="half a PNG"),
        pytest.param(PNG[:20], "truncated_image", id="PNG cut in its header"),
        pytest.param(PNG[:60] + b"xx" + PNG[62:], "truncated_image", id="PNG with damaged data"),
        pytest.param(png_header(60_000, 60_000), "image_too_large", id="bomb by PNG header"),
        pytest.param(png_header(10_000, 5_001), "image_too_large", id="just over the limit"),
        pytest.param(png_header(10_000, 5_000), "truncated_image", id="at the limit, but empty"),
        pytest.param(jpeg_header(60_000, 60_000), "image_too_large", id="bomb by JPEG header"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, reason: str) -> None:
    """Anything that is no whole picture of a sane size is refused with its reason and some detail."""
    with pytest.raises(UnreadableImage) as refusal:
        decode_image(data)
    assert refusal.value.reason == reason
    assert refusal.value.detail


def test_bomb_of_real_pixels() -> None:
    """A small file that really unpacks to more than the limit is refused."""
    side = int(MAX_PIXELS**0.5) + 8
    data = save(Image.new("1", (side, side)), "PNG")
    assert len(data) < 100_000
    with pytest.raises(UnreadableImage, match="the limit is 50,000,000") as refusal:
        decode_image(data)
    assert refusal.value.reason == "image_too_large"


def tiled_tiff(tile_side: int) -> bytes:
    """A white TIFF of 16 x 16 pixels in one tile, which may be larger than the picture."""
    tile = zlib.compress(b"\xff" * tile_side**2)
    size, bits, compression, photometric, samples = (256, 257), 258, 259, 262, 277
    fields = [(tag, 4, 16) for tag in size]
    fields += [(bits, 3, 8), (compression, 3, 8), (photometric, 3, 1), (samples, 3, 1)]
    place_of_tile = 8 + 2 + 12 * (len(fields) + 4) + 4
    fields += [(322, 4, tile_side), (323, 4, tile_side), (324, 4, place_of_tile), (325, 4, len(tile))]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + directory + bytes(4) + tile


def test_a_tiff_of_huge_tiles_is_refused_before_it_is_decoded() -> None:
    """A tile is decoded whole, so it is held to the limit of a picture, however small the picture in it."""
    assert (decode_image(tiled_tiff(16)) == 255).all()
    with pytest.raises(UnreadableImage, match="8192x8192 pixels, the limit is 50,000,000") as refusal:
        decode_image(tiled_tiff(8192))
    assert refusal.value.reason == "image_too_large"


def test_damaged_files_never_crash() -> None:
    """Whatever damage a file of any kind has, it is read or refused, in one way."""
    random = np.random.default_rng(0)
    originals = [JPEG, PROGRESSIVE, PNG, with_orientation(6, "JPEG")]
    originals += [save(rgb_image(), kind) for kind in ("BMP", "WEBP", "GIF", "PPM")]
    originals += [save(rgb_image().quantize(16), "PNG"), save(rgb_image().convert("CMYK"), "JPEG")]
    for original in originals:
        for _ in range(60):
            damaged = bytearray(original)
            for place in random.integers(0, min(len(damaged), 600), 4):
                damaged[place] = random.integers(0, 256)
            with contextlib.suppress(UnreadableImage):
                assert decode_image(bytes(damaged)).dtype == np.uint8


def test_threads_leave_the_filters_of_warnings_as_they_were() -> None:
    """The filters belong to the process: threads that decode at once must not leave them changed."""
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode_image, [with_orientation(6, "JPEG"), PNG] * 200))
    assert warnings.filters == before


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 5)])
def test_tiny_pictures(shape: tuple[int, int]) -> None:
    """A picture of one row, one column or one pixel is a picture."""
    grey = np.full(shape, 90, np.uint8)
    for kind in ("PNG", "JPEG"):
        assert decode_image(save(Image.fromarray(grey), kind)).shape == shape


def test_encoded_crop_comes_back() -> None:
    """A crop written and read is the same picture, grey ones as grey files."""
    decoded = decode_jpeg_rgb(encode_jpeg(PICTURE))
    assert np.abs(decoded.astype(int) - PICTURE).mean() < 3
    data = encode_jpeg(GREY)
    assert simplejpeg.decode_jpeg_header(data)[2] == "Gray"
    np.testing.assert_allclose(decode_jpeg_rgb(data), to_rgb(GREY), atol=6)
    assert len(data) < len(encode_jpeg(to_rgb(GREY)))


def test_crops_are_decoded_into_odd_addresses() -> None:
    """The pixels are those of a plain decoding, each crop's in memory of its own that begins at an odd address."""
    for data in map(encode_jpeg, (PICTURE, GREY, PICTURE[:1, :1])):
        crops = [decode_jpeg_rgb(memoryview(data)) for _ in range(8)]
        assert {crop.ctypes.data % 2 for crop in crops} == {1}
        np.testing.assert_array_equal(crops, [simplejpeg.decode_jpeg(data, "RGB")] * 8)


def test_to_rgb_leaves_colour_alone() -> None:
    """Three planes stay as they are, one plane becomes three equal ones."""
    assert to_rgb(PICTURE) is PICTURE
    assert (to_rgb(GREY) == GREY[:, :, None]).all()


def photo(height: int, width: int) -> Pixels:
    """Random colours with as much detail at every size as photographs have (amplitude 1 / frequency)."""
    random = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height)))
    frequency[0, 0] = np.inf
    planes = [np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / frequency).real for _ in "rgb"]
    grey, *tints = [plane / plane.std() for plane in planes]
    pixels = 128 + 45 * grey[:, :, None] + 12 * np.stack([tints[0], tints[1], -tints[0]], axis=2)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def halve(pixels: Pixels) -> Pixels:
    """Each 2 x 2 block becomes its rounded mean; an odd last row or column is dropped."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    even = pixels[: 2 * height, : 2 * width].astype(int)
    blocks = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
    return ((blocks + 2) // 4).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(mode: str) -> None:
    """Some bytes more are as much work as a whole picture more; a camera's few scans are read."""
    data = save(Image.fromarray(photo(40, 60)).convert(mode), "JPEG", progressive=True)
    assert decode_image(data).shape == (40, 60, 3)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImage) as refused:
        decode_image(data[:-2] + last_scan * MAX_JPEG_SCANS + data[-2:])
    assert refused.value.reason == "image_too_large"
    assert "scans, the limit is 100" in refused.value.detail


@pytest.mark.parametrize("size", [(160, 240), (161, 239), (163, 245), (167, 233)])
@pytest.mark.parametrize("halvings", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"subsampling": 0}, {"progressive": True}, {"grey": True}],
    ids=["4:2:0", "4:4:4", "prog", "grey"],
)
def test_jpeg_decoded_smaller_is_halved(
    size: tuple[int, int], halvings: int, options: dict[str, Any]
) -> None:
    """A JPEG that libjpeg decodes smaller is the picture halved by the crop's rule, but for rounding.

    Only colours that are stored at half the size are less smooth than where the whole picture is decoded.
    """
    is_subsampled = "subsampling" not in options and "grey" not in options
    image = Image.fromarray(photo(*size))
    options = dict(options)
    data = save(image.convert("L") if options.pop("grey", False) else image, "JPEG", quality=92, **options)
    small, done = open_picture(data).decode(halvings)
    expected = decode_image(data)
    for _ in range(halvings):
        expected = halve(expected)
    assert done == halvings
    assert small.shape == expected.shape
    difference = np.abs(small.astype(int) - expected)
    assert difference.mean() < (1.5 if is_subsampled else 0.6)
    assert np.percentile(difference, 99) <= (6 if is_subsampled else 2)
    brightness = np.abs((to_rgb(small).astype(float) - to_rgb(expected)) @ (0.299, 0.587, 0.114))
    assert brightness.mean() < 0.6


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: with_orientation(6, "JPEG"), id="to be turned"),
        pytest.param(lambda: save(rgb_image(), "PNG"), id="PNG"),
        pytest.param(lambda: save(rgb_image().convert("CMYK"), "JPEG"), id="CMYK"),
    ],
)
def test_what_cannot_be_decoded_smaller(data: Callable[[], bytes]) -> None:
    """Other pictures come whole, and say so."""
    picture = open_picture(data())
    pixels, done = picture.decode(2)
    assert done == 0
    assert (pixels.shape[1], pixels.shape[0]) == picture.size_wh == (60, 44)


def test_halvings_end_at_a_pixel() -> None:
    """However small is asked for, something of the picture is left."""
    pixels, done = open_picture(save(Image.fromarray(photo(5, 300)), "JPEG")).decode(9)
    assert (pixels.shape, done) == ((1, 75, 3), 2)


def test_damage_shows_in_smaller_pictures_too() -> None:
    """A truncated JPEG is refused however small it is wanted."""
    data = save(Image.fromarray(photo(160, 240)), "JPEG", quality=92)
    for halvings in range(4):
        with pytest.raises(UnreadableImage, match="Premature end"):
            open_picture(data[: len(data) * 3 // 4]).decode(halvings)
