"""Writing matplotlib figures: pixels for the screen, SVG for the web, PDF for papers."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


def save_figure(figure: "Figure", out: Path) -> None:
    """Write a figure in the format that the suffix selects, one of `FIGURE_SUFFIXES`.

    The same figure gives the same bytes: no date is written. Text in a PDF is embedded as TrueType, because many
    conferences refuse matplotlib's default, Type 3.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - slow to load, and part of the `data` extra

    from mien.artifacts import write_atomically  # noqa: PLC0415 - the command line needs the suffixes alone

    kind = out.suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context({"pdf.fonttype": 42, "svg.hashsalt": out.name}):
        write_atomically(out, lambda partial: figure.savefig(partial, format=kind, metadata=undated))
