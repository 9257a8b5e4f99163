"""The face crop: one contract for `prepare`, `predict` and every program that feeds a mien model.

A crop is a similarity transform from the image to a square, chosen by the method:

- ``aligned``: eyes and mouth corners are mapped to fixed positions. They come from 68 landmarks or from a
  detector's five points. A face without such points falls back to ``box``.
- ``box``: the upright square around the face box. A face without a box falls back to ``whole``.
- ``whole``: the full image, for sets of pre-cropped faces.

Resampling, specified so that any language can reproduce it: while the image has at least twice the resolution of the
crop, it is halved (each 2 x 2 block, counted from the top left corner, becomes its rounded mean; an odd last row or
column is dropped); then each crop pixel is sampled bilinearly, with pixel centers at half-integers and black outside
the image. `prepare` lets the JPEG decoder do the halving, which is faster: its scaled images (1/2, 1/4, 1/8) are
block means too, with a brightness within half a gray level on average.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.crop_options import CROP_METHODS, DEFAULT_MARGIN, DEFAULT_SIZE, CropMethod

# A face this large, in pixels, is an error in its annotation; the arithmetic of the crop would overflow.
LARGEST_SIDE = 1e7

# The longest side that OpenCV's warp accepts.
LARGEST_WARPED = 32_767

# Positions of the anchors in an aligned crop with margin 0, as fractions of its side: the eyes at 40% of the height
# and 35% of the width apart, which puts the brows at about 25% and the chin at the bottom edge.
ALIGNED_ANCHORS = np.array([[0.325, 0.40], [0.675, 0.40], [0.35, 0.77], [0.65, 0.77]])


# The affine matrix that changes nothing.
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class CropContract:
    """How a face is cropped from an image. Stored in a pack and in the models trained on it.

    Attributes:
        method: see the module.
        margin: added on each side, as a fraction of the side at margin 0. Ignored by ``whole``.
        size: side of the crop in pixels.
        resampling: name of the module's resampling rule.
        border: name of the value of pixels outside the image.
    """

    method: CropMethod = "aligned"
    margin: float = DEFAULT_MARGIN
    size: int = DEFAULT_SIZE
    resampling: Literal["halve+bilinear"] = "halve+bilinear"
    border: Literal["black"] = "black"

    def __post_init__(self) -> None:
        if self.method not in CROP_METHODS:
            raise ValueError(f"`method` must be one of {CROP_METHODS}, got {self.method!r}")
        if isinstance(self.margin, bool) or not 0 <= self.margin <= 2:
            raise ValueError(f"`margin` must be in [0, 2], got {self.margin!r}")
        if type(self.size) is not int or not 16 <= self.size <= 1024:
            raise ValueError(f"`size` must be an integer in [16, 1024] pixels, got {self.size!r}")
        if (self.resampling, self.border) != ("halve+bilinear", "black"):
            raise ValueError(
                "`resampling` must be 'halve+bilinear' and `border` 'black', got "
                f"{self.resampling!r} and {self.border!r}"
            )

    @classmethod
    def from_dict(cls, value: Any) -> "CropContract":
        """Return the contract for the plain values that `to_dict` returns.

        Raises:
            ValueError: they are not a dictionary, or a value is missing or out of range.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(value, dict) or set(value) != set(names):
            raise ValueError(f"`crop` must have {', '.join(names)}, got {value!r:.80}")
        try:
            return cls(**value)
        except TypeError as error:  # a size that is a string cannot be compared
            raise ValueError(f"`crop` holds a value of another type: {error}") from None

    def crops_like(self, other: "CropContract") -> bool:
        """Return whether both show the same region of an image, whatever their size."""
        return self.method == other.method and (self.method == "whole" or self.margin == other.margin)

    def describe(self) -> str:
        """Return the contract as text."""
        margin = "" if self.method == "whole" else f" with margin {self.margin:g}"
        return f"{self.method} crops of {self.size} px{margin}"

    def explain_misfit(
        self, pack: "CropContract", *, input_size: int | None = None, subject: str = "The model"
    ) -> str:
        """Return why a network that was trained on crops like these suits those of a pack less, or an empty string.

        Larger crops of the same region suit it: they are scaled down.

        Args:
            pack: the crops of the pack.
            input_size: side of the network's input; None: judge the region only, not the size.
            subject: what was trained, at the start of the sentence.
        """
        is_upscaled = input_size is not None and pack.size < min(self.size, input_size)
        if self.crops_like(pack) and not is_upscaled:
            return ""
        margin = "" if self.method == "whole" else f" --margin {self.margin:g}"
        found = pack.describe() + (f", which are upscaled to {input_size} px" if is_upscaled else "")
        return (
            f"{subject} was trained on {self.describe()}, the pack has {found}: that lowers its accuracy. Prepare the "
            f"dataset with `--crop {self.method}{margin} --size {self.size}`"
        )

    def for_detected_faces(self) -> "CropContract":
        """Return the contract for faces detected in an image.

        For ``whole`` it is the square around the box, since the image is not just the face. Without a margin, since
        sets of cropped faces are about that tight (in FER2013 the side is 0.98 of YuNet's box, median of 296 images).
        """
        return replace(self, method="box", margin=0.0) if self.method == "whole" else self

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain values, for JSON."""
        return asdict(self)


def crop_matrix(
    contract: CropContract,
    size_wh: tuple[int, int],
    *,
    anchors: NDArray[np.floating] | None = None,
    box_xyxy: NDArray[np.floating] | None = None,
) -> tuple[NDArray[np.float64], CropMethod]:
    """Return the transform from image coordinates to fractions of the crop, and the method used.

    Convention: continuous coordinates, the image covers ``[0, w] x [0, h]`` and the crop ``[0, 1] x [0, 1]``.

    Args:
        contract: the requested crop.
        size_wh: width and height of the image.
        anchors: ``(4, 2)`` eyes and mouth corners in pixels, or None.
        box_xyxy: ``(4,)`` face box in pixels, or None.

    Returns:
        A ``(2, 3)`` affine matrix, and the method that was used after any fallback.
    """
    if contract.method == "aligned" and anchors is not None:
        target = 0.5 + (ALIGNED_ANCHORS - 0.5) / (1 + 2 * contract.margin)
        matrix = _similarity(anchors, target)
        if matrix is not None:
            return matrix, "aligned"
    if contract.method != "whole" and box_xyxy is not None:
        x0, y0, x1, y1 = (float(value) for value in box_xyxy)
        side = max(x1 - x0, y1 - y0) * (1 + 2 * contract.margin)
        if 0 < side < LARGEST_SIDE:
            return _square((x0 + x1) / 2, (y0 + y1) / 2, side), "box"
    width, height = size_wh
    return _square(width / 2, height / 2, max(width, height)), "whole"


def _square(center_x: float, center_y: float, side: float) -> NDArray[np.float64]:
    return np.array(
        [[1 / side, 0, 0.5 - center_x / side], [0, 1 / side, 0.5 - center_y / side]], dtype=np.float64
    )


def _similarity(source: NDArray[np.floating], target: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the least-squares rotation, scale and shift without reflection (Umeyama 1991), computed as complex numbers.

    None if the points coincide or lie too far apart.
    """
    # Python numbers: for four points they are ten times as fast as arrays.
    z = [complex(x, y) for x, y in source.tolist()]
    w = [complex(x, y) for x, y in target.tolist()]
    z_mean, w_mean = sum(z) / len(z), sum(w) / len(w)
    variance = sum(((point - z_mean) * (point - z_mean).conjugate()).real for point in z)
    if not 1e-6 < variance < LARGEST_SIDE**2:
        return None
    a = sum((p - z_mean).conjugate() * (q - w_mean) for p, q in zip(z, w, strict=True)) / variance
    if abs(a) < 1 / LARGEST_SIDE:
        return None
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], dtype=np.float64)


def turn_crop(matrix: NDArray[np.float64], quarters: int) -> NDArray[np.float64]:
    """Return the matrix of a crop whose content, rolled clockwise by quarter turns, is turned back upright."""
    for _ in range(quarters % 4):
        # (u, v) of the crop becomes (v, 1 - u)
        matrix = np.array([matrix[1], [-matrix[0, 0], -matrix[0, 1], 1 - matrix[0, 2]]])
    return matrix


def compose(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine matrices ``(..., 2, 3)`` that apply ``first`` and then ``second``."""
    composed = second[..., :2] @ first
    composed[..., 2] += second[..., 2]
    return np.asarray(composed, dtype=np.float64)


def transform_points(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ``(N, 2)`` points transformed by a ``(2, 3)`` affine matrix."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)


def invert_matrix(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a ``(2, 3)`` affine matrix."""
    (a, b, x), (c, d, y) = matrix.tolist()
    scale = 1 / (a * d - b * c)
    inverse = ((d * scale, -b * scale), (-c * scale, a * scale))
    return np.array([[*row, -row[0] * x - row[1] * y] for row in inverse])


def crop_image(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int, *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return the square crop for a matrix from `crop_matrix`.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8.
        matrix: ``(2, 3)`` from image coordinates to fractions of the crop.
        size: side of the crop in pixels.
        out: array to write the crop to, which saves a copy; None for a new one.

    Returns:
        ``(size, size, 3)`` or ``(size, size)`` uint8.

    Raises:
        ValueError: ``out`` has the wrong shape or type.
    """
    shape = (size, size, *image.shape[2:])
    if out is None:
        out = np.empty(shape, dtype=np.uint8)
    elif out.shape != shape or out.dtype != np.uint8:  # OpenCV would silently write elsewhere
        raise ValueError(f"`out` must be {shape} uint8, got {out.shape} {out.dtype}")
    to_image = invert_matrix(matrix)
    halvings = count_halvings(matrix, size)
    part, origin = image, (0, 0)
    if halvings or max(image.shape) > LARGEST_WARPED:
        part, origin = _covered_part(image, to_image, block=2**halvings)
    if part.size == 0:
        out[:] = 0
        return out
    part = halve_image(part, halvings)
    # crop pixel (u, v) -> pixel of the part, with centers at half-integers on both sides
    sampling = to_image / (size, size, 1)
    sampling[:, 2] += sampling[:, :2].sum(axis=1) / 2 - origin
    sampling /= 2**halvings
    sampling[:, 2] -= 0.5
    cv2.warpAffine(
        part,
        sampling,
        (size, size),
        dst=out,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return out


def halve_image(image: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Return an image, ``(H, W, 3)`` or ``(H, W)`` uint8, at half its size, a quarter and so on.

    Each block of 2 x 2 pixels becomes its rounded mean; an odd last row or column is dropped.
    """
    for _ in range(times):
        height, width = (max(1, side // 2) for side in image.shape[:2])
        even = image[: height * 2, : width * 2]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return image


def count_halvings(matrix: NDArray[np.float64], size: int) -> int:
    """Return how often `crop_image` halves the image, given the matrix and the size of the crop."""
    pixels_per_step = 1 / (size * math.hypot(matrix[0, 0], matrix[1, 0]))
    return max(0, math.floor(math.log2(pixels_per_step) + 1e-9))


def halved_matrix(matrix: NDArray[np.float64], halvings: int) -> NDArray[np.float64]:
    """Return a matrix from `crop_matrix` for an image that has already been halved ``halvings`` times."""
    return np.asarray(matrix * (2.0**halvings, 2.0**halvings, 1.0), dtype=np.float64)


def _covered_part(
    image: NDArray[np.uint8], to_image: NDArray[np.float64], *, block: int
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the part of the image that the crop covers, with a margin of a block and aligned to blocks, and its origin.

    The rest is never read: the crop of a small face in a large image costs no more than the face.
    """
    spans = []
    for (along, across, start), limit in zip(to_image.tolist(), image.shape[1::-1], strict=True):
        low = start + (min(0.0, along) + min(0.0, across))
        high = start + (max(0.0, along) + max(0.0, across))
        first = (math.floor(low / block) - 1) * block
        last = (math.ceil(high / block) + 1) * block
        spans.append((min(max(first, 0), limit), min(max(last, 0), limit)))
    (x0, x1), (y0, y1) = spans
    return image[y0:y1, x0:x1], (x0, y0)


def resize_crop(crop: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return a square crop at another size, by the same rule as `crop_image`. At its own size it is returned unchanged."""
    side = crop.shape[0]
    if side == size:
        return crop
    return crop_image(crop, _square(side / 2, side / 2, side), size)
