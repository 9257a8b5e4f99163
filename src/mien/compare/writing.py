"""The output files of a comparison: a document and a plot, each optional."""

import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mien.artifacts import claim_output, disk_errors, one_writer, require_suffix, write_json, write_text
from mien.compare.grouped_summary import GroupedSummary
from mien.compare.options import COMPARISON_FORMATS
from mien.compare.summary import ComparisonSummary
from mien.drawing.figures import FIGURE_SUFFIXES
from mien.drawing.fonts import warn_of_missing_characters
from mien.errors import ArtifactError
from mien.formats.csv_file import write_csv
from mien.runtime.nested import flatten
from mien.runtime.text_table import format_latex_table, format_markdown_table


@contextmanager
def claim_outputs(
    out: Path | None, plot: Path | None, *, reports: Sequence[Path], force: bool
) -> Iterator[tuple[Path, ...]]:
    """Lock the output files and yield those that will be written.

    Raises:
        ArtifactError: one already exists, lies in one of the reports, or its suffix selects no format.
    """
    if out is not None:
        require_suffix(out, COMPARISON_FORMATS, option="--out")
    if plot is not None:
        require_suffix(plot, FIGURE_SUFFIXES, option="--plot")
    paths = tuple(path for path in (out, plot) if path is not None)
    for path in paths:
        if report := next((one for one in reports if path.resolve().is_relative_to(one.resolve())), None):
            raise ArtifactError(
                f"{path} lies inside the report {report}, which is compared. Choose another path"
            )
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(one_writer(path))
            claim_output(path, force=force)
        yield paths


def write_comparison(summary: ComparisonSummary | GroupedSummary, paths: Sequence[Path]) -> None:
    """Write a comparison to each file in the format that its suffix selects: the table, all numbers, or a plot.

    Raises:
        ArtifactError: a file cannot be written.
    """
    for path in paths:
        with disk_errors(path):
            if path.suffix.lower() in FIGURE_SUFFIXES:
                from mien.compare.plot import draw  # noqa: PLC0415 - matplotlib loads slowly

                warn_of_missing_characters(summary.names)
                draw(path, summary)
            else:
                write = pkgutil.resolve_name(COMPARISON_FORMATS[path.suffix.lower()])
                write(path, summary.document(), [*summary.table()])


def write_document(out: Path, document: dict[str, Any], _table: Sequence[Sequence[str]]) -> None:
    """Write everything as JSON."""
    write_json(out, document)


def write_rows(out: Path, document: dict[str, Any], _table: Sequence[Sequence[str]]) -> None:
    """Write the numbers as CSV: a row for each model or group, fractions from 0 to 1, a column for each end of an interval."""
    rows = []
    for entry in document.get("models") or document["groups"]:
        row = {"protocol": document["protocol"], "n": document["n"]}
        for key, value in flatten(entry).items():
            if key.startswith("intervals.") or key.endswith("ci95"):
                row |= dict(zip((f"{key}.low", f"{key}.high"), value or (None, None), strict=True))
            else:
                row[key] = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        rows.append(row)
    write_csv(out, rows)


def write_markdown(out: Path, document: dict[str, Any], table: Sequence[Sequence[str]]) -> None:
    """Write the table as Markdown, below what was compared."""
    write_text(out, f"{describe(document)}\n\n{format_markdown_table(table)}\n")


def write_latex(out: Path, document: dict[str, Any], table: Sequence[Sequence[str]]) -> None:
    """Write the table as LaTeX with booktabs; the caption says what was compared."""
    write_text(out, f"{format_latex_table(table, caption=describe(document))}\n")


def describe(document: dict[str, Any]) -> str:
    """Return a sentence on the faces and the intervals."""
    protocol = f", protocol {document['protocol']}" if document["protocol"] else ""
    return f"{document['n']:,} faces{protocol}; intervals are 95%."
