"""Reading images of every kind, and refusing what is none."""

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
    count_images,
    decode_image,
    decode_jpeg_rgb,
    encode_jpeg,
    open_image,
    to_rgb,
)

Pixels = NDArray[np.uint8]


def smooth_image(width: int = 60, height: int = 44) -> Pixels:
    """Four colored quarters, blurred: no two of its eight turned and mirrored versions are alike."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (220, 40, 40)
    pixels[: height // 2, width // 2 :] = (40, 200, 60)
    pixels[height // 2 :, : width // 2] = (50, 60, 210)
    pixels[height // 2 :, width // 2 :] = (230, 220, 200)
    return np.asarray(cv2.GaussianBlur(pixels, (9, 9), 3), dtype=np.uint8)


IMAGE = smooth_image()
GRAY = np.asarray(Image.fromarray(IMAGE).convert("L"))


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rgb_image() -> Image.Image:
    return Image.fromarray(IMAGE)


def stray_bytes() -> bytes:
    data = save(rgb_image(), "JPEG", quality=95, progressive=True)
    return data[:-2] + b"abc" + data[-2:]


def heic(image: Image.Image) -> bytes:
    """A phone's file; the test is skipped without the extra."""
    library = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    library.from_pillow(image).save(file, quality=95)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        pytest.param(lambda: save(rgb_image(), "PNG"), 0, id="PNG"),
        pytest.param(lambda: save(rgb_image(), "BMP"), 0, id="BMP"),
        pytest.param(lambda: save(rgb_image(), "TIFF", compression="tiff_lzw"), 0, id="TIFF"),
        pytest.param(lambda: save(rgb_image(), "WEBP", lossless=True), 0, id="WebP"),
        pytest.param(lambda: save(rgb_image(), "PPM"), 0, id="PPM"),
        pytest.param(lambda: save(rgb_image(), "JPEG2000"), 0, id="JPEG 2000"),
        pytest.param(lambda: save(rgb_image(), "JPEG2000", no_jp2=True), 0, id="JPEG 2000 code stream"),
        pytest.param(lambda: save(rgb_image(), "AVIF", quality=95), 12, id="AVIF"),
        pytest.param(lambda: heic(rgb_image()), 24, id="HEIC"),
        pytest.param(lambda: save(rgb_image().quantize(256), "PNG"), 12, id="palette PNG"),
        pytest.param(lambda: save(rgb_image().quantize(256), "GIF"), 12, id="GIF"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95), 12, id="JPEG"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95, progressive=True), 12, id="progressive"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95, subsampling=0), 12, id="JPEG 4:4:4"),
        pytest.param(lambda: save(rgb_image(), "JPEG", quality=95, keep_rgb=True), 12, id="RGB JPEG"),
        pytest.param(lambda: save(rgb_image().convert("CMYK"), "JPEG", quality=95), 16, id="Adobe CMYK JPEG"),
        pytest.param(lambda: save(rgb_image().convert("CMYK"), "TIFF"), 0, id="CMYK TIFF"),
        pytest.param(lambda: save(rgb_image().convert("RGBA"), "PNG"), 0, id="opaque RGBA"),
        pytest.param(lambda: png_16_bit(IMAGE), 0, id="16-bit RGB PNG"),
        pytest.param(
            lambda: save(rgb_image(), "JPEG", quality=95) + b"\0junk" * 9, 12, id="junk after the end"
        ),
        pytest.param(stray_bytes, 12, id="stray bytes before the end"),
    ],
)
def test_every_kind_gives_its_pixels(data: Callable[[], bytes], tolerance: int) -> None:
    """Each format is decoded to the RGB image that it holds."""
    pixels = decode_image(data())
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.shape == IMAGE.shape
    assert np.abs(pixels.astype(int) - IMAGE).max() <= tolerance


def png_16_bit(pixels: Pixels) -> bytes:
    return bytes(cv2.imencode(".png", pixels[:, :, ::-1].astype(np.uint16) * 257)[1])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(lambda: save(Image.fromarray(GRAY), "PNG"), GRAY, id="8-bit"),
        pytest.param(
            lambda: save(Image.fromarray(GRAY.astype(np.uint16) * 257), "PNG"), GRAY, id="16-bit PNG"
        ),
        pytest.param(lambda: save(Image.fromarray(GRAY.astype(np.uint16)), "PNG"), GRAY, id="16-bit, 8 used"),
        pytest.param(
            lambda: save(Image.fromarray(GRAY.astype(np.uint16) * 257), "TIFF"), GRAY, id="16-bit TIFF"
        ),
        pytest.param(
            lambda: save(Image.fromarray(GRAY.astype(np.int32) * 257), "TIFF"), GRAY, id="32-bit TIFF"
        ),
        pytest.param(
            lambda: save(Image.fromarray(GRAY > 128), "PNG"), (GRAY > 128).astype(np.uint8) * 255, id="1-bit"
        ),
    ],
)
def test_gray_stays_gray(data: Callable[[], bytes], expected: Pixels) -> None:
    """A gray file gives one plane, 16-bit values scaled to 8."""
    np.testing.assert_array_equal(decode_image(data()), expected)


FLOATS = GRAY.astype(np.float32)


@pytest.mark.parametrize("pixels", [FLOATS / 255, FLOATS], ids=["0 to 1", "0 to 255"])
def test_floating_point_is_scaled(pixels: NDArray[np.float32]) -> None:
    """A TIFF written by scikit-image or scipy is decoded to its image, not to a black one."""
    np.testing.assert_array_equal(decode_image(save(Image.fromarray(pixels), "TIFF")), GRAY)


def deep_color(top: int, ending: str) -> bytes:
    """An image of colors of 16 bits whose white is at `top`."""
    pixels = np.rint(IMAGE[:, :, ::-1].astype(np.float64) * top / 255).astype(np.uint16)
    return bytes(cv2.imencode(ending, pixels)[1])


def deep_gray(top: int, ending: str) -> bytes:
    pixels = np.rint(GRAY.astype(np.float64) * top / 255).astype(np.uint16)
    return save(Image.fromarray(pixels), {".png": "PNG", ".tiff": "TIFF"}[ending])


@pytest.mark.parametrize(
    ("make", "ending"),
    [
        *((deep_gray, ending) for ending in (".png", ".tiff")),
        *((deep_color, ending) for ending in (".png", ".tiff", ".jp2", ".ppm")),
    ],
)
@pytest.mark.parametrize("top", [1023, 4095, 16383], ids=["10 bits", "12 bits", "14 bits"])
def test_fewer_bits_in_16_are_refused(make: Callable[[int, str], bytes], top: int, ending: str) -> None:
    """As 16 bits they would be dark or black, and the file does not say what they are."""
    with pytest.raises(UnreadableImage, match=r"bits? .*whose range the file does not state") as refused:
        decode_image(make(top, ending))
    assert refused.value.reason == "unclear_depth"


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_deep_images_are_never_black(top: int, ending: str) -> None:
    """8 bits in 16 are read if both bytes are visible, otherwise refused; 16 bits are scaled."""
    assert np.abs(decode_image(deep_gray(top, ending)).astype(int) - GRAY).max() <= 1
    if top == 65535:
        assert np.abs(decode_image(deep_color(top, ending)).astype(int) - IMAGE).max() <= 1
    else:
        with pytest.raises(UnreadableImage):
            decode_image(deep_color(top, ending))


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(FLOATS / 127.5 - 1, id="-1 to 1"),
        pytest.param(FLOATS * 257, id="0 to 65535"),
        pytest.param(FLOATS / 200, id="a little over 1"),
        pytest.param(np.where(GRAY > 200, np.float32(np.nan), FLOATS), id="NaN"),
        pytest.param((GRAY.astype(np.int32) - 128) * 2**24, id="32-bit with a sign"),
    ],
)
def test_ranges_that_nobody_knows_are_refused(pixels: NDArray[np.generic]) -> None:
    """Nothing is silently clipped to black or white."""
    with pytest.raises(UnreadableImage, match="whose range the file does not state"):
        decode_image(save(Image.fromarray(pixels), "TIFF"))


def test_floating_point_colors_are_reported() -> None:
    """Pillow does not know them; the message says what to do."""
    tiff = bytes(cv2.imencode(".tiff", IMAGE.astype(np.float32) / 255)[1])
    with pytest.raises(UnreadableImage, match="an unsupported kind of TIFF"):
        decode_image(tiff)


def test_gray_jpeg_is_one_plane() -> None:
    """A common grayscale JPEG is not expanded to three planes."""
    pixels = decode_image(save(Image.fromarray(GRAY), "JPEG", quality=95))
    assert pixels.shape == GRAY.shape
    assert np.abs(pixels.astype(int) - GRAY).max() < 8


def test_transparency_is_laid_on_black() -> None:
    """What is transparent is black, and half of it half as bright, in RGBA, gray with alpha and palettes."""
    alpha = np.zeros(GRAY.shape, np.uint8)
    alpha[:, 20:] = 128
    alpha[:, 40:] = 255
    rgba = decode_image(save(Image.fromarray(np.dstack([IMAGE, alpha])), "PNG"))
    expected = IMAGE * (alpha[:, :, None] / 255)
    np.testing.assert_allclose(rgba, expected, atol=1)
    la = decode_image(save(Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(alpha)]), "PNG"))
    np.testing.assert_allclose(la[:, :, 1], GRAY * (alpha / 255), atol=1)
    palette = rgb_image().quantize(16)
    first = np.asarray(palette) == 0
    assert not decode_image(save(palette, "PNG", transparency=0))[first].any()


def test_first_frame_of_an_animation() -> None:
    """An animated GIF gives its first frame."""
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    pixels = decode_image(save(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.abs((pixels if pixels.ndim == 2 else pixels[:, :, 0]).astype(int) - GRAY).max() <= 2


# How an image is stored under each orientation, so that the reader must undo it (EXIF 2.3, tag 0x0112).
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


def with_orientation(orientation: int, kind: str, pixels: Pixels = IMAGE) -> bytes:
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
    """A rotated or mirrored image is decoded upright, as by Pillow."""
    data = with_orientation(orientation, kind)
    pixels = decode_image(data)
    assert pixels.shape == IMAGE.shape
    assert np.abs(pixels.astype(int) - IMAGE).max() <= (20 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientation_of_gray_and_cmyk_jpegs(orientation: int) -> None:
    """Grayscale and CMYK JPEGs are rotated too."""
    gray = decode_image(with_orientation(orientation, "JPEG", GRAY))
    assert np.abs(gray.astype(int) - GRAY).max() <= 8
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](IMAGE))).convert("CMYK")
    cmyk = decode_image(save(stored, "JPEG", quality=95, exif=exif.tobytes()))
    assert np.abs(cmyk.astype(int) - IMAGE).max() <= 16


def test_orientation_behind_a_long_segment() -> None:
    """EXIF is found behind other segments, a color profile of 60 kB among them."""
    data = with_orientation(6, "JPEG")
    profile = b"\xff\xe2" + struct.pack(">H", 60_002) + b"ICC_PROFILE\0\1\1" + bytes(59_986)
    assert decode_image(data[:2] + profile + data[2:]).shape == IMAGE.shape


@pytest.mark.parametrize("tail", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"\xff" * 40])
def test_damaged_exif_costs_no_image(tail: bytes) -> None:
    """An image whose EXIF cannot be read is used as it is stored."""
    segment = b"Exif\0\0" + tail
    data = save(rgb_image(), "JPEG", quality=95)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    assert decode_image(data).shape == IMAGE.shape


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
        pytest.param(b"hello, this is no image\n", "not_an_image", id="text"),
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
def test_what_is_no_image_is_refused(data: bytes, reason: str) -> None:
    """Anything that is not a complete image of a sane size is refused with its reason and a detail."""
    with pytest.raises(UnreadableImage) as refusal:
        decode_image(data)
    assert refusal.value.reason == reason


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        pytest.param(HEIC, "unsupported_format", r"^HEIC, .* install `mien\[heif\]`", id="HEIC"),
        pytest.param(b"\xff\x0a" + bytes(99), "unsupported_format", r"^JPEG XL, which", id="JPEG XL"),
        pytest.param(b'<?xml version="1.0"?>\n<svg>', "unsupported_format", r"^SVG, which", id="SVG"),
        pytest.param(b"<html><body>404", "not_an_image", r"^HTML instead of an image", id="HTML"),
        pytest.param(b"\0\0\0\x18ftypisom" + bytes(20), "not_an_image", r"^MP4, a video", id="video"),
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1", "not_an_image", r"git lfs pull", id="LFS"
        ),
    ],
)
def test_what_a_file_really_is(
    data: bytes, reason: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known format is named with what to do; HEIC without its extra as well."""
    monkeypatch.setattr("mien.faces.images.heif_version", lambda: None)
    with pytest.raises(UnreadableImage, match=detail) as refusal:
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


def test_a_limit_above_that_of_pillow() -> None:
    """The limit can be raised as far as is needed, for trusted images; Pillow's own is as before afterwards."""
    before = Image.MAX_IMAGE_PIXELS
    data = save(Image.new("1", (19_000, 10_000)), "PNG")
    assert decode_image(data, max_pixels=200_000_000).shape[:2] == (10_000, 19_000)
    assert before == Image.MAX_IMAGE_PIXELS


def tiled_tiff(tile_side: int) -> bytes:
    """A white TIFF of 16 x 16 pixels in one tile, which may be larger than the image."""
    tile = zlib.compress(b"\xff" * tile_side**2)
    size, bits, compression, photometric, samples = (256, 257), 258, 259, 262, 277
    fields = [(tag, 4, 16) for tag in size]
    fields += [(bits, 3, 8), (compression, 3, 8), (photometric, 3, 1), (samples, 3, 1)]
    place_of_tile = 8 + 2 + 12 * (len(fields) + 4) + 4
    fields += [(322, 4, tile_side), (323, 4, tile_side), (324, 4, place_of_tile), (325, 4, len(tile))]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + directory + bytes(4) + tile


def test_a_tiff_of_huge_tiles_is_refused_before_it_is_decoded() -> None:
    """A tile is decoded in full, so it is subject to the limit of an image, however small the image in it."""
    assert (decode_image(tiled_tiff(16)) == 255).all()
    with pytest.raises(UnreadableImage, match="8192x8192 pixels, the limit is 50,000,000") as refusal:
        decode_image(tiled_tiff(8192))
    assert refusal.value.reason == "image_too_large"


def test_damaged_files_never_crash() -> None:
    """However a file is damaged, it is either read or refused with an UnreadableImage."""
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
def test_tiny_images(shape: tuple[int, int]) -> None:
    """An image of one row, one column or one pixel is an image."""
    gray = np.full(shape, 90, np.uint8)
    for kind in ("PNG", "JPEG"):
        assert decode_image(save(Image.fromarray(gray), kind)).shape == shape


def test_encoded_crop_comes_back() -> None:
    """A crop written and read is the same image, gray ones as gray files."""
    decoded = decode_jpeg_rgb(encode_jpeg(IMAGE))
    assert np.abs(decoded.astype(int) - IMAGE).mean() < 3
    data = encode_jpeg(GRAY)
    assert simplejpeg.decode_jpeg_header(data)[2] == "Gray"
    np.testing.assert_allclose(decode_jpeg_rgb(data), to_rgb(GRAY), atol=6)
    assert len(data) < len(encode_jpeg(to_rgb(GRAY)))


def test_crops_are_decoded_into_odd_addresses() -> None:
    """The pixels are those of a plain decoding, each crop's in separate memory that starts at an odd address."""
    for data in map(encode_jpeg, (IMAGE, GRAY, IMAGE[:1, :1])):
        crops = [decode_jpeg_rgb(memoryview(data)) for _ in range(8)]
        assert {crop.ctypes.data % 2 for crop in crops} == {1}
        np.testing.assert_array_equal(crops, [simplejpeg.decode_jpeg(data, "RGB")] * 8)


def test_to_rgb_leaves_color_unchanged() -> None:
    """Three planes stay as they are, one plane becomes three equal ones."""
    assert to_rgb(IMAGE) is IMAGE
    assert (to_rgb(GRAY) == GRAY[:, :, None]).all()


def photo(height: int, width: int) -> Pixels:
    """Random colors with as much detail at every size as photographs have (amplitude 1 / frequency)."""
    random = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height)))
    frequency[0, 0] = np.inf
    planes = [np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / frequency).real for _ in "rgb"]
    gray, *tints = [plane / plane.std() for plane in planes]
    pixels = 128 + 45 * gray[:, :, None] + 12 * np.stack([tints[0], tints[1], -tints[0]], axis=2)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def halve(pixels: Pixels) -> Pixels:
    """Each 2 x 2 block becomes its rounded mean; an odd last row or column is dropped."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    even = pixels[: 2 * height, : 2 * width].astype(int)
    blocks = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
    return ((blocks + 2) // 4).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(mode: str) -> None:
    """A few more bytes can be as much work as another image; a camera's few scans are read."""
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
    [{}, {"subsampling": 0}, {"progressive": True}, {"gray": True}],
    ids=["4:2:0", "4:4:4", "prog", "gray"],
)
def test_jpeg_decoded_smaller_is_halved(
    size: tuple[int, int], halvings: int, options: dict[str, Any]
) -> None:
    """A JPEG that libjpeg decodes smaller is the image halved by the crop's rule, up to rounding.

    Only colors that are stored at half the size are less smooth than where the whole image is decoded.
    """
    is_subsampled = "subsampling" not in options and "gray" not in options
    image = Image.fromarray(photo(*size))
    options = dict(options)
    data = save(image.convert("L") if options.pop("gray", False) else image, "JPEG", quality=92, **options)
    small, done = open_image(data).decode(halvings)
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
    """Other images are decoded at full size, and say so."""
    image = open_image(data())
    pixels, done = image.decode(2)
    assert done == 0
    assert (pixels.shape[1], pixels.shape[0]) == image.size_wh == (60, 44)


def test_halvings_end_at_a_pixel() -> None:
    """However small the requested size, something of the image is left."""
    pixels, done = open_image(save(Image.fromarray(photo(5, 300)), "JPEG")).decode(9)
    assert (pixels.shape, done) == ((1, 75, 3), 2)


def test_damage_shows_in_smaller_images_too() -> None:
    """A truncated JPEG is refused at any requested size."""
    data = save(Image.fromarray(photo(160, 240)), "JPEG", quality=92)
    for halvings in range(4):
        with pytest.raises(UnreadableImage, match="Premature end"):
            open_image(data[: len(data) * 3 // 4]).decode(halvings)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP", "AVIF"])
def test_images_after_the_first_are_counted(kind: str) -> None:
    """Pages, or frames of an animation."""
    first, second = (Image.fromarray(np.full((20, 30, 3), level, np.uint8)) for level in (60, 200))
    for others in ([], [second, first]):
        data = io.BytesIO()
        first.save(data, kind, **({"save_all": True, "append_images": others} if others else {}))
        assert count_images(data.getvalue()) == 1 + len(others)
    assert count_images(data.getvalue()[:40]) == 1
