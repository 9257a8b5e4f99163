"""Everything that programs hand over as an image becomes the same pixels, or is refused."""

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.faces.images import UnreadableImage, decode_image
from mien.inference import image_input
from mien.inference.image_input import read_input, source_name, split_batch

RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
RGBA = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
GRAY = RGB[:, :, 0]


def png(image: Image.Image, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", **options)
    return data.getvalue()


DATA = png(Image.fromarray(RGB))


class _Named:
    """A path as other libraries have them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_every_form_of_a_color_image_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(DATA)
    with path.open("rb") as file, Image.open(path) as opened:
        forms = [
            path,
            str(path),
            _Named(path),
            DATA,
            bytearray(DATA),
            memoryview(DATA),
            io.BytesIO(DATA),
            file,
        ]
        forms += [
            Image.open(path),
            Image.fromarray(RGBA),
            RGB,
            RGBA,
            RGB / 255,
            (RGB / 255).astype(np.float16),
        ]
        for form in forms:
            assert np.array_equal(read_input(form)[0], RGB), type(form)
        assert source_name(file) == source_name(opened) == source_name(_Named(path)) == str(path)
    assert source_name(io.BytesIO(DATA)) == source_name(RGB) == ""


def test_pixels_of_opencv() -> None:
    assert np.array_equal(read_input(RGB[:, :, ::-1], color="bgr")[0], RGB)
    assert np.array_equal(read_input(RGBA[:, :, [2, 1, 0, 3]], color="bgr")[0], RGB)
    assert np.array_equal(read_input(DATA, color="bgr")[0], RGB)
    with pytest.raises(ValueError, match="'rgb' or 'bgr', got 'BGR'"):
        read_input(RGB, color="BGR")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "gray",
    [GRAY, GRAY[:, :, None], GRAY / 255, Image.fromarray(GRAY)],
    ids=["uint8", "with an axis of channels", "float", "Pillow"],
)
def test_gray_stays_gray(gray: object) -> None:
    assert np.array_equal(read_input(gray)[0], GRAY)


def test_transparency_is_composited_as_in_a_file() -> None:
    clear = RGBA.copy()
    clear[:, :, 3] = np.random.default_rng(1).integers(0, 256, GRAY.shape)
    file = png(Image.fromarray(clear))
    for form in (clear, Image.fromarray(clear)):
        assert np.abs(read_input(form)[0].astype(int) - decode_image(file)).max() <= 1
    gray = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(clear[:, :, 3])])
    assert np.abs(read_input(gray.convert("La"))[0].astype(int) - read_input(gray)[0]).max() <= 2


def test_a_pillow_image_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png(Image.fromarray(RGB), exif=exif)
    assert np.array_equal(read_input(Image.open(io.BytesIO(data)))[0], decode_image(data))
    assert decode_image(data).shape == (5, 6, 3)


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    chw = torch.from_numpy(RGB).permute(2, 0, 1)
    for form in (chw, torch.from_numpy(RGB), (chw / 255).requires_grad_(), chw.float() / 255):
        assert np.array_equal(read_input(form)[0], RGB)
    assert np.abs(read_input((chw / 255).bfloat16())[0].astype(int) - RGB).max() <= 1
    assert np.array_equal(read_input(chw[:1])[0], GRAY)
    batch = torch.stack([chw, chw])
    images = split_batch(batch)
    assert images is not None
    assert np.array_equal(images, np.stack([RGB, RGB]))
    with pytest.raises(TypeError, match="channels first or last"):
        read_input(torch.zeros(3, 4, 3))
    with pytest.raises(TypeError, match="undo a normalization"):
        read_input(chw / 255 - 0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (3, "got int"),
        (None, "got NoneType"),
        ([[0]], "got list"),
        (np.zeros((4, 4, 2), np.uint8), "must be"),
        (np.zeros((0, 4, 3), np.uint8), "must be"),
        (np.zeros((3, 8, 9), np.uint8), r"pixels.transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "must be"),
        (
            np.zeros((4, 4, 3), np.int64),
            r"got int64 from 0 to 0: pass `.astype\(numpy.uint8\)` if 255 is white or",
        ),
        (np.full((4, 4), 4095, np.uint16), "got uint16 from 4095 to 4095: pass `pixels / WHITE`"),
        (np.zeros((4, 4), bool), r"got bool: pass `pixels.astype\(float\)`"),
        (np.zeros((4, 4), complex), "got complex128$"),
        (np.full((4, 4), 255.0), "divide values up to 255 by 255"),
        (np.full((4, 4), np.nan), "some are not finite"),
        ((path for path in "ab"), r"got generator: several images must be a list, such as `list\(images\)`"),
        ({"a.jpg"}, r"got set: several images must be a list"),
        (np.array(["a.jpg", "b.jpg"]), r"must be a list, such as `images.tolist\(\)`"),
        (np.frombuffer(DATA, np.uint8), r"passed as `array.tobytes\(\)`"),
        (io.StringIO("text"), "binary mode"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_unclear_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        read_input(wrong)


def test_the_file_object_of_an_asynchronous_framework() -> None:
    class Upload:
        async def read(self, size: int) -> bytes:
            return DATA

    with pytest.raises(TypeError, match="asynchronous"):
        read_input(Upload())


def test_a_file_object_at_its_end() -> None:
    data = io.BytesIO()
    data.write(DATA)
    with pytest.raises(UnreadableImage, match=r"seek\(0\)"):
        read_input(data)
    # Pillow has read the first bytes, to identify the format.
    data.seek(16)
    with pytest.raises(UnreadableImage, match=r"from byte 16 on: call `seek\(0\)`"):
        read_input(data)
    data = io.BytesIO(b"header" + DATA)
    data.seek(6)
    assert np.array_equal(read_input(data)[0], RGB)


@pytest.mark.parametrize("form", [DATA, GRAY, Image.fromarray(RGB)], ids=["bytes", "pixels", "Pillow"])
def test_an_unknown_color_order_is_refused_of_any_image(form: object) -> None:
    with pytest.raises(ValueError, match="'rgb' or 'bgr', got 'BGR'"):
        read_input(form, color="BGR")  # type: ignore[arg-type]


def test_base64_in_place_of_an_image() -> None:
    for text in (base64.b64encode(DATA), b"data:image/png;base64," + base64.b64encode(DATA)):
        with pytest.raises(UnreadableImage, match=r"`base64\.b64decode` returns"):
            read_input(text)


@pytest.fixture
def address() -> Iterator[str]:
    """Return the address of a server that sends DATA for /a.png to those who log in as me:word, cut off for /cut.png."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_login = self.headers.get("Authorization") == "Basic bWU6d29yZA=="
            self.send_response(200 if is_login else 401)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA[: 50 if self.path == "/cut.png" else None])

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://me:word@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_is_read_with_its_password_and_named_without(address: str) -> None:
    assert np.array_equal(read_input(f"{address}/a.png")[0], RGB)
    assert source_name(f"{address}/a.png") == f"{address.replace('me:word@', '')}/a.png"


def test_an_address_that_cannot_be_read(address: str) -> None:
    for wrong, reason, detail in (
        (f"{address.replace('word', 'guess')}/a.png", "unreadable_url", "answers 401"),
        (f"{address}/cut.png", "truncated_image", "bytes early"),
        ("http://127.0.0.1:1/a.png", "unreadable_url", "refused"),
        ("http://[/a.png", "unreadable_url", "the address is malformed"),
    ):
        with pytest.raises(UnreadableImage, match=detail) as error:
            read_input(wrong)
        assert error.value.reason == reason


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("photo.jpg", "there is no file 'photo.jpg' in the current folder$"),
        ("", "the path is empty"),
        (".", "it is a folder: pass a list of the images in it"),
        ("*.jpg", r"pass the list `glob.glob\(...\)`"),
        ("~/photo.jpg", "only a shell expands ~"),
        ("file:///photo.jpg", "pass the path alone, without file://"),
        ("s3://bucket/photo.jpg", "addresses begin with .*http://"),
        ("data:image/jpeg;base64,AAAA", "`base64.b64decode`"),
        ("/9j/4AAQSkZJRgABAQAAAQABAAD", "`base64.b64decode`"),
        ("iVBORw0KGgo" + "A" * 2000, "`base64.b64decode`"),
        ("A" * 5000, "no file of this name, 5,000 characters long: .*`base64.b64decode`"),
        ("a\0b.jpg", "null"),
    ],
)
def test_a_name_of_no_file_says_what_it_might_have_been(
    name: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableImage, match=detail) as error:
        read_input(name)
    assert error.value.reason in ("missing_file", "unreadable_file")
    assert len(source_name(name)) <= 4096


def test_other_files_than_images(tmp_path: Path) -> None:
    for data, name in (
        (b"\0\0\0\x20ftypisom", "MP4"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"\x1a\x45\xdf\xa3" + bytes(9), "Matroska"),
    ):
        with pytest.raises(UnreadableImage, match=f"{name}, a video, which `mien predict` and `Model.watch`"):
            read_input(data)
    with (tmp_path / "a.jpg").open("wb") as file, pytest.raises(TypeError, match="opened for reading"):
        read_input(file)


def test_a_frame_of_pyav_states_the_order_of_its_channels() -> None:
    av = pytest.importorskip("av")
    frame = av.VideoFrame.from_ndarray(RGB, format="rgb24")
    for color in ("rgb", "bgr"):
        assert np.array_equal(read_input(frame, color=color)[0], RGB)


def test_a_file_opened_as_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with (tmp_path / "a.jpg").open(encoding="utf-8") as file, pytest.raises(TypeError, match="binary mode"):
        read_input(file)


def test_pixels_of_0_and_1_in_bytes_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Once, however many frames are like that."""
    image_input._warn_of_ones.cache_clear()
    for _ in range(2):
        read_input((RGB > 127).astype(np.uint8))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "uint8 pixels that are all 0 or 1 are almost black"
    ]
