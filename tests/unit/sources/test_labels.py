"""What labels stand for."""

import pytest

from mien.sources.labels import name_labels, order_label_classes


@pytest.mark.parametrize(
    ("counts", "classes"),
    [
        pytest.param({"0": 1, "10": 1}, {"0": "Neutral", "10": "NonFace"}, id="AffectNet's numbers"),
        pytest.param({"1": 3, "1.0": 1}, {"1": "Happy", "1.0": "Happy"}, id="numbers of a spreadsheet"),
        pytest.param({"0": 1, "11": 1}, {"0": "0", "11": "11"}, id="numbers beyond AffectNet's"),
        pytest.param({"3": 5, "-1": 1, "?": 1}, {"3": "Surprise"}, id="a few labels that are none"),
        pytest.param(
            {"Happiness": 1, "ANGRY": 1}, {"Happiness": "Happy", "ANGRY": "Anger"}, id="other sets' words"
        ),
        pytest.param({"bored": 2, "5": 1}, {"bored": "bored"}, id="a number among names"),
        pytest.param({}, {}, id="no labels"),
    ],
)
def test_labels_are_named_by_what_most_are(counts: dict[str, int], classes: dict[str, str]) -> None:
    """Numbers and names are told apart by the whole list."""
    assert name_labels(counts)[0] == classes


def test_notes_say_what_was_taken_for_what() -> None:
    """Numbering and labels left out are told, since either may be a mistake."""
    _, notes = name_labels({"0": 3, "6": 1, "banana": 1})
    assert "0 Neutral, 6 Anger" in notes[0]
    assert "'banana'" in notes[1]


def test_classes_come_in_affectnets_order() -> None:
    """AffectNet's classes come first in its order, then others by alphabet."""
    assert order_label_classes({"zen", "Anger", "Happy", "bored"}) == ("Happy", "Anger", "bored", "zen")
