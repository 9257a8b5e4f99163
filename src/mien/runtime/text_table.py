"""Plain-text tables."""

from collections.abc import Sequence


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with left-aligned columns. Every row has the same number of cells.

    Example:
        >>> format_table([("name", "n"), ("a", "10")])
        ['name  n', 'a     10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
