"""Unusual but usable rows are kept, and mean the same as their ordinary twins."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.formats.pack import Pack, PackSplit
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare

OPTIONS = PrepareOptions(size=48, workers=1)


def run(raw: Path, options: PrepareOptions = OPTIONS) -> tuple[Pack, dict[str, int]]:
    """Prepare a set whose rows must all be kept; return the pack and its warnings."""
    out = raw.parent / "my.pack"
    summary = prepare("affectnet", raw, out, options)
    with (out / "rejects.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == []
    return Pack.open(out), summary.info.warnings


def faces_by_name(split: PackSplit) -> dict[str, NDArray[np.uint8]]:
    return {key: split.image(index) for index, key in enumerate(split.keys)}


def test_kinds_of_images(raw_set: Any, tools: Any) -> None:
    """Gray, palette, CMYK, 16-bit and alpha photos give the crop that the plain color photo gives."""
    photo = tools.draw_image()
    image = Image.fromarray(photo)
    gray = np.asarray(image.convert("L"))
    encode = tools.encode
    opaque = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    files = {
        "plain.png": encode(photo, "PNG"),
        "plain.jpg": encode(photo),
        "progressive.jpg": encode(photo, progressive=True),
        "cmyk.jpg": save_cmyk(image),
        "16 bit.png": bytes(cv2.imencode(".png", photo[:, :, ::-1].astype(np.uint16) * 257)[1]),
        "alpha.png": encode(opaque, "PNG"),
        "bitmap.bmp": encode(photo, "BMP"),
        "web.webp": encode(photo, "WEBP", lossless=True),
        "tagged.tif": encode(photo, "TIFF"),
        "gray.jpg": encode(gray),
        "gray.png": encode(gray, "PNG"),
        "gray 16 bit.png": encode(gray.astype(np.uint16) * 257, "PNG"),
    }
    for name, data in files.items():
        raw_set.add(name, data)
    palette = raw_set.images / "palette.png"
    image.quantize(256).save(palette)
    raw_set.add("palette.png")
    pack, _ = run(raw_set.write())
    faces = faces_by_name(pack.split("train"))
    assert set(faces) == {*files, "palette.png"}
    for name, face in faces.items():
        plain = faces["gray.png" if "gray" in name else "plain.png"]
        assert np.abs(face.astype(int) - plain).max() <= 40, name
        assert np.abs(face.astype(int) - plain).mean() <= 8, name


def save_cmyk(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("CMYK").save(file, "JPEG", quality=95)
    return file.getvalue()


def test_names_and_endings(raw_set: Any, tools: Any) -> None:
    """Uppercase or wrong suffixes, Unicode, spaces, commas and quotes in names make no difference."""
    photo = tools.draw_image()
    jpeg, png = tools.encode(photo), tools.encode(photo, "PNG")
    names = {
        "UPPER.JPG": jpeg, "a png.jpg": png, "a jpeg.png": jpeg, "no ending": jpeg, "Bild ä ö.jpg": jpeg,
        "表情/笑.jpg": jpeg, "with, comma.jpg": jpeg, 'with "quotes".jpg': jpeg, "two  spaces .jpg": jpeg,
        "web.jpg": tools.encode(photo, "WEBP"), "moving.jpg": tools.encode(photo, "GIF"), "%41.jpg": jpeg,
    }  # fmt: skip
    for name, data in names.items():
        raw_set.add(name, data)
    pack, _ = run(
        raw_set.write(), PrepareOptions(size=32, workers=1, annotations=raw_set.root.parent / "lists")
    )
    assert pack.split("train").keys == list(names)
    lines = (raw_set.root.parent / "lists" / "train.txt").read_text(encoding="utf-8").splitlines()
    assert [line.rsplit(" ", 1) for line in lines] == [[name, "1"] for name in names]


@pytest.mark.parametrize(("begin", "end"), [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_byte_order_mark_and_crlf(raw_set: Any, tools: Any, begin: str, end: str) -> None:
    """Lists saved by Excel are read like others."""
    raw_set.add("a.jpg", tools.encode(tools.draw_image()), affect=(0.5, -0.25))
    pack, _ = run(raw_set.write(begin=begin, end=end))
    assert pack.split("train").valence_arousal.tolist() == [[0.5, -0.25]]


UNDO: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("crop", ["aligned", "box"])
def test_exif_orientations(raw_set: Any, tools: Any, crop: Any) -> None:
    """A rotated or mirrored photo gives the crop of its upright twin: box and landmarks are upright."""
    photo = tools.draw_image()
    for orientation, stored in UNDO.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = tools.encode(np.ascontiguousarray(stored(photo)), exif=exif.tobytes())
        raw_set.add(f"{orientation}.jpg", data)
    pack, _ = run(raw_set.write(), PrepareOptions(size=48, workers=1, crop=crop))
    split = pack.split("train")
    assert pack.info.crop_methods == {crop: 8}
    for index in range(8):
        assert np.abs(split.image(index).astype(int) - split.image(0)).mean() < 4
        np.testing.assert_array_equal(split.landmarks[index], split.landmarks[0])


def test_landmarks_move_with_pixels(raw_set: Any, tools: Any) -> None:
    """Dots drawn at landmarks are found where the pack says that the landmarks are."""
    points = tools.face_points()
    marked = [8, 30, 57]
    photo = np.zeros((96, 120, 3), np.uint8)
    for channel, index in enumerate(marked):
        rows, columns = np.mgrid[:96, :120] + 0.5
        x, y = points[index]
        spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
        photo[:, :, channel] = spot.round()
    raw_set.add("dots.png", tools.encode(photo, "PNG"), points=tools.write_points(points))
    pack, _ = run(raw_set.write(), PrepareOptions(size=128, workers=1))
    split = pack.split("train")
    crop = split.image(0).astype(float)
    rows, columns = (np.mgrid[:128, :128] + 0.5) / 128
    for channel, index in enumerate(marked):
        weight = np.where(crop[:, :, channel] > 100, crop[:, :, channel], 0)
        found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        np.testing.assert_allclose(found, split.landmarks[0, index], atol=0.015)


def test_boxes_over_the_edge(raw_set: Any, tools: Any) -> None:
    """A box that is partly outside is cropped with black around it, whether it crosses one edge or all."""
    boxes = [(-20, -10, 60, 60), (100, 70, 60, 60), (-50, -50, 400, 400), (119, 95, 10, 10), (30, 20, 1, 1)]
    for number, box in enumerate(boxes):
        raw_set.add(f"{number}.jpg", tools.encode(tools.draw_image()), box=box, points="")
    pack, warnings = run(raw_set.write(), PrepareOptions(size=48, workers=1, margin=0))
    split = pack.split("train")
    assert (warnings, pack.info.crop_methods) == ({"box_beyond_image": 4}, {"box": 5})
    assert split.image(0)[:6].max() < 30
    assert split.image(0)[20:, 20:].min() > 5
    assert split.image(1)[-20:].max() < 30
    assert np.isnan(split.landmarks).all()


def test_boxes_that_may_be_in_percent(raw_set: Any, tools: Any) -> None:
    """All numbers up to 100 in a larger image; not in one that hardly is larger, and not beyond 100."""
    boxes = [((10, 10, 80, 80), 200), ((10, 10, 80, 80), 140), ((10, 10, 95, 95), 200)]
    for number, (box, side) in enumerate(boxes):
        image = tools.encode(tools.draw_image(number, side, side))
        raw_set.add(f"{number}.jpg", image, box=box, points="")
    pack, warnings = run(raw_set.write())
    assert (warnings, pack.info.n_kept) == ({"box_percent": 1}, 3)


@pytest.mark.parametrize(
    ("points", "warning"),
    [
        pytest.param("", None, id="empty"),
        pytest.param(";".join(["-1"] * 136), None, id="all -1"),
        pytest.param(";".join(["-2"] * 136), None, id="all -2"),
        pytest.param("-2", None, id="one -2"),
        pytest.param(";".join(["5"] * 134), "landmark_count", id="67 points"),
        pytest.param(";".join(["5"] * 10), "landmark_count", id="five points"),
        pytest.param("a;b;c", "landmark_value", id="text"),
        pytest.param(";".join(["nan"] * 136), "landmark_value", id="NaN"),
        pytest.param(";".join(["0"] * 136), "landmark_place", id="all zero"),
        pytest.param(";".join(f"{n / 68 - 1:.3f}" for n in range(136)), "landmark_place", id="from -1 to 1"),
        pytest.param(";".join(["9000"] * 100 + ["10"] * 36), "landmark_place", id="far outside"),
        pytest.param(";".join(["1e300", "5"] * 68), "landmark_place", id="beyond all measure"),
    ],
)
def test_landmarks_that_are_missing_or_wrong(
    raw_set: Any, tools: Any, points: str, warning: str | None
) -> None:
    """The face is kept, cropped by its box, without landmarks; wrong ones are counted as a warning."""
    raw_set.add("a.jpg", tools.encode(tools.draw_image()), points=points)
    raw_set.add("b.jpg", tools.encode(tools.draw_image(1)))
    pack, warnings = run(raw_set.write())
    split = pack.split("train")
    assert warnings == ({} if warning is None else {warning: 1})
    assert np.isnan(split.landmarks[0]).all()
    assert np.isfinite(split.landmarks[1]).all()
    assert pack.info.crop_methods == {"box": 1, "aligned": 1}


@pytest.mark.parametrize(
    ("affect", "expected"),
    [
        ((-2, -2), (np.nan, np.nan)),
        ((-2, 0.5), (np.nan, 0.5)),
        (("", "x"), (np.nan, np.nan)),
        ((1, -1), (1.0, -1.0)),
    ],
)
def test_valence_and_arousal(raw_set: Any, tools: Any, affect: Any, expected: Any) -> None:
    """-2 and anything but a number mean that the face has none."""
    raw_set.add("a.jpg", tools.encode(tools.draw_image()), affect=affect)
    pack, _ = run(raw_set.write())
    np.testing.assert_array_equal(pack.split("train").valence_arousal[0], expected)


def test_box_beyond_all_measure(raw_set: Any, tools: Any) -> None:
    """An error that makes a box larger than any photo costs the box, not the run."""
    raw_set.add("a.jpg", tools.encode(tools.draw_image()), box=(0, 0, "1e300", "1e300"), points="")
    pack, _ = run(raw_set.write())
    assert pack.info.crop_methods == {"whole": 1}


def test_rows_that_lack_a_box_are_detected(
    raw_set: Any, tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without box and landmarks the face is detected; a photo without one is rejected with that reason."""
    from mien.faces.detector import DetectedFace

    class OnlyBright:
        def find_faces(self, image: NDArray[np.uint8]) -> list[DetectedFace]:
            return [DetectedFace(np.array([10.0, 10, 50, 50]), 0.9, None)] if image.mean() > 200 else []

    monkeypatch.setattr("mien.prepare.face._detector", lambda path: OnlyBright())
    for name, level in (("bright.png", 250), ("dark.png", 5)):
        data = tools.encode(np.full((60, 60, 3), level, np.uint8), "PNG")
        raw_set.add(name, data, box=("", "", "", ""), points="")
    out = tmp_path / "my.pack"
    info = prepare("affectnet", raw_set.write(), out, OPTIONS).info
    assert (info.crop_methods, info.rejected_by_reason) == ({"box": 1}, {"no_face": 1})
    whole = prepare(
        "affectnet", raw_set.root, tmp_path / "w.pack", PrepareOptions(size=48, workers=1, crop="whole")
    )
    assert (whole.info.crop_methods, whole.info.n_rejected) == ({"whole": 2}, 0)


def test_a_box_that_is_missing_is_that_of_the_landmarks(raw_set: Any, tools: Any) -> None:
    """As it is for `predict`, without a detector."""
    raw_set.add("a.jpg", tools.encode(tools.draw_image()), box=("", "", "", ""))
    pack, _ = run(raw_set.write(), PrepareOptions(size=96, workers=1, crop="box", margin=0))
    assert pack.info.crop_methods == {"box": 1}
    points = pack.split("train").landmarks[0]
    assert np.ptp(points, axis=0).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(points.min(axis=0) + points.max(axis=0), 1, atol=1e-5)
