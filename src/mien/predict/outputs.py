"""The file of rows: claimed before any work, and given its name when it is whole."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from mien.artifacts import claim_output, disk_errors
from mien.errors import ArtifactError
from mien.predict.writers import CsvWriter, JsonLinesWriter, ParquetWriter, RowWriter

SUFFIXES = (".jsonl", ".csv", ".parquet")


def claim_rows(out: Path, *, force: bool) -> None:
    """Make sure that a file of rows may be written. One to be replaced stays until the new one is whole.

    Raises:
        ArtifactError: its name says no format that there is, or something is in the way.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ArtifactError(f"--out {out} must end in {' or '.join(SUFFIXES)}, which says what is written")
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
    """
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        announce(f"{partial} is of a run that was stopped; this run begins anew and replaces it")
    with disk_errors(out):
        if out.suffix.lower() == ".parquet":
            with closing(ParquetWriter(partial, classes)) as writer:
                yield writer
        else:
            # A file name that is no text is written in the notation that JSON reads back.
            with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                is_csv = out.suffix.lower() == ".csv"
                yield CsvWriter(file, classes) if is_csv else JsonLinesWriter(file)
        partial.replace(out)
