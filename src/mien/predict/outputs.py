"""The file of rows: claimed before any work, and given its name when it is whole."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

from mien.artifacts import claim_output, disk_errors, one_writer, publish
from mien.errors import ArtifactError
from mien.predict.writers import CsvWriter, JsonLinesWriter, ParquetWriter, RowWriter, holds_parquet_rows


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    # A file name that is no text is written in the notation that JSON reads back. Line by line, so that a kill leaves
    # whole ones.
    with path.open("x", buffering=1, encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file


@contextmanager
def _open_json_lines(path: Path, _classes: Sequence[str]) -> Iterator[RowWriter]:
    with _open_text(path) as file:
        yield JsonLinesWriter(file)


@contextmanager
def _open_csv(path: Path, classes: Sequence[str]) -> Iterator[RowWriter]:
    with _open_text(path) as file:
        yield CsvWriter(file, classes)


@contextmanager
def _open_parquet(path: Path, classes: Sequence[str]) -> Iterator[RowWriter]:
    with path.open("xb") as file, closing(ParquetWriter(file, classes)) as writer:
        yield writer


_WRITERS: dict[str, Callable[[Path, Sequence[str]], AbstractContextManager[RowWriter]]] = {
    ".jsonl": _open_json_lines,
    ".csv": _open_csv,
    ".parquet": _open_parquet,
}
SUFFIXES = tuple(_WRITERS)


@contextmanager
def claim_rows(out: Path, *, force: bool) -> Iterator[None]:
    """Make sure that a file of rows may be written, by nobody else meanwhile. One to be replaced stays until then.

    Raises:
        ArtifactError: its name says no format that there is, something is in the way, or a run that was stopped left
            rows and ``force`` is not set.
    """
    _writer_of(out)
    if out.is_dir() and force:
        raise ArtifactError(f"--out {out} is a folder, and the predictions need a file. Choose another path")
    with one_writer(out):
        claim_output(out, force=force)
        partial = _partial(out)
        if _holds_rows(partial) and not force:
            raise ArtifactError(
                f"{partial} holds the rows of a run that was stopped. Give it another name to keep them, or add --force to "
                "begin anew without them"
            )
        yield


@contextmanager
def open_rows(
    out: Path, classes: Sequence[str], *, force: bool, announce: Callable[[str], None]
) -> Iterator[RowWriter]:
    """Give a writer of rows. The file takes its name when all is written; until then, and after a stop, it is a partial.

    Whatever ends the process, the rows that were written are in it, each whole; of Parquet after a kill none.

    Args:
        out: whose name says the format; claimed by `claim_rows`.
        classes: that are answered.
        force: replace a file that is there by then.
        announce: is told that the partial file of an earlier run is replaced.

    Raises:
        ArtifactError: the name says no format that there is.
    """
    open_writer = _writer_of(out)
    partial = _partial(out)
    with disk_errors(out):
        if os.path.lexists(partial):
            announce(f"{partial} is of a run that was stopped; this run begins anew and replaces it")
        partial.unlink(missing_ok=True)
        try:
            with open_writer(partial, classes) as writer:
                yield writer
        except BaseException:
            if not _holds_rows(partial):
                partial.unlink(missing_ok=True)
            raise
        publish(partial, out, replace=force)


def _partial(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _holds_rows(partial: Path) -> bool:
    """Whether a stopped run left a row that can be read, or something else is there that only a person may remove."""
    if not os.path.lexists(partial):
        return False
    if partial.is_symlink() or not partial.is_file():
        return True
    kind = partial.with_suffix("").suffix.lower()
    if kind == ".parquet":
        return holds_parquet_rows(partial)
    with partial.open("rb") as file:
        return len(list(islice(file, 2))) > (kind == ".csv")


def _writer_of(out: Path) -> Callable[[Path, Sequence[str]], AbstractContextManager[RowWriter]]:
    writer = _WRITERS.get(out.suffix.lower())
    if writer is None:
        raise ArtifactError(f"--out {out} must end in {' or '.join(SUFFIXES)}, which says what is written")
    return writer
