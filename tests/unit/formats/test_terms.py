"""The order of terms of use."""

import pytest

from mien.formats.terms import UNKNOWN, list_terms, parse_terms


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


def test_stated_terms_are_a_line() -> None:
    """They are shown in lists; nothing is cut off in silence."""
    assert parse_terms("  CC BY 4.0,\n https://a.b ") == "CC BY 4.0, https://a.b"
    for text in (" \n", "x" * 501):
        with pytest.raises(ValueError, match="must be a line of 1 to 500 characters"):
            parse_terms(text)
