"""Splits."""

import pytest

from mien.datasets.splits import (
    assign_split,
    choose_val_persons,
    find_split,
    is_split_column,
    parse_split,
    require_val_fraction,
)


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
        *(
            ("Prueba", "test"),
            ("validacio\u0301n", "val"),
            ("测试集", "test"),
            ("学習データ", "train"),
            ("eval", None),
        ),
    ],
)
def test_words_for_splits(word: str, split: str | None) -> None:
    """Usual words for a split are known."""
    assert parse_split(word) == split


@pytest.mark.parametrize(
    ("text", "split"),
    [
        *(("train/happy/1.jpg", "train"), (r"faces\Test\1.jpg", "test"), ("test_0001.jpg", "test")),
        *(("happy/testimony.jpg", None), ("happy/1_test.jpg", None), ("happy/test.jpg", None)),
        *(
            ("train_val", None),
            ("train-holdout", None),
            ("train_eval_1", None),
            ("test_dev", None),
            ("train_1", "train"),
        ),
    ],
)
def test_words_for_splits_in_paths(text: str, split: str | None) -> None:
    """A folder, or the prefix of a file name before a dash; not part of a word."""
    assert find_split(text) == split


@pytest.mark.parametrize(
    ("column", "is_one"),
    [
        *(("phase", True), ("Usage", True), ("dataset_split", True), ("isTest", True), ("fold", True)),
        *(("is_valid", True), ("isVal", True), ("valid", False), ("val", False), ("eval_set", True)),
        *(("subject", False), ("valence", False), ("setting", False), ("attest", False), ("", False)),
    ],
)
def test_names_of_columns_of_splits(column: str, is_one: bool) -> None:
    """Only complete words of a name count."""
    assert is_split_column(column) == is_one


def test_assigned_fraction_is_close_to_the_requested_one() -> None:
    """Of many keys about the fraction goes to val (10,000 keys, five standard deviations)."""
    drawn = [assign_split(f"happy/{number}.jpg", 0.1) for number in range(10_000)]
    assert abs(drawn.count("val") - 1000) < 150


def test_a_larger_fraction_keeps_what_val_had() -> None:
    """A key that is in val stays there when the fraction grows."""
    keys = [f"{number}" for number in range(500)]
    assert all(assign_split(key, 0.3) == "val" for key in keys if assign_split(key, 0.1) == "val")


def test_no_fraction_is_no_val() -> None:
    """A fraction of 0 leaves all in train."""
    assert {assign_split(str(number), 0.0) for number in range(100)} == {"train"}


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    """A fraction outside its range is the caller's mistake."""
    with pytest.raises(ValueError, match="val_fraction"):
        require_val_fraction(fraction)


def test_val_has_whole_persons_of_about_its_fraction() -> None:
    """Persons who share a clip stay together, and the order of the entries does not matter."""
    counts = {(f"p{person}", f"c{person // 2}"): 3 for person in range(40)}
    chosen = choose_val_persons(counts, 0.2)
    assert sum(counts[names] for names in chosen) == 24
    assert not {clip for _, clip in chosen} & {clip for _, clip in counts.keys() - chosen}
    assert choose_val_persons(dict(reversed(counts.items())), 0.2) == chosen


@pytest.mark.parametrize(
    ("sizes", "fraction", "n_chosen"),
    [
        ((100, 100), 0.1, 1),  # at least one
        ((100, 100), 0.9, 1),  # not all
        ((100,), 0.5, 0),  # nobody can be on both sides
        ((100, 100, 100), 0, 0),
        ((), 0.5, 0),
    ],
)
def test_few_persons(sizes: tuple[int, ...], fraction: float, n_chosen: int) -> None:
    """One person or more on either side, if there are several."""
    counts = {(f"p{number}", ""): size for number, size in enumerate(sizes)}
    assert len(choose_val_persons(counts, fraction)) == n_chosen


def test_other_persons_keep_their_side() -> None:
    """A further person moves few others."""
    counts = {(f"p{number}", ""): 10 for number in range(100)}
    before, after = choose_val_persons(counts, 0.1), choose_val_persons({**counts, ("new", ""): 10}, 0.1)
    assert len(before ^ after) <= 2
