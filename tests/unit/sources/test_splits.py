"""Splits."""

import pytest

from mien.sources.splits import drawn_split, names_a_split, require_val_fraction, split_in, split_named


@pytest.mark.parametrize(
    ("word", "split"),
    [
        *(("train", "train"), (" Training", "train"), ("VALID", "val"), ("Test", "test"), ("", None)),
        *(
            ("train_set", "train"),
            ("TestSet", "test"),
            ("val images", "val"),
            ("images", None),
            ("set", None),
        ),
        *(("PublicTest", "val"), ("PrivateTest", "test"), ("dev", "val"), ("trained", None)),
    ],
)
def test_words_for_splits(word: str, split: str | None) -> None:
    """Usual words for a split are known."""
    assert split_named(word) == split


@pytest.mark.parametrize(
    ("text", "split"),
    [
        *(("train/happy/1.jpg", "train"), (r"faces\Test\1.jpg", "test"), ("test_0001.jpg", "test")),
        *(("happy/testimony.jpg", None), ("happy/1_test.jpg", None), ("happy/test.jpg", None)),
    ],
)
def test_words_for_splits_in_paths(text: str, split: str | None) -> None:
    """A folder, or the first word of a name before a line; no part of a word."""
    assert split_in(text) == split


@pytest.mark.parametrize(
    ("column", "is_one"),
    [
        *(("phase", True), ("Usage", True), ("dataset_split", True), ("isTest", True), ("fold", True)),
        *(("subject", False), ("valence", False), ("setting", False), ("attest", False), ("", False)),
    ],
)
def test_names_of_columns_of_splits(column: str, is_one: bool) -> None:
    """Whole words of a name count."""
    assert names_a_split(column) == is_one


def test_drawn_share_is_close_to_the_fraction() -> None:
    """Of many keys about the fraction goes to val (10,000 keys, five standard deviations)."""
    drawn = [drawn_split(f"happy/{number}.jpg", 0.1) for number in range(10_000)]
    assert abs(drawn.count("val") - 1000) < 150


def test_a_larger_fraction_keeps_what_val_had() -> None:
    """A key that is in val stays there when the fraction grows."""
    keys = [f"{number}" for number in range(500)]
    assert all(drawn_split(key, 0.3) == "val" for key in keys if drawn_split(key, 0.1) == "val")


def test_no_fraction_is_no_val() -> None:
    """A fraction of 0 leaves all in train."""
    assert {drawn_split(str(number), 0.0) for number in range(100)} == {"train"}


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    """A fraction that is no share is a mistake of the caller."""
    with pytest.raises(ValueError, match="val_fraction"):
        require_val_fraction(fraction)
