"""The crop: one contract for `prepare`, `predict` and every program that feeds a mien model.

A crop is a similarity transform from the picture to a square. Which one depends on the method:

- ``aligned``: eyes and mouth corners go to fixed places. Both the 68 landmarks and a detector's five points
  give them. A face that has no such points falls back to ``box``.
- ``box``: the square around a face box, upright. A face without a box falls back to ``whole``.
- ``whole``: the whole picture, for sets whose files are faces already.

Resampling, so that any language can repeat it: while the picture is at least twice as fine as the crop, it is
halved (each 2 x 2 block, counted from the picture's corner, becomes its rounded mean; an odd last row or column
is dropped); then each crop pixel takes the bilinear value at its place, with pixel centres at half-integers,
and black outside the picture. `prepare` lets the JPEG decoder halve, which is faster: its smaller pictures (1/2,
1/4, 1/8) are means of blocks too, in brightness within half a grey level on average.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

CropMethod = Literal["aligned", "box", "whole"]
CROP_METHODS: tuple[CropMethod, ...] = ("aligned", "box", "whole")

DEFAULT_SIZE = 256
DEFAULT_MARGIN = 0.1

# A face of this many pixels is a slip in its list; the arithmetic of a crop that large would overflow.
LARGEST_SIDE = 1e7

# OpenCV's warp takes no longer sides.
LARGEST_WARPED = 32_767

# Where the anchors stand in an aligned crop of margin 0, as fractions of its side: the eyes at 40 % of the
# height and 35 % of the width apart, which puts the brows at about 25 % and the chin at the lower edge.
ALIGNED_ANCHORS = np.array([[0.325, 0.40], [0.675, 0.40], [0.35, 0.77], [0.65, 0.77]])


@dataclass(frozen=True, slots=True)
class CropContract:
    """How a face is cut from a picture. Stored in a pack and carried into the model made from it.

    Attributes:
        method: see the module.
        margin: added on each side, as a fraction of the side at margin 0. Not used by ``whole``.
        size: side of the crop in pixels.
        resampling: the rule of the module, by name.
        border: value of pixels outside the picture, by name.
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
            raise ValueError(f"`size` must be a whole number in [16, 1024] pixels, got {self.size!r}")
        if (self.resampling, self.border) != ("halve+bilinear", "black"):
            raise ValueError(
                "`resampling` must be 'halve+bilinear' and `border` 'black', got "
                f"{self.resampling!r} and {self.border!r}"
            )

    @classmethod
    def from_dict(cls, value: Any) -> "CropContract":
        """Return the contract of plain values, as `to_dict` gives them.

        Raises:
            ValueError: they are none, or one is missing or cannot be.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(value, dict) or set(value) != set(names):
            raise ValueError(f"`crop` must have {', '.join(names)}, got {value!r:.80}")
        try:
            return cls(**value)
        except TypeError as error:  # a size that is text cannot be compared
            raise ValueError(f"`crop` holds a value of another type: {error}") from None

    def cuts_like(self, other: "CropContract") -> bool:
        """Whether both show the same part of a picture, at whatever size."""
        return (self.method, self.margin) == (other.method, other.margin)

    def for_found_faces(self) -> "CropContract":
        """Return the contract for faces that were found in a picture.

        Of ``whole`` that is the square around the box: the picture is not the face there. No margin, since sets of
        cropped faces are about that tight (in FER2013 the side is 0.98 of YuNet's box, the median of 296 pictures).
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
    """Return the transform from picture coordinates to fractions of the crop, and the method that gave it.

    Convention: continuous coordinates, the picture spans ``[0, w] x [0, h]`` and the crop ``[0, 1] x [0, 1]``.

    Args:
        contract: the crop wanted.
        size_wh: width and height of the picture.
        anchors: ``(4, 2)`` eyes and mouth corners in pixels, or None.
        box_xyxy: ``(4,)`` face box in pixels, or None.

    Returns:
        A ``(2, 3)`` affine matrix, and the method used after fall-backs.
    """
    if contract.method == "aligned" and anchors is not None:
        matrix = _similarity(anchors, _with_margin(ALIGNED_ANCHORS, contract.margin))
        if matrix is not None:
            return matrix, "aligned"
    if contract.method != "whole" and box_xyxy is not None:
        x0, y0, x1, y1 = (float(value) for value in box_xyxy)
        side = max(x1 - x0, y1 - y0) * (1 + 2 * contract.margin)
        if 0 < side < LARGEST_SIDE:
            return _square((x0 + x1) / 2, (y0 + y1) / 2, side), "box"
    width, height = size_wh
    return _square(width / 2, height / 2, max(width, height)), "whole"


def _with_margin(points: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    return 0.5 + (points - 0.5) / (1 + 2 * margin)


def _square(center_x: float, center_y: float, side: float) -> NDArray[np.float64]:
    return np.array(
        [[1 / side, 0, 0.5 - center_x / side], [0, 1 / side, 0.5 - center_y / side]], dtype=np.float64
    )


def _similarity(source: NDArray[np.floating], target: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Least-squares rotation, scale and shift without mirroring (Umeyama 1991), as complex numbers."""
    # Plain numbers: for four points they are ten times as fast as arrays.
    z = [complex(x, y) for x, y in source.tolist()]
    w = [complex(x, y) for x, y in target.tolist()]
    z_mean, w_mean = sum(z) / len(z), sum(w) / len(w)
    spread = sum(((point - z_mean) * (point - z_mean).conjugate()).real for point in z)
    if not 1e-6 < spread < LARGEST_SIDE**2:
        return None
    a = sum((p - z_mean).conjugate() * (q - w_mean) for p, q in zip(z, w, strict=True)) / spread
    if abs(a) < 1 / LARGEST_SIDE:
        return None
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], dtype=np.float64)


def transform_points(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ``(N, 2)`` points moved by a ``(2, 3)`` matrix."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)


def invert_matrix(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a ``(2, 3)`` affine matrix."""
    (a, b, x), (c, d, y) = matrix.tolist()
    scale = 1 / (a * d - b * c)
    inverse = ((d * scale, -b * scale), (-c * scale, a * scale))
    return np.array([[*row, -row[0] * x - row[1] * y] for row in inverse])


def cut(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int, *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return the square crop that a matrix of `crop_matrix` describes.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8.
        matrix: ``(2, 3)`` from picture coordinates to fractions of the crop.
        size: side of the crop in pixels.
        out: where to write the crop, which saves a copy; None for a new array.

    Returns:
        ``(size, size, 3)`` or ``(size, size)`` uint8.

    Raises:
        ValueError: ``out`` is of another shape or type.
    """
    shape = (size, size, *image.shape[2:])
    if out is None:
        out = np.empty(shape, dtype=np.uint8)
    elif out.shape != shape or out.dtype != np.uint8:  # OpenCV would write elsewhere, without a word
        raise ValueError(f"`out` must be {shape} uint8, got {out.shape} {out.dtype}")
    to_picture = invert_matrix(matrix)
    halvings = count_halvings(matrix, size)
    part, origin = image, (0, 0)
    if halvings or max(image.shape) > LARGEST_WARPED:
        part, origin = _covered_part(image, to_picture, block=2**halvings)
    if part.size == 0:
        out[:] = 0
        return out
    for _ in range(halvings):
        part = _halve(part)
    # crop pixel (u, v) -> part pixel, with centres at half-integers on both sides
    sampling = to_picture / (size, size, 1)
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


def count_halvings(matrix: NDArray[np.float64], size: int) -> int:
    """Return how many times `cut` halves the picture for a matrix and a size of the crop."""
    pixels_per_step = 1 / (size * math.hypot(matrix[0, 0], matrix[1, 0]))
    return max(0, math.floor(math.log2(pixels_per_step) + 1e-9))


def halved_matrix(matrix: NDArray[np.float64], halvings: int) -> NDArray[np.float64]:
    """Return a matrix of `crop_matrix` for the picture halved so many times already."""
    return np.asarray(matrix * (2.0**halvings, 2.0**halvings, 1.0), dtype=np.float64)


def _covered_part(
    image: NDArray[np.uint8], to_picture: NDArray[np.float64], *, block: int
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the part of the picture that the crop covers, cut at whole blocks, and its origin.

    The rest is never touched: a crop of a small face in a large picture costs no more than the face.
    """
    spans = [
        _covered_span(at, [along, across], limit=limit, block=block)
        for (along, across, at), limit in zip(to_picture.tolist(), image.shape[1::-1], strict=True)
    ]
    (x0, x1), (y0, y1) = spans
    return image[y0:y1, x0:x1], (x0, y0)


def _covered_span(start: float, edges: list[float], *, limit: int, block: int) -> tuple[int, int]:
    """Return which of a picture's rows or columns lie between the crop's corners, and a block around them."""
    low = start + sum(min(0.0, edge) for edge in edges)
    high = start + sum(max(0.0, edge) for edge in edges)
    first = (math.floor(low / block) - 1) * block
    last = (math.ceil(high / block) + 1) * block
    return min(max(first, 0), limit), min(max(last, 0), limit)


def _halve(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (max(1, side // 2) for side in part.shape[:2])
    even = part[: max(1, height * 2), : max(1, width * 2)]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def resize_crop(crop: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return a square crop at another size, by the same rule as `cut`. The same size returns it untouched."""
    side = crop.shape[0]
    if side == size:
        return crop
    return cut(crop, _square(side / 2, side / 2, side), size)
