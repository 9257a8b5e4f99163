"""The files of a comparison: a document and a picture, each only where it is asked for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mien.artifacts import claim_output, disk_errors, one_writer, write_json


@contextmanager
def claim_outputs(out: Path | None, plot: Path | None, *, force: bool) -> Iterator[tuple[Path, ...]]:
    """Make sure that the files can be written, by nobody else meanwhile, and give those that will be.

    Raises:
        ArtifactError: one is in the way.
    """
    wanted = tuple(path for path in (out, plot) if path is not None)
    with ExitStack() as stack:
        for path in wanted:
            stack.enter_context(one_writer(path))
            claim_output(path, force=force)
        yield wanted


def write_outputs(
    document: dict[str, Any], out: Path | None, plot: Path | None, *, draw: Callable[[Path], None]
) -> None:
    """Write a document to `out` and let `draw` make `plot`, each where it is not None."""
    if out is not None:
        with disk_errors(out):
            write_json(out, document)
    if plot is not None:
        with disk_errors(plot):
            draw(plot)
