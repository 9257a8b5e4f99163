"""Write the golden files: a drawn image, what mien's own code cuts from it, and what a model reads in it.

The tests of Python (`tests/contract/test_crop_golden.py`) and of the page (`page/tests/`) hold themselves to the same
files. Run it after a change that is meant to move a crop or a number, or when another model is shipped:

    python tests/golden/make.py

The faces that YuNet finds are written where its file is at hand (`MIEN_DETECTOR`, or the user's cache), and kept
as they were where it is not. The example of the page, `page/public/example.jpg`, is the same group drawn larger, and
`video.webm` shows the group for longer than a minute, a frame a second. `faces.jpg` has heads to teach a class on, and
`teach.json` what a lesson makes of made-up features, and the hash of a file with another head.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.faces.action_units import ActionUnits
from mien.faces.crop import (
    CropContract,
    crop_image,
    crop_matrix,
    invert_matrix,
    resize_crop,
    transform_points,
)
from mien.faces.detector import YuNetDetector
from mien.faces.detector_file import cached_detector_file, named_detector_file
from mien.faces.landmarks import anchors_from_landmarks
from mien.faces.quality import measure_quality
from mien.formats.class_fractions import read_class_fractions
from mien.formats.expression_head import ExpressionHead, replace_head
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.results import flat_columns
from mien.inference.teaching.cross_validation import assign_folds, balance, cross_validate
from mien.metrics.calibration import fit_temperature, smooth_labels
from mien.metrics.classification import confusion_matrix
from mien.metrics.proportion import balanced_accuracy_interval
from mien.metrics.softmax import softmax
from mien.sample.expressions import sample_expression
from mien.sample.geometry import View, build_face
from mien.sample.identity import sample_identity
from mien.sample.image import paint_head
from mien.sample.scenes import paint_background

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The model of the readings, from the root of the repository.
MODEL = "src/mien/assets/models/mien-base.onnx"
SIZE_WH = (560, 360)
EXAMPLE = ROOT / "page" / "public" / "example.jpg"
EXAMPLE_SIZE_WH = (1260, 810)
VIDEO_FRAMES = 80
FACE_SIDE = 160
# Of each head: class, what its look is drawn from, place and scale as fractions of the height, roll in degrees.
HEADS = (
    ("Happy", 71, (0.30, 0.62), 0.155, -8.0),
    ("Surprise", 21, (0.80, 0.50), 0.17, 3.0),
    ("Sad", 27, (1.26, 0.66), 0.12, 24.0),
)


def draw_group(size_wh: tuple[int, int], *, seed: int = 12) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return an image of several drawn heads ``(H, W, 3)`` RGB, and their landmarks ``(N, 68, 2)``."""
    height = size_wh[1]
    pixels = paint_background(size_wh, np.random.default_rng(seed))
    landmarks = []
    for name, look, place, scale, roll_deg in HEADS:
        rng = np.random.default_rng([3, look])
        movement = sample_expression(name, rng).movement
        face = build_face(sample_identity(rng), movement)
        view = View(np.array(place) * height, scale * height, 0.0, 0.0, float(np.radians(roll_deg)))
        paint_head(pixels, face, view, light_x=0.3)
        landmarks.append(face.landmarks(view))
    return pixels, np.stack(landmarks)


def crop_cases(landmarks: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return what is to be cut: contract, points or box, and the size the crop is resized to."""
    anchors = [anchors_from_landmarks(points) for points in landmarks]
    boxes = [np.concatenate([points.min(axis=0), points.max(axis=0)]) for points in landmarks]
    turned = [[311.0, 120.0], [259.0, 190.0], [239.0, 80.0], [188.0, 140.0]]
    beyond_edge = [[-30.0, 20.0], [30.0, 12.0], [-20.0, 90.0], [38.0, 84.0]]
    wide = [[120.0, 100.0], [420.0, 110.0], [130.0, 330.0], [400.0, 340.0]]
    return [
        _case("aligned-256", "aligned", 256, anchors=anchors[0]),
        _case("aligned-64", "aligned", 64, anchors=anchors[1]),
        _case("aligned-48-rolled", "aligned", 48, anchors=anchors[2]),
        _case("aligned-112-margin", "aligned", 112, margin=0.5, anchors=anchors[2]),
        _case("aligned-64-turned", "aligned", 64, anchors=turned),
        _case("aligned-80-edge", "aligned", 80, anchors=beyond_edge),
        _case("aligned-32-halved", "aligned", 32, anchors=wide),
        _case("aligned-16-halved", "aligned", 16, anchors=wide),
        _case("aligned-64-without-points", "aligned", 64, box=boxes[1]),
        _case("box-96", "box", 96, box=boxes[0]),
        _case("box-48-to-32", "box", 48, box=boxes[1], input_size=32),
        _case("box-64-edge", "box", 64, box=[500.0, 250.0, 640.0, 410.0]),
        _case("box-40-outside", "box", 40, box=[700.0, 500.0, 800.0, 600.0]),
        _case("whole-48", "whole", 48),
        _case("whole-256-to-64", "whole", 256, input_size=64),
    ]


def _case(
    name: str,
    method: str,
    size: int,
    *,
    margin: float = 0.1,
    anchors: Any = None,
    box: Any = None,
    input_size: int | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "crop": CropContract(method, margin, size).to_dict(),
        "input_size": input_size or size,
        "anchors": _plain(anchors),
        "box_xyxy": _plain(box),
    }


def _plain(values: Any) -> Any:
    return None if values is None else np.round(np.asarray(values, dtype=np.float64), 3).tolist()


def cut_case(image_rgb: NDArray[np.uint8], case: dict[str, Any]) -> tuple[NDArray[np.uint8], str]:
    """Return the crop of a case at the model's size, and the method that gave it."""
    contract = CropContract(**case["crop"])
    anchors, box = (
        None if case[key] is None else np.array(case[key], dtype=np.float64)
        for key in ("anchors", "box_xyxy")
    )
    matrix, method = crop_matrix(contract, image_rgb.shape[1::-1], anchors=anchors, box_xyxy=box)
    return resize_crop(crop_image(image_rgb, matrix, contract.size), case["input_size"]), method


def read_golden() -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Return what the golden files say, and their image."""
    golden = json.loads((HERE / "golden.json").read_text(encoding="utf-8"))
    return golden, np.asarray(Image.open(HERE / "image.png").convert("RGB"))


def model_cases(image_rgb: NDArray[np.uint8], landmarks: NDArray[np.float64], bundle: OnnxModel) -> list[Any]:
    """Return what the model reads in each face, cut aligned and by its box, and in the whole image."""
    contract, cases = bundle.info.crop, []
    for points in landmarks:
        anchors, box = (
            anchors_from_landmarks(points),
            np.concatenate([points.min(axis=0), points.max(axis=0)]),
        )
        cases.append(_case("", "aligned", contract.size, margin=contract.margin, anchors=anchors))
        cases.append(_case("", "box", contract.size, margin=contract.margin, box=box))
    cases.append(_case("", "whole", contract.size, margin=contract.margin))
    for case in cases:
        case["input_size"] = bundle.info.input_size
        crop, case["method"] = cut_case(image_rgb, case)
        case["name"] = f"{case['method']}-{cases.index(case)}"
        case.update(_outputs_of(bundle, crop))
    return cases


def _outputs_of(bundle: OnnxModel, crop: NDArray[np.uint8]) -> dict[str, Any]:
    outputs = bundle.run(crop[None])
    points, affect = outputs.get("landmarks"), outputs.get("valence_arousal")
    return {
        "probabilities": np.round(outputs["expression"][0].astype(float), 5).tolist(),
        "landmarks": None if points is None else np.round(points[0].astype(float), 4).tolist(),
        "valence_arousal": None if affect is None else np.round(affect[0].astype(float), 4).tolist(),
    }


def prior_cases(readings: list[Any], bundle: OnnxModel) -> list[dict[str, Any]]:
    """Return the probabilities of each reading under each prior, and those that they are made from."""
    fractions = read_class_fractions(bundle.info)
    cases = []
    for reading in readings:
        case = {"as-trained": reading["probabilities"]}
        for rule in (DecisionRule(prior="half"), DecisionRule(prior="balanced")):
            _, _, by_class = rule.decide(np.array(reading["probabilities"]), bundle.info.classes, fractions)
            case[rule.prior] = np.round(list(by_class.values()), 6).tolist()
        cases.append(case)
    return cases


def detected_faces(image_rgb: NDArray[np.uint8], path: Path) -> list[dict[str, Any]]:
    """Return what YuNet finds in the image, and in the image at twice and at 0.6 times its size."""
    detector = YuNetDetector(path)
    found = []
    for scale in (1.0, 2.0, 0.6):
        size_wh = round(image_rgb.shape[1] * scale), round(image_rgb.shape[0] * scale)
        scaled = image_rgb if scale == 1 else cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_NEAREST)
        faces = [
            {
                "box_xyxy": _plain(face.box_xyxy),
                "score": round(face.score or 0.0, 4),
                "quality": {
                    name: None if value is None else round(value, 5)
                    for name, value in measure_quality(scaled, face).to_dict().items()
                },
                "points": _plain(face.points),
            }
            for face in detector.find_faces(scaled)
        ]
        found.append({"size_wh": size_wh, "faces": faces})
    return found


def face_cases(image_rgb: NDArray[np.uint8], detected: list[Any], bundle: OnnxModel) -> list[dict[str, Any]]:
    """Return the whole chain: what the model reads in each face that the detector finds in the image, the largest first.

    The landmarks are in pixels of the image.
    """
    info, cases = bundle.info, []
    for face in detected[0]["faces"]:
        points = np.array(face["points"])
        matrix, _ = crop_matrix(
            info.crop.for_detected_faces(),
            image_rgb.shape[1::-1],
            anchors=points[[0, 1, 3, 4]],
            box_xyxy=np.array(face["box_xyxy"]),
        )
        case = _outputs_of(
            bundle, resize_crop(crop_image(image_rgb, matrix, info.crop.size), info.input_size)
        )
        if case["landmarks"] is not None:
            case["landmarks"] = _plain(transform_points(invert_matrix(matrix), np.array(case["landmarks"])))
        expression = info.classes[int(np.argmax(case["probabilities"]))]
        cases.append({"box_xyxy": face["box_xyxy"], "expression": expression, **case})
    return cases


def write_video(path: Path, image_rgb: NDArray[np.uint8]) -> None:
    """Write a video of one image at half its size, a frame a second."""
    width, height = SIZE_WH[0] // 2, SIZE_WH[1] // 2
    image_bgr = cv2.resize(image_rgb[:, :, ::-1], (width, height), interpolation=cv2.INTER_AREA)
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), 1, (width, height))
    for _ in range(VIDEO_FRAMES):
        video.write(image_bgr)
    video.release()


def draw_faces() -> NDArray[np.uint8]:
    """Return an image with six Happy heads in the first row and six of Surprise in the second, each different."""
    rows = []
    for name in ("Happy", "Surprise"):
        cells = []
        for look in range(6):
            rng = np.random.default_rng([5, look, len(name)])
            pixels = paint_background((FACE_SIDE, FACE_SIDE), rng)
            face = build_face(sample_identity(rng), sample_expression(name, rng).movement)
            view = View(
                np.array([0.5, 0.52]) * FACE_SIDE, 0.3 * FACE_SIDE, 0.0, 0.0, float(rng.normal(0, 0.1))
            )
            paint_head(pixels, face, view, light_x=float(rng.normal(0, 0.3)))
            cells.append(pixels)
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows, axis=0)


def lesson_case(bundle: OnnxModel) -> dict[str, Any]:
    """Return made-up features with what cross-validation makes of them, and the hashes of files with another head."""
    rng = np.random.default_rng(0)
    labels, groups = np.arange(36) % 3, np.arange(36) // 3 * 3 // 4
    features = np.round(rng.normal(size=(36, 24)) + rng.normal(0, 0.5, (3, 24))[labels], 3)
    shares = np.array([0.5, 0.25, 0.25])
    folds = assign_folds(labels, groups, n_folds=4)
    found = cross_validate(features, labels, folds, shares)
    targets = smooth_labels(labels, n_classes=3)
    confusion = confusion_matrix(labels, found.logits.argmax(axis=1), n_classes=3)
    files = {}
    rows, columns = np.mgrid[:3, : bundle.n_features]
    for keeps_classes in (False, True):
        classes = (*bundle.info.classes, "a", "b") if keeps_classes else ("a", "b", "c")
        info = ModelInfo(classes, bundle.info.crop, bundle.info.input_size, bundle.info.tasks, 1.5)
        head = ExpressionHead(
            ((rows * 31 + columns * 7) % 23 - 11) / 64, np.arange(3) / 4, 1.5, keeps_classes
        )
        content = replace_head(bundle.content(), head, info)
        name = "kept" if keeps_classes else "new"
        files[name] = {"info": info.to_json(), "sha256": hashlib.sha256(content).hexdigest()}
    return {
        "n_features": bundle.n_features,
        "features": features.tolist(),
        "labels": labels.tolist(),
        "groups": groups.tolist(),
        "shares": shares.tolist(),
        "folds": folds.tolist(),
        "strength": found.strength,
        "probabilities": np.round(softmax(found.logits), 5).tolist(),
        "layer_probabilities": np.round(softmax(found.layer.logits(features)), 5).tolist(),
        "temperature": fit_temperature(found.logits, targets, weights=balance(labels, shares)),
        "balanced_accuracy_ci95": balanced_accuracy_interval(confusion),
        "files": files,
    }


def example_columns() -> list[str]:
    """Return the columns of a prediction file of a model with two classes and two action units."""
    units = ActionUnits(("AU06", "AU12"), "presence")
    return list(flat_columns(("Neutral", "Happy"), {"action_units": units}))


def main() -> None:
    """Write everything."""
    image_rgb, landmarks = draw_group(SIZE_WH)
    landmarks = np.round(landmarks, 3)
    cv2.imwrite(str(HERE / "image.png"), image_rgb[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    write_video(HERE / "video.webm", image_rgb)
    (HERE / "crops").mkdir(exist_ok=True)
    cases = crop_cases(landmarks)
    for case in cases:
        crop, case["method"] = cut_case(image_rgb, case)
        cv2.imwrite(str(HERE / "crops" / f"{case['name']}.png"), crop[:, :, ::-1])
    target = HERE / "golden.json"
    detector_file = named_detector_file() or cached_detector_file()
    if detector_file.is_file():
        detected = detected_faces(image_rgb, detector_file)
    else:
        detected = json.loads(target.read_text(encoding="utf-8"))["detected"]
    model_path = ROOT / MODEL
    bundle = OnnxModel.load(model_path)
    readings = model_cases(image_rgb, landmarks, bundle)
    golden = {
        "columns": example_columns(),
        "model": MODEL,
        "model_sha256": hashlib.sha256(model_path.read_bytes()).hexdigest(),
        "classes": list(bundle.info.classes),
        "class_fractions": read_class_fractions(bundle.info).tolist(),
        "crops": cases,
        "readings": readings,
        "priors": prior_cases(readings, bundle),
        "detected": detected,
        "faces": face_cases(image_rgb, detected, bundle),
    }
    cv2.imwrite(str(HERE / "faces.jpg"), draw_faces()[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    (HERE / "teach.json").write_text(f"{json.dumps(lesson_case(bundle))}\n", encoding="utf-8")
    example = draw_group(EXAMPLE_SIZE_WH)[0]
    cv2.imwrite(str(EXAMPLE), example[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    target.write_text(_one_line_an_item(golden), encoding="utf-8")


def _one_line_an_item(golden: dict[str, Any]) -> str:
    """Return JSON in which each item of a list of objects has a line of its own."""
    parts = []
    for key, value in golden.items():
        items = value if isinstance(value, list) and isinstance(value[0], dict) else None
        text = json.dumps(value) if items is None else "[\n" + ",\n".join(map(json.dumps, items)) + "\n]"
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
