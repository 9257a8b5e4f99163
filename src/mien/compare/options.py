"""The options of `mien compare`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.drawing.figures import FIGURE_SUFFIXES
from mien.runtime.options import FORCE_HELP, name_formats, option

# The functions that write the formats of --out, by suffix, as ``module:function``.
COMPARISON_FORMATS = {
    ".json": "mien.compare.writing:write_document",
    ".md": "mien.compare.writing:write_markdown",
    ".csv": "mien.compare.writing:write_rows",
    ".tex": "mien.compare.writing:write_latex",
}


@dataclass(frozen=True)
class CompareOptions:
    """How reports are compared."""

    protocol: str = option("all", "class protocol: all, 8_open, 8_closed, 7_open or 7_closed")
    out: Path | None = option(
        None, f"write the comparison to a {name_formats(COMPARISON_FORMATS)} file", metavar="FILE"
    )
    plot: Path | None = option(
        None, f"plot the metrics with their intervals, as {name_formats(FIGURE_SUFFIXES)}", metavar="FILE"
    )
    force: bool = option(False, FORCE_HELP)
