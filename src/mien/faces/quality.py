"""How well a face can be seen: size, light, sharpness, pose and cover, and which of these make a prediction untrustworthy.

Light, sharpness and cover are measured on one small grayscale crop, aligned by eyes and mouth where they are known. The
limits depend on the model, whose file may have its own; those for other models, and the weights of `FaceQuality.covered`, are
in quality.json, which the web page reads too. docs/results.md says on which faces they were chosen and what they change.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import CropContract, crop_image, crop_matrix
from mien.faces.detector import DetectedFace

# Shared with the web page.
QUALITY = json.loads(Path(__file__).with_name("quality.json").read_text(encoding="utf-8"))
CROP = CropContract("aligned", margin=0.0, size=48)
# Blocks per side of the crop in which the texture is measured.
BLOCKS = 6
_COVERED_WEIGHTS = np.array(QUALITY["covered_weights"])

# A generic head: eyes, tip of the nose and mouth corners, in arbitrary units: x right, y down, z to the viewer. From
# S. Mallick, Head Pose Estimation using OpenCV and Dlib (2016), the eyes' outer corners moved to their centers.
_HEAD = np.array([[-165.0, -170, -135], [165, -170, -135], [0, 0, 0], [-150, 150, -125], [150, 150, -125]])
_HEAD_FIT = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0))


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """What can be said about the image of a face.

    Attributes:
        face_px: shorter side of the face's box in pixels of the image.
        sharpness: variance of the Laplacian, divided by the variance of the gray levels, so that it does not depend on
            contrast (after Pech-Pacheco et al. 2000, https://doi.org/10.1109/ICPR.2000.903548).
        brightness: mean gray level, 0 to 1.
        contrast: standard deviation of the gray levels, 0 to 0.5.
        covered: probability that something covers mouth and nose, 1 if the middle of the mouth is outside the image; None
            without eyes and mouth to align by.
        roll_deg: of the head, clockwise positive, in (-180, 180]; None without points, as the next two.
        yaw_deg: positive if it turns to the image's right.
        pitch_deg: positive if it looks up.
    """

    face_px: float
    sharpness: float
    brightness: float
    contrast: float
    covered: float | None = None
    roll_deg: float | None = None
    yaw_deg: float | None = None
    pitch_deg: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """Return the values by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def with_pose(self, points: NDArray[np.float64]) -> "FaceQuality":
        """Return the quality with the pose of ``(5, 2)`` points, in the order of `DetectedFace.points`."""
        roll, yaw, pitch = estimate_pose(points)
        return replace(self, roll_deg=roll, yaw_deg=yaw, pitch_deg=pitch)

    def find_reason(self, rule: dict[str, Any] | None = None) -> str:
        """Return why a prediction for this face is not to be trusted, or an empty string.

        Args:
            rule: the model's, see `check_quality_rule`; None for that of quality.json.
        """
        limits: dict[str, float] = (rule or QUALITY)["limits"]
        if self.face_px < limits["least_face_px"]:
            return "too small"
        if self.brightness < limits["least_brightness"]:
            return "too dark"
        if self.sharpness < limits["least_sharpness"]:
            return "blurred"
        if self.covered is not None and self.covered > limits["most_covered"]:
            return "covered"
        return ""


def check_quality_rule(rule: Any) -> str:
    """Return what is wrong with a rule, or an empty string.

    A rule has two keys: ``limits``, beyond which a face is not to be trusted, and ``right_answers``, the fraction of right
    answers for such faces by reason, both with the names of quality.json.
    """
    for part in ("limits", "right_answers"):
        names = list(QUALITY[part])
        if (
            not isinstance(rule, dict)
            or not isinstance(rule.get(part), dict)
            or set(rule[part]) != set(names)
        ):
            return f"`{part}` must have {', '.join(names)}"
        for name, value in rule[part].items():
            most = math.inf if name == "least_face_px" else 1
            if type(value) not in (int, float) or not 0 <= value <= most or value == math.inf:
                return f"`{part}.{name}` must be a number from 0 to {most:g}, got {value!r:.40}"
    return "" if len(rule) == 2 else "it must have `limits` and `right_answers` only"


def measure_quality(
    image_rgb: NDArray[np.uint8], face: DetectedFace, *, aligned_rgb: NDArray[np.uint8] | None = None
) -> FaceQuality:
    """Return the quality of a face in an image ``(H, W, 3)`` uint8.

    Args:
        image_rgb: the image.
        face: in the image.
        aligned_rgb: ``(48, 48, 3)``, the face aligned as `CROP` says, if it has been cropped already.
    """
    is_aligned = aligned_rgb is not None
    if aligned_rgb is None:
        size_wh = image_rgb.shape[1::-1]
        matrix, method = crop_matrix(CROP, size_wh, anchors=face.anchors, box_xyxy=face.box_xyxy)
        aligned_rgb, is_aligned = crop_image(image_rgb, matrix, CROP.size), method == "aligned"
    gray = cv2.cvtColor(aligned_rgb, cv2.COLOR_RGB2GRAY).astype(np.float64)
    mean, contrast = _mean_and_deviation(gray)
    _, roughness = _mean_and_deviation(cv2.Laplacian(gray, cv2.CV_64F)[1:-1, 1:-1])
    sides = face.box_xyxy[2:] - face.box_xyxy[:2]
    covered = measure_cover(gray) if is_aligned else None
    if face.points is not None:
        mouth_xy = face.points[3:].mean(axis=0)
        if (mouth_xy < 0).any() or (mouth_xy > image_rgb.shape[1::-1]).any():
            covered = 1.0
    quality = FaceQuality(
        face_px=float(sides.min()),
        sharpness=roughness**2 / max(contrast**2, 1e-6),
        brightness=mean / 255,
        contrast=contrast / 255,
        covered=covered,
    )
    return quality if face.points is None else quality.with_pose(face.points)


def measure_cover(gray: NDArray[np.float64]) -> float:
    """Return the probability that something covers mouth and nose in an aligned crop ``(48, 48)``.

    A logistic regression on the mean and the logarithm of the standard deviation in each of 6 x 6 blocks, after the crop
    has been brought to mean 0 and standard deviation 1.
    """
    mean, deviation = _mean_and_deviation(gray)
    normalized = (gray - mean) / (deviation + 1e-6)
    # Shrinking by area averages each block.
    means, squares = (
        np.asarray(cv2.resize(values, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA))
        for values in (normalized, normalized * normalized)
    )
    deviations = np.sqrt(np.maximum(squares - means * means, 0))
    logit = QUALITY["covered_bias"] + float(
        _COVERED_WEIGHTS @ np.concatenate([np.log(0.05 + deviations), means], axis=None)
    )
    return 1 / (1 + math.exp(-logit))


def _mean_and_deviation(values: NDArray[np.float64]) -> tuple[float, float]:
    mean, deviation = cv2.meanStdDev(values)
    return float(mean[0, 0]), float(deviation[0, 0])


def estimate_pose(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return roll, yaw and pitch in degrees from ``(5, 2)`` points, see `FaceQuality`.

    Scaled orthographic projection of a generic head, fitted by least squares (the POS step of DeMenthon and Davis 1995,
    https://doi.org/10.1007/BF01450852): good to about ten degrees, since heads differ.
    """
    # The rows of the fit add up to 0: where the points are does not matter.
    right, down = (_HEAD_FIT @ points).T.tolist()
    lengths = math.hypot(*right), math.hypot(*down)
    if not min(lengths) > 0:
        return 0.0, 0.0, 0.0
    right, down = [value / lengths[0] for value in right], [value / lengths[1] for value in down]
    roll = math.atan2(down[0], right[0])
    # Where the face looks, in the image and then with the roll taken back.
    x, y, z = right[2], down[2], right[0] * down[1] - right[1] * down[0]
    x, y = math.cos(roll) * x + math.sin(roll) * y, math.cos(roll) * y - math.sin(roll) * x
    return math.degrees(roll), math.degrees(math.atan2(x, z)), math.degrees(math.atan2(-y, math.hypot(x, z)))
