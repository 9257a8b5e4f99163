"""The order of terms of use."""

from mien.formats.terms import UNKNOWN, list_terms


def test_the_strictest_comes_first() -> None:
    """Limits on use, then what nobody knows, then licenses that allow more."""
    terms = {
        "fairface": "CC BY 4.0 (the authors' repository)",
        "csv": UNKNOWN,
        "kdef": "non-commercial use by researchers only",
        "mmafedb": "none found",
        "other": "CC BY-NC 4.0",
    }
    lines = list_terms(terms)
    assert {lines[0], lines[1]} == {"non-commercial use by researchers only [kdef]", "CC BY-NC 4.0 [other]"}
    assert {lines[2], lines[3]} == {"unknown [csv]", "none found [mmafedb]"}
    assert lines[4].startswith("CC BY 4.0")


def test_lines_stay_lines() -> None:
    """A model file may come from anyone."""
    assert list_terms({"a\nb": "one\ntwo", "c": 3}) == ("one two [a b]", "3 [c]")
    assert list_terms({}) == ()
