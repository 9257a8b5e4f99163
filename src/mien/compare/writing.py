"""The output files of a comparison: a JSON document and a plot, each optional."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mien.artifacts import claim_output, disk_errors, one_writer, write_json


@contextmanager
def claim_outputs(out: Path | None, plot: Path | None, *, force: bool) -> Iterator[tuple[Path, ...]]:
    """Lock the output files and yield those that will be written.

    Raises:
        ArtifactError: one already exists.
    """
    paths = tuple(path for path in (out, plot) if path is not None)
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(one_writer(path))
            claim_output(path, force=force)
        yield paths


def write_outputs(
    document: dict[str, Any], out: Path | None, plot: Path | None, *, draw: Callable[[Path], None]
) -> None:
    """Write a document to `out` and draw `plot`, unless they are None."""
    if out is not None:
        with disk_errors(out):
            write_json(out, document)
    if plot is not None:
        with disk_errors(plot):
            draw(plot)
