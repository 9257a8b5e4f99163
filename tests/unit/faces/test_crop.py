"""The crop: its region, its sampling, and that points move with pixels."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.crop import (
    ALIGNED_ANCHORS,
    CropContract,
    count_halvings,
    crop_image,
    crop_matrix,
    halved_matrix,
    invert_matrix,
    resize_crop,
    transform_points,
)

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]


def smooth_noise(shape: tuple[int, ...], seed: int = 0, blur: float = 1.5) -> Pixels:
    """Random pixels, blurred a little: photographs have no single-pixel noise of full contrast either."""
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.asarray(
        cv2.normalize(cv2.GaussianBlur(noise, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX), np.uint8
    )


def matrix_of(*, side: float, center: tuple[float, float], angle: float = 0.0) -> Matrix:
    """Return the transform to fractions of a square with this side, center and rotation, in image pixels."""
    c, s = math.cos(angle) / side, math.sin(angle) / side
    linear = np.array([[c, s], [-s, c]])
    return np.column_stack([linear, 0.5 - linear @ center])


def cut_slowly(image: Pixels, matrix: Matrix, size: int) -> NDArray[np.float64]:
    """The rule in the crop module's docstring, word by word, one pixel at a time."""
    to_image = invert_matrix(matrix)
    step = math.hypot(to_image[0, 0], to_image[1, 0]) / size
    photo, scale = image.astype(np.int64), 1.0
    while step / scale >= 2:
        height, width = photo.shape[0] // 2, photo.shape[1] // 2
        even = photo[: 2 * height, : 2 * width]
        blocks = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
        photo, scale = (blocks + 2) // 4, scale * 2
    crop = np.zeros((size, size, *image.shape[2:]))
    for row in range(size):
        for column in range(size):
            fraction = np.array([(column + 0.5) / size, (row + 0.5) / size])
            x, y = (to_image[:, :2] @ fraction + to_image[:, 2]) / scale - 0.5
            crop[row, column] = bilinear(photo, float(x), float(y))
    return crop


def bilinear(photo: NDArray[np.int64], x: float, y: float) -> Any:
    left, top = math.floor(x), math.floor(y)
    total: Any = 0.0
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < photo.shape[0] and 0 <= column < photo.shape[1]:
                total = total + row_weight * weight * photo[row, column]
    return total


@pytest.mark.parametrize(
    ("shape", "matrix"),
    [
        pytest.param((60, 70, 3), matrix_of(side=40, center=(35, 30)), id="near one to one"),
        pytest.param((60, 70, 3), matrix_of(side=13, center=(31, 22), angle=0.3), id="enlarged"),
        pytest.param((90, 91, 3), matrix_of(side=63.9, center=(44, 46), angle=-0.4), id="just not halved"),
        pytest.param((90, 91, 3), matrix_of(side=64, center=(44.5, 46), angle=0.0), id="just halved"),
        pytest.param((201, 233, 3), matrix_of(side=150, center=(117, 99), angle=0.2), id="halved twice, odd"),
        pytest.param((201, 233), matrix_of(side=190, center=(120, 90), angle=1.2), id="gray"),
        pytest.param((301, 299, 3), matrix_of(side=290, center=(30, 280), angle=0.1), id="at the corner"),
        pytest.param((80, 80, 3), matrix_of(side=300, center=(40, 40)), id="larger than the photo"),
        pytest.param(
            (511, 700, 3), matrix_of(side=260, center=(505, 371), angle=2.9), id="part of a large one"
        ),
    ],
)
def test_cut_follows_the_written_rule(shape: tuple[int, ...], matrix: Matrix) -> None:
    """The fast crop agrees with the documented rule, computed slowly, within a gray level for 19 of 20 pixels."""
    image = smooth_noise(shape, blur=6)
    fast, slow = crop_image(image, matrix, 32), cut_slowly(image, matrix, 32)
    difference = np.abs(fast - slow)
    assert fast.shape == slow.shape
    # OpenCV places samples on a grid of 1/32 pixel: at a black border that is up to 255 / 64 gray levels.
    inside = crop_image(np.full(shape[:2], 255, np.uint8), matrix, 32) == 255
    assert difference[inside].mean() < 0.5
    assert np.percentile(difference[inside], 95) <= 1.0
    assert difference.max() <= 4.5


CUTS = [
    pytest.param((60, 70, 3), matrix_of(side=40, center=(35, 30), angle=0.2), id="not halved"),
    pytest.param((201, 233, 3), matrix_of(side=150, center=(117, 99), angle=0.2), id="halved"),
    pytest.param((201, 233), matrix_of(side=150, center=(117, 99)), id="gray"),
    pytest.param((80, 80, 3), matrix_of(side=300, center=(40, 40)), id="larger than the photo"),
    pytest.param((80, 80, 3), matrix_of(side=300, center=(9000, 40)), id="far outside"),
]


@pytest.mark.parametrize(("shape", "matrix"), CUTS)
def test_crop_into_a_given_array(shape: tuple[int, ...], matrix: Matrix) -> None:
    """Written into an element of a batch, the crop is the same, and the other elements are unchanged."""
    image = smooth_noise(shape)
    batch = np.full((3, 32, 32, *shape[2:]), 123, np.uint8)
    place = batch[1]
    assert crop_image(image, matrix, 32, out=place) is place
    np.testing.assert_array_equal(batch[1], crop_image(image, matrix, 32))
    assert (batch[[0, 2]] == 123).all()


@pytest.mark.parametrize(
    "out",
    [
        pytest.param(np.zeros((16, 16, 3), np.uint8), id="too small"),
        pytest.param(np.zeros((64, 64, 3), np.uint8), id="too large"),
        pytest.param(np.zeros((32, 32), np.uint8), id="gray"),
        pytest.param(np.zeros((32, 32, 3), np.float32), id="floats"),
    ],
)
def test_crop_into_an_array_that_does_not_fit(out: Any) -> None:
    """An array of another shape or type is refused: it would be returned without the crop in it."""
    with pytest.raises(ValueError, match=r"`out` must be \(32, 32, 3\) uint8, got "):
        crop_image(smooth_noise((60, 70, 3)), matrix_of(side=40, center=(35, 30)), 32, out=out)


def test_same_size_whole_crop_is_the_image() -> None:
    """The full crop of a square image at its own size is unchanged."""
    image = smooth_noise((64, 64, 3))
    matrix, method = crop_matrix(CropContract(method="whole", size=64), (64, 64))
    assert method == "whole"
    np.testing.assert_array_equal(crop_image(image, matrix, 64), image)


def test_box_of_whole_pixels_is_a_slice() -> None:
    """A square box with no margin, as large as the crop, is exactly those pixels."""
    image = smooth_noise((100, 120, 3))
    contract = CropContract(method="box", margin=0, size=40)
    matrix, _ = crop_matrix(contract, (120, 100), box_xyxy=np.array([30.0, 20, 70, 60]))
    np.testing.assert_array_equal(crop_image(image, matrix, 40), image[20:60, 30:70])


def test_outside_of_the_image_is_black() -> None:
    """A box over the corner gives black outside the image, and the image inside."""
    image = np.full((100, 100, 3), 200, np.uint8)
    matrix, _ = crop_matrix(
        CropContract(method="box", margin=0, size=40), (100, 100), box_xyxy=np.array([-20.0, -20, 20, 20])
    )
    crop = crop_image(image, matrix, 40)
    assert (crop[20:, 20:] == 200).all()
    assert not crop[:20].any()
    assert not crop[:, :20].any()


def test_crop_far_outside_is_black() -> None:
    """A crop outside the image is black and has the right shape."""
    for shape in ((30, 30, 3), (30, 30)):
        crop = crop_image(np.full(shape, 255, np.uint8), matrix_of(side=20, center=(500, 500)), 24)
        assert crop.shape == (24, 24, *shape[2:])
        assert not crop.any()


def test_box_keeps_its_margin_and_shape() -> None:
    """A box that is not square gets a square around its center, as long as its longer side plus the margin."""
    matrix, method = crop_matrix(
        CropContract(method="box", margin=0.25), (500, 500), box_xyxy=np.array([100.0, 100, 140, 200])
    )
    assert method == "box"
    corners = transform_points(invert_matrix(matrix), np.array([[0.0, 0], [1, 1]]))
    np.testing.assert_allclose(corners, [[120 - 75, 150 - 75], [120 + 75, 150 + 75]])


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_anchors_land_on_the_template(margin: float) -> None:
    """Anchors that a similarity can map there land on their template, moved inward by the margin."""
    template = 0.5 + (ALIGNED_ANCHORS - 0.5) / (1 + 2 * margin)
    there = invert_matrix(matrix_of(side=220, center=(300, 250), angle=0.5))
    anchors = transform_points(there, template)
    matrix, method = crop_matrix(CropContract(margin=margin), (600, 600), anchors=anchors)
    assert method == "aligned"
    np.testing.assert_allclose(transform_points(matrix, anchors), template, atol=1e-9)


def test_aligned_crop_never_mirrors() -> None:
    """Anchors in mirrored order are fitted as well as a rotation can, not mirrored."""
    anchors = transform_points(invert_matrix(matrix_of(side=100, center=(50, 50))), ALIGNED_ANCHORS)
    mirrored = anchors * (-1, 1) + (100, 0)
    matrix, _ = crop_matrix(CropContract(), (100, 100), anchors=mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0


FACE_BOX = np.array([10.0, 10, 50, 50])


@pytest.mark.parametrize(
    ("contract", "given", "expected"),
    [
        pytest.param("aligned", {"box_xyxy": FACE_BOX}, "box", id="aligned, box only"),
        pytest.param("aligned", {}, "whole", id="aligned, nothing"),
        pytest.param("box", {}, "whole", id="box, nothing"),
        pytest.param("box", {"anchors": ALIGNED_ANCHORS * 80, "box_xyxy": FACE_BOX}, "box", id="box, both"),
        pytest.param(
            "whole", {"anchors": ALIGNED_ANCHORS * 80, "box_xyxy": FACE_BOX}, "whole", id="whole, both"
        ),
        pytest.param(
            "aligned", {"anchors": np.full((4, 2), 7.0), "box_xyxy": FACE_BOX}, "box", id="one spot"
        ),
        pytest.param("aligned", {"anchors": np.full((4, 2), np.nan)}, "whole", id="anchors of NaN"),
        pytest.param(
            "aligned", {"anchors": ALIGNED_ANCHORS * 1e200}, "whole", id="anchors beyond all measure"
        ),
        pytest.param(
            "box", {"box_xyxy": np.array([0, 0, 1e300, 1e300])}, "whole", id="box beyond all measure"
        ),
        pytest.param("box", {"box_xyxy": np.array([5.0, 5, 5, 5])}, "whole", id="box of no area"),
    ],
)
def test_fall_backs(contract: Any, given: dict[str, Any], expected: str) -> None:
    """A method without its points or box falls back to the next, and a crop is always possible."""
    matrix, method = crop_matrix(CropContract(method=contract, size=16), (80, 80), **given)
    assert method == expected
    assert crop_image(np.zeros((80, 80, 3), np.uint8), matrix, 16).shape == (16, 16, 3)


def aligned_crop(angle: float) -> tuple[Matrix, tuple[int, int]]:
    there = invert_matrix(matrix_of(side=230, center=(205, 190), angle=angle))
    return crop_matrix(CropContract(), (401, 377), anchors=transform_points(there, ALIGNED_ANCHORS))[0], (
        401,
        377,
    )


def boxed_crop() -> tuple[Matrix, tuple[int, int]]:
    box = np.array([90.0, 80, 300, 290])
    return crop_matrix(CropContract(method="box"), (401, 377), box_xyxy=box)[0], (401, 377)


def whole_crop() -> tuple[Matrix, tuple[int, int]]:
    return crop_matrix(CropContract(method="whole"), (401, 377))[0], (401, 377)


@pytest.mark.parametrize("build", [lambda: aligned_crop(0.4), boxed_crop, whole_crop])
def test_points_move_with_pixels(build: Callable[[], tuple[Matrix, tuple[int, int]]]) -> None:
    """A dot drawn at a point of the photo is found in the crop where the point was moved to."""
    matrix, (width, height) = build()
    for x, y in [(202.5, 150.5), (240.0, 190.0), (180.5, 220.0)]:
        rows, columns = np.mgrid[:height, :width] + 0.5
        dot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 5.0**2))
        crop = crop_image(dot.round().astype(np.uint8), matrix, 128).astype(float)
        rows, columns = (np.mgrid[:128, :128] + 0.5) / 128
        found = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
        np.testing.assert_allclose(found, transform_points(matrix, np.array([[x, y]]))[0], atol=0.3 / 128)


def test_resizing_a_crop_is_cutting_smaller() -> None:
    """A crop of twice the size, resized by half, equals the crop at half the size up to rounding."""
    image = smooth_noise((700, 700, 3), blur=3)
    matrix = matrix_of(side=512, center=(352, 352))
    small, large = crop_image(image, matrix, 64), crop_image(image, matrix, 128)
    assert np.abs(resize_crop(large, 64).astype(int) - small).max() <= 1


def test_resize_to_the_same_size_is_nothing() -> None:
    """A crop that already has the size is returned unchanged."""
    crop = smooth_noise((48, 48, 3))
    assert resize_crop(crop, 48) is crop


@pytest.mark.parametrize("size", [16, 20, 47, 112, 224])
def test_resize_keeps_level_and_shape(size: int) -> None:
    """Resizing changes neither a plain level nor the number of planes, smaller and larger."""
    for shape in ((48, 48, 3), (48, 48)):
        resized = resize_crop(np.full(shape, 77, np.uint8), size)
        assert resized.shape == (size, size, *shape[2:])
        assert (resized[2:-2, 2:-2] == 77).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1), (2, 3)])
@pytest.mark.parametrize("size", [16, 64])
def test_tiny_images_can_be_cut(shape: tuple[int, ...], size: int) -> None:
    """Images of a pixel, a row or a column give a crop of the right shape."""
    matrix, _ = crop_matrix(CropContract(method="whole", size=size), (shape[1], shape[0]))
    assert crop_image(np.full(shape, 255, np.uint8), matrix, size).shape == (size, size, *shape[2:])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"method": "eyes"}, "method"),
        ({"margin": -0.1}, "margin"),
        ({"margin": 3}, "margin"),
        ({"size": 8}, "size"),
    ],
)
def test_contract_refuses_nonsense(values: dict[str, Any], named: str) -> None:
    """The error for a wrong value names it."""
    with pytest.raises(ValueError, match=f"`{named}` must be"):
        CropContract(**values)


@pytest.mark.parametrize(
    ("pack", "expected"),
    [
        (CropContract("aligned", margin=0.0, size=48), ""),
        (CropContract("aligned", margin=0.0, size=112), ""),
        (
            CropContract("aligned", margin=0.0, size=32),
            (
                "The model was trained on aligned crops of 96 px with margin 0, the pack has aligned crops of 32 px with margin 0, "
                "which are upscaled to 48 px: that lowers its accuracy. Prepare the dataset with "
                "`--crop aligned --margin 0 --size 96`"
            ),
        ),
        (CropContract("aligned", margin=0.25, size=112), "aligned crops of 112 px with margin 0.25: that"),
        (CropContract("whole", size=112), "the pack has whole crops of 112 px: that"),
        (
            CropContract("whole", size=32),
            "the pack has whole crops of 32 px, which are upscaled to 48 px: that",
        ),
    ],
)
def test_crops_of_a_pack_that_do_not_fit_a_model(pack: CropContract, expected: str) -> None:
    """Another region does not fit, nor fewer pixels than the network takes; more pixels do."""
    misfit = CropContract("aligned", margin=0.0, size=96).explain_misfit(pack, input_size=48)
    assert expected in misfit
    assert bool(expected) == bool(misfit)


def test_crops_as_small_as_those_of_training_fit() -> None:
    """A network that was trained on upscaled crops is used as it was trained."""
    assert not CropContract("box", size=32).explain_misfit(CropContract("box", size=32), input_size=48)


def test_full_images_have_no_margin() -> None:
    """Two packs of full images are cropped alike, whatever margin they record."""
    assert CropContract("whole", margin=0.1).crops_like(CropContract("whole", margin=0.0))
    assert not CropContract("box", margin=0.1).crops_like(CropContract("box", margin=0.0))


def test_contract_survives_json_and_pickle() -> None:
    """A contract can be stored and sent to a worker."""
    contract = CropContract(method="box", margin=0.2, size=112)
    assert CropContract(**contract.to_dict()) == contract
    assert pickle.loads(pickle.dumps(contract)) == contract  # noqa: S301 - our own bytes


@pytest.mark.parametrize("halvings", [1, 2, 3])
def test_halved_image_gives_the_same_crop(halvings: int) -> None:
    """An image that was already halved gives, with its matrix, the crop of the full one."""
    image = smooth_noise((801, 803, 3), blur=9)
    matrix = matrix_of(side=700, center=(400, 390), angle=0.3)
    assert count_halvings(matrix, 64) == 3
    halved = image
    for _ in range(halvings):
        height, width = halved.shape[0] // 2, halved.shape[1] // 2
        halved = cv2.resize(halved[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(
        crop_image(np.asarray(halved, np.uint8), halved_matrix(matrix, halvings), 64),
        crop_image(image, matrix, 64),
    )
