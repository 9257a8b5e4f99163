"""Plain-text tables."""

from mien.runtime.text_table import format_table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Two spaces between columns, none at the end of a line."""
    assert format_table([("name", "n", ""), ("a", "1,000", "x"), ("longer", "", "")]) == [
        "name    n",
        "a       1,000  x",
        "longer",
    ]
