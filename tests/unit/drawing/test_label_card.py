"""Labels of faces."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mien.drawing.label_card import build_card, build_pill, class_color
from mien.inference.results import FacePrediction

MakeFace = Callable[..., FacePrediction]


def test_card_height_depends_on_its_content(make_face: MakeFace) -> None:
    """Bars and affect have their own lines; a pill has one line."""
    full = build_card(make_face((0, 0, 1, 1)), 20)
    assert full.shape[0] > build_card(make_face((0, 0, 1, 1), landmarks=False), 20).shape[0]
    assert full.shape[0] > 3 * build_pill("Happy", 20, color=class_color("Happy")).shape[0]
    assert full.shape[2] == 4


def test_bar_length_is_proportional_to_probability() -> None:
    """The longest run of the class color is proportional to the probability."""
    lengths = []
    for probability in (0.25, 0.5, 1.0):
        face = FacePrediction(
            "a.jpg",
            expression="Sad",
            confidence=probability,
            probabilities={"Sad": probability, "Happy": 1 - probability},
        )
        is_accent = (build_card(face, 24)[:, :, :3] == class_color("Sad")).all(axis=2)
        lengths.append(int(is_accent[40:].sum(axis=1).max()))
    assert lengths[1] / lengths[2] == pytest.approx(0.5, abs=0.06)
    assert lengths[0] / lengths[2] == pytest.approx(0.25, abs=0.06)


def test_names_in_any_script_look_different(make_face: MakeFace) -> None:
    """Two names of two characters are not drawn as the same placeholder boxes, in either label."""
    happy, sad = (build_pill(name, 20, color=class_color(name)) for name in ("高兴", "悲伤"))
    assert happy.shape != sad.shape or (happy != sad).any()
    face = make_face((0, 0, 100, 100))
    cards = [
        build_card(replace(face, probabilities={name: 0.5, "Sad": 0.1}), 20) for name in ("高兴", "悲伤")
    ]
    assert cards[0].shape != cards[1].shape or (cards[0] != cards[1]).any()
