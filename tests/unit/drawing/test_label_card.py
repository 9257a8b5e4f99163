"""Labels of faces."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mien.drawing.label_card import build_card, build_pill, class_color
from mien.inference.results import FacePrediction, action_unit_label, affect_label

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


def test_action_units_have_a_line(make_face: MakeFace) -> None:
    """The card of a model with action units is higher by a line; units that are absent are not named."""
    face = make_face((0, 0, 1, 1))
    plain = build_card(face, 20).shape[0]
    present = replace(face, action_units={"AU06": 0.81, "AU12": 0.93, "AU04": 0.2})
    assert action_unit_label(present) == ["AU12 0.93", "AU06 0.81"]
    assert build_card(present, 20).shape[0] == plain + round(20 * 1.08)
    assert build_card(replace(face, action_units={"AU04": 0.2}), 20).shape[0] == plain


def test_only_the_strongest_units_are_named() -> None:
    """Intensities from 0 to 5; what is not known is not shown."""
    units = {"AU01": 4.0, "AU02": 0.4, "AU04": 1.25, "AU06": 2.0, "AU12": 3.5, "AU25": float("nan")}
    face = FacePrediction("a", action_units=units)
    assert action_unit_label(face) == ["AU01 4", "AU12 3.5", "AU06 2"]
    assert affect_label(FacePrediction("a", valence=0.5, arousal=-0.25)) == ["valence +0.50", "arousal -0.25"]
    assert affect_label(FacePrediction("a", valence=float("nan"), arousal=0.0)) == []
