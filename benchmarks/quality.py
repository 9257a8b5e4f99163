"""Faces that are hard to see: what the quality rule changes, which small faces the detector finds, what is read as a close-up.

    python benchmarks/quality.py rule RAW [--per-class 80]      photographs in AffectNet's layout, changed in 15 ways
    python benchmarks/quality.py covers FER                     FER+ Valid with drawn covers, cropped as without them
    python benchmarks/quality.py small RAW                      small faces in images of 640x480 pixels and of 12 megapixels
    python benchmarks/quality.py close-ups FER [--raw RAW]      FER+ Valid's images of 48 pixels, and RAW's background patches

All use the bundled model, the val split, its first faces of each of eight classes, and one seed. Every changed face is predicted
once: "right" is its most probable class, "answered" is what the rule does not turn into `unsure`. Intervals are Wilson's, over
faces.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

import mien
from mien.datasets.base import RejectedRow
from mien.datasets.registry import DatasetOptions, open_dataset
from mien.faces.classes import EXPRESSIONS_8
from mien.faces.crop import resize_crop
from mien.faces.image_files import read_image_file
from mien.faces.images import decode_image, to_rgb
from mien.faces.landmarks import five_from_landmarks
from mien.inference.decision_rule import UNSURE, sort_by_probability
from mien.inference.results import FacePrediction
from mien.metrics.proportion import wilson_interval
from mien.runtime.progress import Progress
from robustness import darken

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Change = Callable[[Image, Points, np.random.Generator], Image]
SEED = 0
CANVAS_WH = (640, 480)
LARGE_WH = (4000, 3000)
GRAY = 110


class Labeled(NamedTuple):
    """A face of a set: ``(H, W, 3)`` uint8 RGB, the class, the annotated box and the 68 landmarks, if there are any."""

    image_rgb: Image
    label: str
    box_xyxy: NDArray[np.float64] | None
    landmarks: Points | None


def read_faces(
    kind: str, raw: Path, *, per_class: int | None = None, split: str = "val", keys: set[str] | None = None
) -> Iterator[Labeled]:
    """Yield the faces of a split with one of the eight expressions, or background (``NonFace``); those of ``keys``, if given."""
    dataset, counts = open_dataset(kind, raw, DatasetOptions()), Counter[str]()
    for row in dataset.rows():
        if row.split != split or (keys is not None and row.key not in keys):
            continue
        try:
            record = dataset.parse(row)
        except RejectedRow:
            continue
        name = dataset.classes[record.label] if record.label >= 0 else ""
        if name not in (*EXPRESSIONS_8, "NonFace") or counts[name] == per_class:
            continue
        counts[name] += 1
        image = record.image
        if isinstance(image, Path):
            image = read_image_file(image)
        pixels = decode_image(image) if isinstance(image, bytes) else image
        points = None if record.landmarks is None else np.asarray(record.landmarks, np.float64)
        yield Labeled(to_rgb(pixels), name, record.box_xyxy, points)


# Changes of a photograph. Points are those of the detector: eyes, nose, mouth corners, in pixels. Lengths are fractions of the
# distance between the eyes.


def eyes_px(points: Points) -> float:
    """Return the distance between the eyes in pixels."""
    return float(np.linalg.norm(points[1] - points[0]))


def dark(low: float, high: float) -> Change:
    """Return low light: values times a factor, plus a camera's noise."""
    return lambda image, _, random: darken(image, random.uniform(low, high), random)


def bright(image: Image, _: Points, random: np.random.Generator) -> Image:
    """Return the image with 2.5 to 4 times its values, which are cut off at white."""
    return cv2.convertScaleAbs(image, alpha=random.uniform(2.5, 4))  # type: ignore[return-value]


def blur(low: float, high: float) -> Change:
    """Return a Gaussian blur."""

    def change(image: Image, points: Points, random: np.random.Generator) -> Image:
        return cv2.GaussianBlur(image, (0, 0), random.uniform(low, high) * eyes_px(points))  # type: ignore[return-value]

    return change


def motion_blur(low: float, high: float) -> Change:
    """Return the mean along a line of any direction."""

    def change(image: Image, points: Points, random: np.random.Generator) -> Image:
        length = max(3, round(random.uniform(low, high) * eyes_px(points)))
        kernel = np.zeros((length, length), np.float32)
        center, angle = (length - 1) / 2, random.uniform(0, np.pi)
        step = center * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(np.rint(center + sign * step).astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        return cv2.filter2D(image, -1, kernel / kernel.sum())  # type: ignore[return-value]

    return change


def small(low: float, high: float) -> Change:
    """Return the photograph in a gray image of 640x480 pixels, its face, whose width is 2.2 times the eyes' distance, this wide."""

    def change(image: Image, points: Points, random: np.random.Generator) -> Image:
        canvas = np.full((CANVAS_WH[1], CANVAS_WH[0], 3), GRAY, np.uint8)
        paste(canvas, shrink(image, random.uniform(low, high) / (2.2 * eyes_px(points))), (300, 220))
        return canvas

    return change


def shrink(image: Image, factor: float) -> Image:
    """Return the image scaled by a factor, as mien scales crops down: without aliasing."""
    side = max(image.shape[:2])
    square = cv2.copyMakeBorder(
        image, 0, side - image.shape[0], 0, side - image.shape[1], cv2.BORDER_REPLICATE
    )
    return resize_crop(square, max(1, round(side * factor)))  # type: ignore[arg-type]


def paste(canvas: Image, image: Image, center_xy: tuple[int, int]) -> tuple[int, int]:
    """Put an image on a canvas, as far as it fits, and return its left and top."""
    left, top = center_xy[0] - image.shape[1] // 2, center_xy[1] - image.shape[0] // 2
    part = canvas[max(0, top) : top + image.shape[0], max(0, left) : left + image.shape[1]]
    from_top, from_left = max(0, -top), max(0, -left)
    part[:] = image[from_top : from_top + part.shape[0], from_left : from_left + part.shape[1]]
    return left, top


def upside_down(image: Image, _: Points, __: np.random.Generator) -> Image:
    """Return the image rotated by half a turn."""
    return np.ascontiguousarray(image[::-1, ::-1])


def in_face(points: Points, shape: list[tuple[float, float]]) -> NDArray[np.int32]:
    """Return pixels of points that are given in eye distances right of and below the middle of the eyes."""
    right = points[1] - points[0]
    down = np.array([-right[1], right[0]])
    pixels = points[:2].mean(axis=0) + np.array(shape) @ np.stack([right, down])
    return np.rint(pixels).astype(np.int32)


def mask(image: Image, points: Points, random: np.random.Generator) -> Image:
    """Return the image with a plain mask over nose, mouth and chin."""
    covered = image.copy()
    outline = [(-0.95, 0.45), (0.0, 0.32), (0.95, 0.45), (0.9, 1.2), (0.4, 1.75), (-0.4, 1.75), (-0.9, 1.2)]
    cv2.fillPoly(covered, [in_face(points, outline)], [int(random.uniform(150, 240))] * 3, cv2.LINE_AA)
    return covered


def hand(image: Image, points: Points, random: np.random.Generator) -> Image:
    """Return the image with four fingers over the mouth, in the gray level of the face."""
    covered, width = image.copy(), max(2, round(0.34 * eyes_px(points)))
    x, y = np.rint(points.mean(axis=0)).astype(int).tolist()
    skin = float(np.median(image[max(0, y - width) : y + width, max(0, x - width) : x + width]))
    lean = random.uniform(-0.3, 0.3)
    for number in range(4):
        height = 0.72 + 0.3 * number
        ends = in_face(points, [(-1.2, height + lean), (0.75 - 0.08 * number, height - lean / 2)])
        shade = int(np.clip(skin * (1 - 0.06 * (number % 2)), 0, 255))
        cv2.line(covered, ends[0].tolist(), ends[1].tolist(), [shade] * 3, width, cv2.LINE_AA)
    return covered


def sunglasses(image: Image, points: Points, _: np.random.Generator) -> Image:
    """Return the image with dark glasses."""
    covered = image.copy()
    for sign in (-1, 1):
        outline = [
            (sign * (0.5 + 0.36 * np.cos(a)), 0.04 + 0.26 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 24)
        ]
        cv2.fillPoly(covered, [in_face(points, outline)], [20] * 3, cv2.LINE_AA)
    bridge = in_face(points, [(-1.1, -0.08), (1.1, -0.08)])
    cv2.line(covered, bridge[0].tolist(), bridge[1].tolist(), [20] * 3, max(1, round(0.06 * eyes_px(points))))
    return covered


def cut_off(low: float, high: float) -> Change:
    """Return the photograph above a line, in distances from the eyes to the mouth below the eyes."""

    def change(image: Image, points: Points, random: np.random.Generator) -> Image:
        eyes, mouth = points[:2, 1].mean(), points[3:, 1].mean()
        return image[: max(8, round(eyes + random.uniform(low, high) * (mouth - eyes)))]

    return change


CHANGES: dict[str, Change] = {
    "nothing": lambda image, _, __: image,
    "2 to 12% of the light": dark(0.02, 0.12),
    "20 to 40% of the light": dark(0.2, 0.4),
    "2.5 to 4 times the light": bright,
    "Gaussian blur, sigma 12 to 30% of the eyes' distance": blur(0.12, 0.3),
    "motion blur, 40 to 80% of the eyes' distance": motion_blur(0.4, 0.8),
    "9 to 13 pixels": small(9, 13),
    "15 to 20 pixels": small(15, 20),
    "24 to 32 pixels": small(24, 32),
    "upside down": upside_down,
    "a drawn mask over mouth and nose": mask,
    "a drawn hand over the mouth": hand,
    "drawn sunglasses": sunglasses,
    "cut off by the image's edge between eyes and mouth": cut_off(0.4, 0.9),
    "cut off at the mouth": cut_off(0.9, 1.1),
    "cut off at the chin": cut_off(1.2, 1.5),
}
COVERS = {
    name: CHANGES[name]
    for name in ("nothing", "a drawn mask over mouth and nose", "a drawn hand over the mouth")
}


def rate(n_hits: int, n: int) -> str:
    """Return a proportion with its interval."""
    if not n:
        return "-"
    low, high = wilson_interval(n_hits, n)
    return f"{100 * n_hits / n:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def table_row(name: str, rows: list[tuple[FacePrediction | None, str]]) -> str:
    """Return a row of the table: faces, found, right among the found, answered, right among the answered."""
    found = [(row, label) for row, label in rows if row is not None]
    right = [sort_by_probability(row.probabilities or {})[0][0] == label for row, label in found]
    answered = [row.expression != UNSURE for row, _ in found]
    n_right = sum(one and other for one, other in zip(right, answered, strict=True))
    cells = [name, f"{len(rows):,}", f"{len(found):,}", rate(sum(right), len(found))]
    share = f"{100 * sum(answered) / len(found):.1f}%" if found else "-"
    return "| " + " | ".join([*cells, share, rate(n_right, sum(answered))]) + " |"


HEADER = "| changed to | n | found | right before | answered | right after |\n|---|---|---|---|---|---|"


def measure_rule(model: mien.Model, raw: Path, per_class: int) -> None:
    """Print what the rule changes for photographs, which the detector finds unchanged."""
    photos = []
    for face in read_faces("affectnet", raw, per_class=per_class):
        detected = model.detector.find_faces(face.image_rgb) if face.label != "NonFace" else []
        if detected and detected[0].points is not None:
            photos.append((face, detected[0].points))
    print(HEADER)
    with Progress("Predicting", total=len(photos) * len(CHANGES), unit="image") as progress:
        for name, change in CHANGES.items():
            random, rows = np.random.default_rng(SEED), []
            for face, points in photos:
                faces = model.predict(change(face.image_rgb, points, random)).faces
                rows.append((faces[0] if faces else None, face.label))
                progress.advance()
            print(table_row(name, rows), flush=True)


def measure_covers(model: mien.Model, raw: Path) -> None:
    """Print what the rule changes for faces that are cropped by their landmarks, so that none is lost."""
    faces = []
    for face in read_faces("ferplus", raw):
        if face.landmarks is not None:
            center = (face.landmarks.min(axis=0) + face.landmarks.max(axis=0)) / 2
            if (center >= 0).all() and (center <= face.image_rgb.shape[1::-1]).all():
                faces.append(face)
    print(HEADER)
    for name, change in COVERS.items():
        random, rows = np.random.default_rng(SEED), []
        for image, label, _, landmarks in faces:
            if landmarks is not None:
                changed = change(image, five_from_landmarks(landmarks), random)
                rows.append((model.predict(changed, landmarks=landmarks[None])[0], label))
        print(table_row(name, rows), flush=True)


def is_found(
    found_xyxy: Sequence[NDArray[np.float64]], boxes_xyxy: Sequence[NDArray[np.float64]]
) -> list[bool]:
    """Return for each box whether the center of a found face of a similar size is in it."""

    def matches(box: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
        center, sizes = (other[:2] + other[2:]) / 2, [(box[2] - box[0]), (other[2] - other[0])]
        return bool(
            (box[:2] <= center).all() and (center <= box[2:]).all() and 0.4 < sizes[0] / sizes[1] < 2.5
        )

    return [any(matches(box, other) for other in found_xyxy) for box in boxes_xyxy]


class FacePaster:
    """Puts faces of LFW photographs, in a fixed random order, on images."""

    def __init__(self, raw: Path) -> None:
        """Read 60 photographs of each class."""
        photos = [
            (face.image_rgb, face.box_xyxy)
            for face in read_faces("affectnet", raw, per_class=60)
            if face.box_xyxy is not None and face.label != "NonFace"
        ]
        order = np.random.default_rng(SEED).permutation(len(photos))
        self.photos = [photos[index] for index in order]

    def put(
        self, canvas: Image, number: int, width: float, center_xy: tuple[int, int]
    ) -> NDArray[np.float64]:
        """Put a photograph on an image so that its face is this wide, and return the box of the face."""
        image, box = self.photos[number % len(self.photos)]
        factor = width / float((box[2:] - box[:2]).min())
        left, top = paste(canvas, shrink(image, factor), center_xy)
        return box * factor + np.tile([left, top], 2)


def gray_image(size_wh: tuple[int, int]) -> Image:
    """Return an image on which faces are put."""
    return np.full((size_wh[1], size_wh[0], 3), GRAY, np.uint8)


def measure_small(model: mien.Model, raw: Path) -> None:
    """Print how many small faces are found: 24 in an image, and one next to a large one."""
    paster = FacePaster(raw)

    def find(image: Image) -> list[NDArray[np.float64]]:
        return [face.box_xyxy for face in model.detector.find_faces(image)]

    print("| faces | width, px | n | found |\n|---|---|---|---|")
    for width in (16, 20, 24, 36, 48):
        found = []
        for first in range(0, 240, 24):
            canvas = gray_image(CANVAS_WH)
            places = [(60 + 104 * (n % 6), 60 + 120 * (n // 6)) for n in range(24)]
            boxes = [paster.put(canvas, first + n, width, place) for n, place in enumerate(places)]
            found += is_found(find(canvas), boxes)
        print(
            f"| 24 in an image of 640x480 | {width} | {len(found)} | {rate(sum(found), len(found))} |",
            flush=True,
        )
    for size_wh, large, widths, n in (
        (CANVAS_WH, 220, (24, 36, 48, 64), 96),
        (LARGE_WH, 1400, (100, 150), 24),
    ):
        for width in widths:
            found = []
            for number in range(n):
                canvas = gray_image(size_wh)
                paster.put(canvas, 2 * number, large, (size_wh[0] // 3, size_wh[1] // 2))
                box = paster.put(canvas, 2 * number + 1, width, (size_wh[0] * 5 // 6, size_wh[1] // 2))
                found += is_found(find(canvas), [box])
            name = f"one next to a face of {large}, in {size_wh[0]}x{size_wh[1]}"
            print(f"| {name} | {width} | {n} | {rate(sum(found), n)} |", flush=True)


def measure_close_ups(model: mien.Model, ferplus: Path, raw: Path | None) -> None:
    """Print how the faces of small images are found, how many answers are right, and how many patches become a face."""
    faces = list(read_faces("ferplus", ferplus))
    ways, right = Counter[str](), Counter[str]()
    for image, label, _, _ in faces:
        found = model.predict(image).faces
        way = str(found[0].found_by) if found else "not found"
        ways[way] += 1
        for name, answers in ((way, found), ("cropped", model.predict(image, cropped=True).faces)):
            right[name] += (
                bool(answers) and sort_by_probability(answers[0].probabilities or {})[0][0] == label
            )
    n = len(faces)
    print(f"FER+ Valid, n = {n:,}: " + ", ".join(f"{count:,} {way}" for way, count in ways.most_common()))
    print(f"right, one that is not found counting as wrong: {rate(right['detector'] + right['whole'], n)}")
    print(f"the same without the faces that are read whole: {rate(right['detector'], n)}")
    print(f"every image as one crop: {rate(right['cropped'], n)}")
    for split in () if raw is None else ("train", "val"):
        patches = [
            face.image_rgb for face in read_faces("affectnet", raw, split=split) if face.label == "NonFace"
        ]
        n_faces = sum(len(model.predict(image)) > 0 for image in patches)
        print(f"background of {split}, in which a face is found: {n_faces} of {len(patches)}")


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("rule", "covers", "small", "close-ups"))
    parser.add_argument("set", type=Path, help="RAW in AffectNet's layout, or FER in FER+'s")
    parser.add_argument("--per-class", type=int, default=80)
    parser.add_argument("--raw", type=Path, help="of close-ups: a set in AffectNet's layout with background")
    parser.add_argument("--model", help="mien's model (default: its default model)")
    args = parser.parse_args()
    model = mien.load(args.model)
    if args.what == "rule":
        measure_rule(model, args.set, args.per_class)
    elif args.what == "covers":
        measure_covers(model, args.set)
    elif args.what == "small":
        measure_small(model, args.set)
    else:
        measure_close_ups(model, args.set, args.raw)


if __name__ == "__main__":
    main()
