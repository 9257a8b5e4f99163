"""The file of rows: claimed before any work, and given its name when it is whole."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TextIO

from mien.artifacts import claim_output, disk_errors
from mien.errors import ArtifactError
from mien.predict.writers import CsvWriter, JsonLinesWriter, ParquetWriter, RowWriter


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    # A file name that is no text is written in the notation that JSON reads back.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
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
    with closing(ParquetWriter(path, classes)) as writer:
        yield writer


_WRITERS: dict[str, Callable[[Path, Sequence[str]], AbstractContextManager[RowWriter]]] = {
    ".jsonl": _open_json_lines,
    ".csv": _open_csv,
    ".parquet": _open_parquet,
}
SUFFIXES = tuple(_WRITERS)


def claim_rows(out: Path, *, force: bool) -> None:
    """Make sure that a file of rows may be written. One to be replaced stays until the new one is whole.

    Raises:
        ArtifactError: its name says no format that there is, or something is in the way.
    """
    _writer_of(out)
    if not force:
        claim_output(out, force=False)
    elif out.is_dir():
        raise ArtifactError(f"--out {out} is a folder, and the predictions need a file. Choose another path")
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def open_rows(out: Path, classes: Sequence[str], *, announce: Callable[[str], None]) -> Iterator[RowWriter]:
    """Give a writer of rows. The file takes its name when all is written; until then, and after a stop, it is a partial.

    Args:
        out: whose name says the format.
        classes: that are answered.
        announce: is told that the partial file of an earlier run is replaced.

    Raises:
        ArtifactError: the name says no format that there is.
    """
    open_writer = _writer_of(out)
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        announce(f"{partial} is of a run that was stopped; this run begins anew and replaces it")
    with disk_errors(out):
        with open_writer(partial, classes) as writer:
            yield writer
        partial.replace(out)


def _writer_of(out: Path) -> Callable[[Path, Sequence[str]], AbstractContextManager[RowWriter]]:
    writer = _WRITERS.get(out.suffix.lower())
    if writer is None:
        raise ArtifactError(f"--out {out} must end in {' or '.join(SUFFIXES)}, which says what is written")
    return writer
