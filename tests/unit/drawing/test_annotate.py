"""Drawing predictions on images."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.drawing.annotate import MIN_LONGER_SIDE, annotate
from mien.drawing.label_card import class_color
from mien.inference.results import FacePrediction

MakeFace = Callable[..., FacePrediction]


def image(width: int, height: int, shade: int = 128) -> NDArray[np.uint8]:
    """Return a uniform gray image."""
    return np.full((height, width, 3), shade, np.uint8)


def test_input_image_is_not_modified(make_face: MakeFace) -> None:
    """The copy has the same size and differs only around the face."""
    original = image(1000, 800)
    copy = annotate(original, [make_face((600, 400, 800, 600))])
    assert copy.shape == original.shape
    assert (original == 128).all()
    assert (copy[:, :300] == 128).all()
    assert (copy[390:610, 590:810] != 128).any()


@pytest.mark.parametrize("shade", [0, 255], ids=["black", "white"])
def test_frame_and_label_are_visible_on_any_background(make_face: MakeFace, shade: int) -> None:
    """On black and on white, pixels of the class's color and of strong contrast appear."""
    copy = annotate(image(900, 900, shade), [make_face((300, 300, 600, 600))]).astype(int)
    difference = np.abs(copy - shade).max(axis=2)
    assert (difference > 120).sum() > 1000
    accent = np.abs(copy - np.array(class_color("Happy"))).max(axis=2) < 12
    assert accent[290:610, 290:610].sum() > 500


def test_small_image_is_enlarged(make_face: MakeFace) -> None:
    """Text stays legible; the aspect ratio is kept."""
    copy = annotate(image(48, 36), [make_face((5, 5, 40, 35))])
    assert copy.shape == (MIN_LONGER_SIDE * 36 // 48, MIN_LONGER_SIDE, 3)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((-50, -80, 200, 170), id="extends beyond the corner"),
        pytest.param((0, 0, 800, 800), id="fills the image"),
        pytest.param((790, 790, 796, 796), id="tiny in the corner"),
        pytest.param((900, 900, 1000, 1000), id="outside"),
    ],
)
@pytest.mark.parametrize("landmarks", [True, False])
def test_any_box_can_be_drawn(
    make_face: MakeFace, box: tuple[float, float, float, float], landmarks: bool
) -> None:
    """Boxes at, across and beyond the edge."""
    assert annotate(image(800, 800), [make_face(box, landmarks=landmarks)]).shape == (800, 800, 3)


def test_very_thin_image_can_be_drawn(make_face: MakeFace) -> None:
    """A label larger than the image is cropped."""
    assert annotate(image(800, 4), [make_face((10, 0, 14, 4))]).shape == (4, 800, 3)


def test_image_without_a_face_is_labeled() -> None:
    """There is a label in the corner and nothing else."""
    copy = annotate(image(900, 600), [FacePrediction("a.jpg", status="no_face")])
    assert (copy[:100, :300] != 128).any()
    assert (copy[150:] == 128).all()


def test_label_sides_of_visible_tracks_are_remembered(make_face: MakeFace) -> None:
    """A track that has disappeared is forgotten."""
    sides: dict[int, int] = {7: 3}
    face = replace(make_face((300, 300, 500, 500)), track=4)
    annotate(image(900, 900), [face], sides=sides)
    assert list(sides) == [4]


def test_blurred_faces_are_hidden_and_the_rest_is_not() -> None:
    """Within the box and its margin nothing of fine detail is left; outside of it, and of the label, every pixel stays."""
    image = np.random.default_rng(0).integers(0, 256, (800, 800, 3)).astype(np.uint8)
    box = np.array([500.0, 500, 600, 600])
    row = FacePrediction(
        "", face=0, box_xyxy=box, expression="Happy", confidence=1.0, probabilities={"Happy": 1.0}
    )
    drawn, hidden = annotate(image, [row]), annotate(image, [row], blur=True)
    inside = hidden[535:565, 535:565].astype(float)
    assert inside.std() < 20
    assert drawn[535:565, 535:565].astype(float).std() > 60
    assert np.array_equal(hidden[:450, :450], image[:450, :450])
    outside = replace(row, box_xyxy=np.array([900.0, 900, 950, 950]))
    assert annotate(image, [outside], blur=True).shape == image.shape
