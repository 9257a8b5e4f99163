"""The class protocols: which there are, which faces count, and what counts as wrong."""

import numpy as np
import pytest

from mien.faces.classes import AFFECTNET_CLASSES, EXPRESSIONS_7, EXPRESSIONS_8
from mien.metrics.protocols import ClassProtocol, class_protocols


def _protocols(
    answers, truths, *, classes=AFFECTNET_CLASSES, label_classes=AFFECTNET_CLASSES
) -> dict[str, ClassProtocol]:
    """Each answer lists class names from the likeliest on."""
    probabilities = np.zeros((len(answers), len(classes)))
    for row, names in enumerate(answers):
        for rank, name in enumerate(names):
            probabilities[row, classes.index(name)] = 1 / (rank + 1)
    labels = np.array([label_classes.index(name) for name in truths], dtype=np.int64)
    found = class_protocols(probabilities, labels, classes=classes, label_classes=label_classes)
    return {protocol.name: protocol for protocol in found}


def _n_right(protocol: ClassProtocol) -> int:
    return int((protocol.truth == protocol.predicted).sum())


def test_affectnet_has_all_five() -> None:
    """Eleven classes on both sides allow every way of counting."""
    assert list(_protocols([["Happy"]], ["Happy"])) == ["all", "8_open", "8_closed", "7_open", "7_closed"]


def test_a_sad_face_called_none_then_contempt_then_sad() -> None:
    """Wrong where None or Contempt may be answered, right among the seven."""
    found = _protocols([["NoneOfEight", "Contempt", "Sad"]], ["Sad"])
    assert {name: _n_right(protocol) for name, protocol in found.items()} == {
        "all": 0, "8_open": 0, "8_closed": 0, "7_open": 0, "7_closed": 1,
    }  # fmt: skip


def test_a_fear_face_called_uncertain_then_fear() -> None:
    """Right in both closed protocols."""
    found = _protocols([["Uncertain", "Fear"]], ["Fear"])
    assert {name for name, protocol in found.items() if _n_right(protocol)} == {"8_closed", "7_closed"}


def test_only_the_groups_faces_count() -> None:
    """A NonFace counts under `all` alone, a Contempt under the eight too."""
    found = _protocols([["NonFace"], ["Contempt"], ["Happy"]], ["NonFace", "Contempt", "Happy"])
    assert {name: (protocol.n, protocol.n_left_out) for name, protocol in found.items()} == {
        "all": (3, 0), "8_open": (2, 1), "8_closed": (2, 1), "7_open": (1, 2), "7_closed": (1, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "label_classes", "expected"),
    [
        pytest.param(EXPRESSIONS_8, EXPRESSIONS_8, ["all", "8_closed", "7_open", "7_closed"], id="8 and 8"),
        pytest.param(EXPRESSIONS_7, EXPRESSIONS_7, ["all", "7_closed"], id="7 and 7"),
        pytest.param(
            EXPRESSIONS_8, AFFECTNET_CLASSES, ["all", "8_closed", "7_open", "7_closed"], id="8 on 11"
        ),
        pytest.param(
            AFFECTNET_CLASSES, EXPRESSIONS_8, ["all", "8_closed", "7_open", "7_closed"], id="11 on 8"
        ),
        pytest.param(AFFECTNET_CLASSES, EXPRESSIONS_7, ["all", "7_closed"], id="11 on 7"),
        pytest.param(("Happy", "bored"), ("Happy", "bored"), ["all"], id="classes of one's own"),
    ],
)
def test_only_what_the_classes_allow(classes, label_classes, expected) -> None:
    """An open protocol that is the same as `all`, or a group that is not whole, is left out."""
    assert list(_protocols([["Happy"]], ["Happy"], classes=classes, label_classes=label_classes)) == expected


def test_classes_match_by_name_not_by_place() -> None:
    """Labels that count in another order are read by name."""
    found = _protocols(
        [["Sad"], ["Happy"]], ["Sad", "Happy"], classes=("Happy", "Sad"), label_classes=("Sad", "Happy")
    )
    assert _n_right(found["all"]) == 2


def test_a_class_that_the_model_lacks_is_left_out_and_counted() -> None:
    """No model is right or wrong about a class that it was never told of."""
    found = _protocols(
        [["Happy"], ["Happy"]], ["Happy", "bored"], classes=("Happy", "Sad"), label_classes=("bored", "Happy")
    )
    assert (found["all"].n, found["all"].n_left_out) == (1, 1)


def test_every_protocol_says_what_it_is() -> None:
    """A sentence each, and no two alike."""
    texts = [protocol.description for protocol in _protocols([["Happy"]], ["Happy"]).values()]
    assert len(set(texts)) == 5
    assert all(text.endswith(".") for text in texts)


def test_no_face_at_all() -> None:
    """Only `all` remains, with n = 0."""
    found = class_protocols(
        np.zeros((0, 8)), np.zeros(0, dtype=np.int64), classes=EXPRESSIONS_8, label_classes=EXPRESSIONS_8
    )
    assert [(protocol.name, protocol.n) for protocol in found] == [("all", 0)]


def test_other_shapes_are_refused() -> None:
    """A column for each of the model's classes is needed."""
    with pytest.raises(ValueError, match="must be"):
        class_protocols(np.zeros((1, 3)), np.zeros(1, dtype=int), classes=("a", "b"), label_classes=("a",))
