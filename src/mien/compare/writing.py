"""The output files of a comparison: a document and a plot, each optional."""

import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mien.artifacts import claim_output, disk_errors, one_writer, require_suffix, write_json, write_text
from mien.compare.options import COMPARISON_FORMATS

PLOT_SUFFIXES = (".png",)


@contextmanager
def claim_outputs(out: Path | None, plot: Path | None, *, force: bool) -> Iterator[tuple[Path, ...]]:
    """Lock the output files and yield those that will be written.

    Raises:
        ArtifactError: one already exists, or its suffix selects no format.
    """
    if out is not None:
        require_suffix(out, COMPARISON_FORMATS, option="--out")
    if plot is not None:
        require_suffix(plot, PLOT_SUFFIXES, option="--plot")
    paths = tuple(path for path in (out, plot) if path is not None)
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(one_writer(path))
            claim_output(path, force=force)
        yield paths


def write_outputs(
    document: dict[str, Any],
    table: Sequence[Sequence[str]],
    out: Path | None,
    plot: Path | None,
    *,
    draw: Callable[[Path], None],
) -> None:
    """Write a document, or the table that the command prints, to `out` and draw `plot`, unless they are None."""
    if out is not None:
        with disk_errors(out):
            pkgutil.resolve_name(COMPARISON_FORMATS[out.suffix.lower()])(out, document, table)
    if plot is not None:
        with disk_errors(plot):
            draw(plot)


def write_document(out: Path, document: dict[str, Any], _table: Sequence[Sequence[str]]) -> None:
    """Write everything as JSON."""
    write_json(out, document)


def write_markdown(out: Path, document: dict[str, Any], table: Sequence[Sequence[str]]) -> None:
    """Write the table as Markdown, below what was compared."""
    header, *rows = [[cell.strip().replace("|", "\\|") for cell in row] for row in table]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    protocol = f", protocol {document['protocol']}" if document["protocol"] else ""
    subject = f"{document['n']:,} faces{protocol}; intervals are 95 %."
    write_text(out, "\n".join([subject, "", *lines, ""]))
