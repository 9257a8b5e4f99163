"""The class protocols: which apply, which faces count, and what counts as wrong."""

import numpy as np
import pytest

from mien.faces.classes import AFFECTNET_CLASSES, EXPRESSIONS_7, EXPRESSIONS_8
from mien.metrics.protocols import ClassProtocol, class_protocols


def _protocols(
    predictions, truths, *, classes=AFFECTNET_CLASSES, label_classes=AFFECTNET_CLASSES
) -> dict[str, ClassProtocol]:
    """Each prediction lists class names, the most probable first."""
    probabilities = np.zeros((len(predictions), len(classes)))
    for row, names in enumerate(predictions):
        for rank, name in enumerate(names):
            probabilities[row, classes.index(name)] = 1 / (rank + 1)
    labels = np.array([label_classes.index(name) for name in truths], dtype=np.int64)
    found = class_protocols(probabilities, labels, classes=classes, label_classes=label_classes)
    return {protocol.name: protocol for protocol in found}


def _n_correct(protocol: ClassProtocol) -> int:
    return int((protocol.truth == protocol.predicted).sum())


def test_affectnet_has_all_five() -> None:
    """Eleven classes on both sides allow every protocol."""
    assert list(_protocols([["Happy"]], ["Happy"])) == ["all", "8_open", "8_closed", "7_open", "7_closed"]


def test_a_sad_face_predicted_as_none_then_contempt_then_sad() -> None:
    """Wrong if None or Contempt may be predicted, correct among the seven."""
    found = _protocols([["NoneOfEight", "Contempt", "Sad"]], ["Sad"])
    assert {name: _n_correct(protocol) for name, protocol in found.items()} == {
        "all": 0, "8_open": 0, "8_closed": 0, "7_open": 0, "7_closed": 1,
    }  # fmt: skip


def test_a_fear_face_predicted_as_uncertain_then_fear() -> None:
    """Correct in both closed protocols."""
    found = _protocols([["Uncertain", "Fear"]], ["Fear"])
    assert {name for name, protocol in found.items() if _n_correct(protocol)} == {"8_closed", "7_closed"}


def test_only_the_groups_faces_count() -> None:
    """A NonFace counts only under `all`, a Contempt under the eight too."""
    found = _protocols([["NonFace"], ["Contempt"], ["Happy"]], ["NonFace", "Contempt", "Happy"])
    assert {name: (protocol.n, protocol.n_excluded) for name, protocol in found.items()} == {
        "all": (3, 0), "8_open": (2, 1), "8_closed": (2, 1), "7_open": (1, 2), "7_closed": (1, 2),
    }  # fmt: skip


def test_a_face_without_a_label_counts_nowhere() -> None:
    """Its -1 is not the last class."""
    probabilities = np.full((2, 8), 0.125)
    labels = np.array([-1, 7])
    found = class_protocols(probabilities, labels, classes=EXPRESSIONS_8, label_classes=EXPRESSIONS_8)
    assert [(protocol.name, protocol.n) for protocol in found] == [("all", 1), ("8_closed", 1)]
    assert found[0].truth.tolist() == [7]


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
        pytest.param(("Happy", "bored"), ("Happy", "bored"), ["all"], id="custom classes"),
    ],
)
def test_only_what_the_classes_allow(classes, label_classes, expected) -> None:
    """An open protocol that equals `all`, or one with missing classes, is omitted."""
    assert list(_protocols([["Happy"]], ["Happy"], classes=classes, label_classes=label_classes)) == expected


def test_classes_match_by_name_not_by_place() -> None:
    """Labels in another class order are matched by name."""
    found = _protocols(
        [["Sad"], ["Happy"]], ["Sad", "Happy"], classes=("Happy", "Sad"), label_classes=("Sad", "Happy")
    )
    assert _n_correct(found["all"]) == 2


def test_a_class_that_the_model_lacks_is_left_out_and_counted() -> None:
    """A class that the model does not know does not count."""
    found = _protocols(
        [["Happy"], ["Happy"]], ["Happy", "bored"], classes=("Happy", "Sad"), label_classes=("bored", "Happy")
    )
    assert (found["all"].n, found["all"].n_excluded) == (1, 1)


def test_every_protocol_says_what_it_is() -> None:
    """One sentence each, all different."""
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
    """One column per class of the model is required."""
    with pytest.raises(ValueError, match="must be"):
        class_protocols(np.zeros((1, 3)), np.zeros(1, dtype=int), classes=("a", "b"), label_classes=("a",))
