"""Drawing readings on pictures."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.reading.annotate import MIN_LONGER_SIDE, annotate
from mien.reading.card import build_card, build_pill, class_color
from mien.reading.placement import Layout, best_place
from mien.reading.readings import FaceReading


def reading(box: tuple[float, float, float, float], *, landmarks: bool = True) -> FaceReading:
    """Return the reading of a face with this box."""
    x0, y0, x1, y1 = box
    points = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2)) * (x1 - x0, y1 - y0) + (x0, y0)
    return FaceReading(
        "a.jpg",
        face=0,
        box_xyxy=np.array(box, dtype=np.float64),
        score=0.9,
        expression="Happy",
        confidence=0.8,
        probabilities={"Neutral": 0.05, "Happy": 0.8, "Sad": 0.1, "Fear": 0.05},
        landmarks=points if landmarks else None,
        valence=0.5 if landmarks else None,
        arousal=-0.2 if landmarks else None,
    )


def picture(width: int, height: int, shade: int = 128) -> NDArray[np.uint8]:
    """Return a plain grey picture."""
    return np.full((height, width, 3), shade, np.uint8)


def test_the_picture_given_is_left_as_it_is() -> None:
    """The copy has its size, and differs from it around the face only."""
    original = picture(1000, 800)
    copy = annotate(original, [reading((600, 400, 800, 600))])
    assert copy.shape == original.shape
    assert (original == 128).all()
    assert (copy[:, :300] == 128).all()
    assert (copy[390:610, 590:810] != 128).any()


@pytest.mark.parametrize("shade", [0, 255], ids=["black", "white"])
def test_frame_and_label_show_on_any_background(shade: int) -> None:
    """On black and on white, pixels of the class's color and of strong contrast appear."""
    copy = annotate(picture(900, 900, shade), [reading((300, 300, 600, 600))]).astype(int)
    difference = np.abs(copy - shade).max(axis=2)
    assert (difference > 120).sum() > 1000
    accent = np.abs(copy - np.array(class_color("Happy"))).max(axis=2) < 12
    assert accent[290:610, 290:610].sum() > 500


def test_a_small_picture_is_drawn_larger() -> None:
    """So that the writing can be read; its shape is kept."""
    copy = annotate(picture(48, 36), [reading((5, 5, 40, 35))])
    assert copy.shape == (MIN_LONGER_SIDE * 36 // 48, MIN_LONGER_SIDE, 3)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((-50, -80, 200, 170), id="reaches beyond the corner"),
        pytest.param((0, 0, 800, 800), id="fills the picture"),
        pytest.param((790, 790, 796, 796), id="tiny in the corner"),
        pytest.param((900, 900, 1000, 1000), id="outside"),
    ],
)
@pytest.mark.parametrize("landmarks", [True, False])
def test_any_box_can_be_drawn(box: tuple[float, float, float, float], landmarks: bool) -> None:
    """Boxes at, over and beyond the edge."""
    assert annotate(picture(800, 800), [reading(box, landmarks=landmarks)]).shape == (800, 800, 3)


def test_a_very_thin_picture_can_be_drawn() -> None:
    """A label larger than the picture is cut."""
    assert annotate(picture(800, 4), [reading((10, 0, 14, 4))]).shape == (4, 800, 3)


def test_a_picture_without_a_face_says_so() -> None:
    """A label in the corner, the rest untouched."""
    copy = annotate(picture(900, 600), [FaceReading("a.jpg", status="no_face")])
    assert (copy[:100, :300] != 128).any()
    assert (copy[150:] == 128).all()


def test_a_card_grows_with_what_it_tells() -> None:
    """Bars and affect take lines of their own; a pill has one line."""
    full = build_card(reading((0, 0, 1, 1)), 20)
    assert full.shape[0] > build_card(reading((0, 0, 1, 1), landmarks=False), 20).shape[0]
    assert full.shape[0] > 3 * build_pill("Happy", 20, color=class_color("Happy")).shape[0]
    assert full.shape[2] == 4


def test_a_bar_is_as_long_as_its_probability() -> None:
    """The longest run of the class's color grows with its share."""
    lengths = []
    for share in (0.25, 0.5, 1.0):
        face = FaceReading(
            "a.jpg",
            expression="Sad",
            confidence=share,
            probabilities={"Sad": share, "Happy": 1 - share},
        )
        is_accent = (build_card(face, 24)[:, :, :3] == class_color("Sad")).all(axis=2)
        lengths.append(int(is_accent[40:].sum(axis=1).max()))
    assert lengths[1] / lengths[2] == pytest.approx(0.5, abs=0.06)
    assert lengths[0] / lengths[2] == pytest.approx(0.25, abs=0.06)


def test_labels_stay_in_the_picture_and_apart() -> None:
    """With room for all, labels of neighbours overlap neither each other nor a face."""
    boxes = [(100.0 + 180 * index, 200.0, 220.0 + 180 * index, 320.0) for index in range(5)]
    layout = Layout((1100, 600), boxes, boxes)
    for index in range(5):
        place, cost = best_place((150, 80), index, layout)
        assert cost == 0
        assert place[0] >= 0
        assert place[1] >= 0
        assert place[2] <= 1100
        assert place[3] <= 600
        layout.labels.append(place)


def test_a_label_in_a_tight_picture_goes_where_it_hides_least() -> None:
    """A close-up's label hides hair rather than features."""
    layout = Layout((400, 400), [(20, 10, 380, 390)], [(80, 150, 320, 380)])
    place, _ = best_place((120, 60), 0, layout)
    assert place[3] <= 150


def test_a_label_of_a_video_stays_on_its_side_until_another_is_much_better() -> None:
    """Of two sides that are about as good the one before is kept; a face that goes to the edge moves its label."""

    def side(box: tuple[float, float, float, float], before: dict[int, int]) -> tuple[int, float]:
        layout = Layout((640, 480), [box], [box], sides=before)
        place, _ = best_place((150, 80), 0, layout)
        return layout.sides[0], place[1]

    above, y = side((200, 120, 400, 400), {})
    assert y < 120
    # ten rows of the face are hidden now, which a place beside it would not
    assert side((200, 75, 400, 355), {})[0] != above
    assert side((200, 75, 400, 355), {0: above})[0] == above
    assert side((200, 5, 400, 285), {0: above})[0] != above


def test_the_sides_of_those_who_are_seen_are_remembered() -> None:
    sides: dict[int, int] = {7: 3}
    face = replace(reading((300, 300, 500, 500)), track=4)
    annotate(picture(900, 900), [face], sides=sides)
    assert list(sides) == [4]


def test_names_of_any_script_are_told_apart() -> None:
    """Two names of two characters each are not two boxes each, in either label."""
    happy, sad = (build_pill(name, 20, color=class_color(name)) for name in ("高兴", "悲伤"))
    assert happy.shape != sad.shape or (happy != sad).any()
    row = reading((0, 0, 100, 100))
    cards = [build_card(replace(row, probabilities={name: 0.5, "Sad": 0.1}), 20) for name in ("高兴", "悲伤")]
    assert cards[0].shape != cards[1].shape or (cards[0] != cards[1]).any()
