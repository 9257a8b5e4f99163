"""The file of rows: which formats there are."""

import json
from pathlib import Path

import pytest

from mien.errors import ArtifactError
from mien.predict.outputs import SUFFIXES, claim_rows, open_rows
from mien.reading.readings import FaceReading

ROW = FaceReading("a.jpg", status="no_face")


@pytest.mark.parametrize("name", ["rows.json", "rows", "rows.jsonl.gz", "rows.tsv"])
def test_an_ending_of_no_format_is_refused(tmp_path: Path, name: str) -> None:
    """By both doors, with the formats that there are; nothing is written in a format that nobody asked for."""
    with pytest.raises(ArtifactError, match=r"must end in \.jsonl or \.csv or \.parquet"):
        claim_rows(tmp_path / name, force=False)
    with (
        pytest.raises(ArtifactError, match=r"must end in \.jsonl or \.csv or \.parquet"),
        open_rows(tmp_path / name, ("Happy",), announce=print) as writer,
    ):
        writer.write(ROW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_written_under_its_ending(tmp_path: Path, suffix: str) -> None:
    """In capitals as well."""
    out = tmp_path / f"rows{suffix.upper()}"
    claim_rows(out, force=False)
    with open_rows(out, ("Happy",), announce=print) as writer:
        writer.write(ROW)
    begins = {".jsonl": b'{"source"', ".csv": b"source,", ".parquet": b"PAR1"}[suffix]
    assert out.read_bytes().startswith(begins)
    if suffix == ".jsonl":
        assert json.loads(out.read_text())["status"] == "no_face"
