"""The meaning of labels."""

import re
from collections.abc import Iterable

import pytest

from mien.datasets.labels import AFFECTNET_NUMBERS, map_folders, map_labels, order_classes, parse_label_names
from mien.errors import DatasetError


@pytest.mark.parametrize(
    ("counts", "classes"),
    [
        pytest.param(
            {"Happiness": 1, "ANGRY": 1}, {"Happiness": "Happy", "ANGRY": "Anger"}, id="other sets' words"
        ),
        pytest.param({"bored": 2, "5": 1}, {"bored": "bored"}, id="a number among names"),
        pytest.param({"-1": 2}, {}, id="a mark for none"),
        pytest.param({"sad": 2, "nan": 1, "NA": 1, "-": 1, "?": 1}, {"sad": "Sad"}, id="missing values"),
        pytest.param({"1,0": 1, "sad": 2}, {"sad": "Sad"}, id="a number with a decimal comma"),
        pytest.param({}, {}, id="no labels"),
    ],
)
def test_names_say_it_themselves(counts: dict[str, int], classes: dict[str, str]) -> None:
    """AffectNet's classes are known under other words too; any other word is a new class."""
    assert map_labels(counts, None, where="a.csv")[0] == classes


@pytest.mark.parametrize(
    ("counts", "advice"),
    [
        pytest.param(
            {"0": 9, "6": 4},
            "--label-names affectnet (0 Neutral, 6 Anger); --label-names fer2013 or",
            id="0, 6",
        ),
        pytest.param({"1": 3, "7.0": 1}, "rafdb (1 Surprise, 7 Neutral); ", id="numbers of a spreadsheet"),
        pytest.param(
            {"1,0": 3, "7,0": 1}, "rafdb (1 Surprise, 7 Neutral); ", id="numbers of a German spreadsheet"
        ),
        pytest.param({"1": 3, "7.0": 1}, "; or --label-names 1=NAME,7=NAME", id="others"),
        pytest.param({"0": 1, "11": 1}, "--label-names 0=NAME,11=NAME", id="numbers beyond AffectNet's"),
        pytest.param({"3": 5, "-1": 1, "?": 1}, "; or --label-names 3=NAME", id="a few that are none"),
        pytest.param({str(n): 1 for n in range(40)}, "10=NAME,11=NAME,...", id="many"),
    ],
)
def test_numbers_are_refused_until_somebody_says_what_they_are(counts: dict[str, int], advice: str) -> None:
    """Sets number their classes differently; the message contains the option to fill in."""
    with pytest.raises(DatasetError) as refused:
        map_labels(counts, None, where="`a.csv`")
    assert "The labels of `a.csv` are numbers" in str(refused.value)
    assert advice in str(refused.value)
    assert ("affectnet" in str(refused.value)) == all(
        float(label.replace(",", ".")) <= 10 for label in counts if label != "?"
    )
    assert "\n" not in str(refused.value)


def test_only_sets_that_have_the_numbers_are_offered() -> None:
    """Eight numbers from 0 are none of RAF-DB's, FER2013's or ExpW's; every option that is shown explains all of them."""
    counts = {str(number): 1 for number in range(8)}
    with pytest.raises(DatasetError) as refused:
        map_labels(counts, None, where="`a.csv`")
    offered = re.findall(r"--label-names (\w+)(?: or (\w+))? \(", str(refused.value))
    assert [name for names in offered for name in names if name] == [
        "affectnet",
        "ferplus",
        "ckplus",
        "affwild2",
    ]
    for name, _ in offered:
        assert len(map_labels(counts, parse_label_names(name), where="`a.csv`")[0]) == 8


def test_numbers_get_the_classes_that_explain_them() -> None:
    """However they are written; others have no class, which is noted."""
    names = parse_label_names("1=Surprise, 2=happiness,9=bored")
    classes, notes = map_labels({"1": 3, "2.0": 1, "02": 1, "9": 1, "5": 1, "-1": 1}, names, where="a.csv")
    assert classes == {"1": "Surprise", "2.0": "Happy", "02": "Happy", "9": "bored"}
    assert notes == (
        "New classes, which AffectNet does not have: 'bored'.",
        "Labels without a class: '-1', '5'.",
    )


def test_labels_in_another_case_are_explained_too() -> None:
    """Unless the names that explain them differ only in case."""
    names = parse_label_names("happy=smile?,SAD")
    assert map_folders(["Happy", "sad"], names, where="raw") == {"Happy": "smile?", "sad": "Sad"}
    both = parse_label_names("a=Happy,A=Sad")
    assert map_labels({"a": 1, "A": 1}, both, where="")[0] == {"a": "Happy", "A": "Sad"}


def test_affectnet_s_numbers_have_a_name() -> None:
    """Which stands for all eleven."""
    assert parse_label_names(" AffectNet ") == AFFECTNET_NUMBERS
    assert map_labels({"0": 1, "10": 1}, AFFECTNET_NUMBERS, where="")[0] == {"0": "Neutral", "10": "NonFace"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("fer2013", "0 Anger 1 Disgust 2 Fear 3 Happy 4 Sad 5 Surprise 6 Neutral"),
        ("FER+", "0 Neutral 1 Happy 2 Surprise 3 Sad 4 Anger 5 Disgust 6 Fear 7 Contempt"),
        ("RAF-DB", "1 Surprise 2 Fear 3 Disgust 4 Happy 5 Sad 6 Anger 7 Neutral"),
        ("expw", "0 Anger 1 Disgust 2 Fear 3 Happy 4 Sad 5 Surprise 6 Neutral"),
        ("CK+", "0 Neutral 1 Anger 2 Contempt 3 Disgust 4 Fear 5 Happy 6 Sad 7 Surprise"),
        ("Aff-Wild2", "0 Neutral 1 Anger 2 Disgust 3 Fear 4 Happy 5 Sad 6 Surprise 7 Other"),
    ],
)
def test_the_numbers_of_sets_in_use_have_names(written: str, expected: str) -> None:
    """As the sets' own documents give them; a plus sign may be written."""
    assert " ".join(f"{label} {name}" for label, name in parse_label_names(written)) == expected


@pytest.mark.parametrize("text", ["", "1=Happy,,2=Sad", "=Happy", "1=", "1=NAME", "1=Happy,1.0=Sad", "a,a"])
def test_label_names_that_are_none(text: str) -> None:
    """A label is missing, or has two classes."""
    with pytest.raises(ValueError, match=r"affwild2, got|twice"):
        parse_label_names(text)


def test_classes_come_in_affectnets_order() -> None:
    """AffectNet's classes come first in its order, then others alphabetically."""
    assert order_classes({"zen", "Anger", "Happy", "bored"}) == ("Happy", "Anger", "bored", "zen")


def test_names_that_resemble_a_class_come_with_the_option_that_maps_them() -> None:
    """A class of its own is reported, with what it may mean; a number in front of a name is reported too."""
    labels = {"1_angry": 2, "face happy": 3, "Suprize": 1}
    classes, (numbered, new) = map_labels(labels, None, where="a.csv")
    assert classes == {"1_angry": "Anger", "face happy": "face happy", "Suprize": "Suprize"}
    assert "'1_angry'" in numbered
    advice = new.partition("--label-names '")[2].rstrip("'.")
    assert map_labels(labels, parse_label_names(advice), where="a.csv")[0] == {
        "1_angry": "Anger", "face happy": "Happy", "Suprize": "Surprise",
    }  # fmt: skip


def test_spellings_of_a_new_class_are_one_class_if_their_note_is_followed() -> None:
    """The note on new classes has the option that makes one of them."""
    counts = {"Bored": 1, "bored": 1, "very-bored": 1, "Very_Bored": 1, "sad": 1}
    note = map_labels(counts, None, where="a.csv")[1][-1]
    advice = re.search(r"add --label-names (\S+)\.", note)
    assert advice is not None
    classes, _ = map_labels(counts, parse_label_names(advice[1]), where="a.csv")
    assert classes == {
        "Bored": "Bored", "bored": "Bored", "Very_Bored": "Very_Bored", "very-bored": "Very_Bored", "sad": "Sad",
    }  # fmt: skip


def test_python_s_none_is_told_to_be_a_class_of_affectnet() -> None:
    """It may be a missing label as well, which the other labels in --label-names leave out."""
    counts = {"happy": 1, "sad": 1, "None": 1}
    classes, notes = map_labels(counts, None, where="a.csv")
    assert classes["None"] == "NoneOfEight"
    assert notes[-1].endswith("If it means that the label is missing, add --label-names happy,sad.")
    assert "None" not in map_labels(counts, parse_label_names("happy,sad"), where="a.csv")[0]


@pytest.mark.parametrize(
    ("name", "numbers", "message"),
    [
        ("rafdb", range(7), "are the numbers 0 to 6, and those of rafdb are the numbers 1 to 7"),
        (
            "fer2013",
            range(1, 8),
            "are the numbers 1 to 7, and those of fer2013 and expw are the numbers 0 to 6",
        ),
        ("rafdb", (0, 1, 3), "are the numbers 0, 1, 3, and"),
    ],
)
def test_the_numbers_of_another_set_are_refused(name: str, numbers: Iterable[int], message: str) -> None:
    """A loader that counts from 0 shifts all classes: no face would have its own."""
    labels = [str(number) for number in numbers]
    for read in (
        lambda names: map_labels(dict.fromkeys(labels, 3), names, where="a.csv"),
        lambda names: map_folders(labels, names, where="faces/"),
    ):
        with pytest.raises(DatasetError, match=message):
            read(parse_label_names(name))
        stated = parse_label_names(",".join(f"{label}=c{label}" for label in labels))
        assert read(stated)


def test_a_part_of_a_sets_numbers_is_read() -> None:
    """Classes may be missing, and marks such as -1 are no class of another set."""
    names = parse_label_names("rafdb")
    assert map_labels({"1": 3, "3": 2, "-1": 1}, names, where="a.csv")[0] == {"1": "Surprise", "3": "Disgust"}


def test_several_classes_in_a_label_are_told() -> None:
    _, notes = map_labels({"Happy,Fear": 3, "Anger|Sad": 2, "bored": 2}, None, where="a.csv")
    assert notes[0].startswith("Names of several classes become classes: 'Anger|Sad', 'Happy,Fear'.")


COMPOSED, DECOMPOSED = "m\u00fcde", "mu\u0308de"


def test_accents_in_both_forms_are_one_class() -> None:
    """Names from macOS have them apart; labels are found in each form, and the class has one of them."""
    labels = {COMPOSED: 1, DECOMPOSED: 2, "happy": 1}
    assert set(map_labels(labels, None, where="a.csv")[0].values()) == {COMPOSED, "Happy"}
    assert set(map_folders(labels, None, where="raw").values()) == {COMPOSED, "Happy"}
    for written in (COMPOSED, DECOMPOSED):
        names = parse_label_names(f"{written.upper()}={written}")
        assert map_labels(labels, names, where="a.csv")[0] == {COMPOSED: COMPOSED, DECOMPOSED: COMPOSED}
