"""CSV files."""

import gzip
from pathlib import Path

import pytest

from mien.datasets.csv_files import PROBLEM, CsvFile, open_csv_file, read_first_row
from mien.errors import DatasetError

SPELLINGS = {"path": ("path", "image"), "label": ("label",), "note": ("note",)}


def open_text(tmp_path: Path, content: str | bytes, name: str = "list.csv") -> CsvFile:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_csv_file(path, SPELLINGS, required=("path", "label"))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("path,label\na.jpg,1\nb.jpg,2\n", id="plain"),
        pytest.param("path,label\na.jpg,1\nb.jpg,2", id="no last line end"),
        pytest.param("path,label\r\na.jpg,1\r\nb.jpg,2\r\n", id="CRLF"),
        pytest.param("path,label\ra.jpg,1\rb.jpg,2\r", id="CR"),
        pytest.param("\ufeffpath,label\na.jpg,1\nb.jpg,2\n", id="BOM"),
        pytest.param("label,path\n1,a.jpg\n2,b.jpg\n", id="other order"),
        pytest.param('"path", "label"\n"a.jpg", "1"\n"b.jpg", "2"\n', id="blanks before quotes"),
        pytest.param(" Path , LABEL\na.jpg,1\nb.jpg,2\n", id="capitals and blanks in names"),
        pytest.param("image,label,else\na.jpg,1,\nb.jpg,2,x\n", id="other spelling, one more column"),
        pytest.param("\npath,label\n\na.jpg,1\n  \nb.jpg,2\n\n", id="blank lines"),
        pytest.param("path,label\na.jpg,1,,\nb.jpg,2,\n", id="commas at the end"),
        pytest.param('"path","label"\n"a.jpg","1"\n"b.jpg","2"\n', id="quoted"),
    ],
)
def test_rows_are_read_whatever_the_dress(tmp_path: Path, content: str) -> None:
    """Line endings, a BOM, quoting, and order and case of columns make no difference."""
    assert list(open_text(tmp_path, content).rows()) == [
        (1, {"path": "a.jpg", "label": "1"}),
        (2, {"path": "b.jpg", "label": "2"}),
    ]


def test_names_keep_unicode_spaces_and_commas(tmp_path: Path) -> None:
    """A cell is returned as written."""
    listed = open_text(tmp_path, 'path,label\n"面, 部 ü.jpg",1\n')
    assert list(listed.rows()) == [(1, {"path": "面, 部 ü.jpg", "label": "1"})]


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    """A list whose name ends in .gz is read as if it were decompressed."""
    listed = open_text(tmp_path, gzip.compress(b"path,label\na.jpg,1\n"), "list.csv.gz")
    assert list(listed.rows()) == [(1, {"path": "a.jpg", "label": "1"})]


@pytest.mark.parametrize("row", ["a.jpg", "a.jpg,1,2"])
def test_row_of_another_width_is_marked(tmp_path: Path, row: str) -> None:
    """A row with too few or too many columns is a problem of that row only."""
    rows = dict(open_text(tmp_path, f"path,label\n{row}\nb.jpg,2\n").rows())
    assert rows[1][PROBLEM].endswith("columns, the list has 2")
    assert rows[2] == {"path": "b.jpg", "label": "2"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="0 bytes"),
        pytest.param(b"\n\n", "is empty", id="blank"),
        pytest.param("image;label\na.jpg;1\n", "separated by commas, with `path or image`", id="semicolons"),
        pytest.param("path,emotion\n", "`label`; it begins with 'path', 'emotion'", id="other column"),
        pytest.param("path,label,label\n", "more than one column `label`", id="column twice"),
        pytest.param("path,label\n".encode("utf-16-le"), "line 1 contains", id="UTF-16 without a mark"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", "it is PNG: give the list", id="an image"),
        pytest.param(b"PK\x03\x04\x14\0", "an Excel workbook: unpack it, or save the sheet", id="Excel"),
        pytest.param(b"PAR1\x15\x04", "a Parquet file: write it as CSV", id="Parquet"),
        pytest.param(b"a" * 1_000_001, "over 1,000,000 characters", id="no line ends"),
    ],
)
def test_unusable_list_is_refused_when_opened(tmp_path: Path, content: str | bytes, message: str) -> None:
    """A file that is not such a list is one clear error, before any row."""
    with pytest.raises(DatasetError, match=r"list\.csv") as error:
        open_text(tmp_path, content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            "path,label\na.jpg,1\ncafé.jpg,2\n".encode("latin-1"),
            "line 3 contains the byte 0xe9",
            id="latin-1",
        ),
        pytest.param(b"path,label\na.jpg,1\nb\0.jpg,2\n", "line 3 contains a zero byte", id="zero byte"),
        pytest.param('path,label\na.jpg,1\n"b.jpg,2\nc.jpg,3\n', "near line", id="open quote"),
    ],
)
def test_damage_further_down_is_refused_by_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    """Damage after a good first line is one clear error that names the line."""
    listed = open_text(tmp_path, content)
    with pytest.raises(DatasetError, match=message):
        list(listed.rows())


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"path,label\n" * 99)[:-12]], ids=["no gzip", "cut"]
)
def test_damaged_gzip_is_refused(tmp_path: Path, data: bytes) -> None:
    """A damaged or truncated gzip file is one clear error."""
    path = tmp_path / "list.csv.gz"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="cannot be read"):
        list(open_csv_file(path, SPELLINGS, required=("path",)).rows())


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder instead of a list is one clear error."""
    with pytest.raises(DatasetError, match="cannot be read"):
        read_first_row(tmp_path)


def test_rows_are_streamed(tmp_path: Path) -> None:
    """The first row is yielded before damage further down is reached."""
    listed = open_text(tmp_path, b"path,label\na.jpg,1\n" + b"\0\n")
    rows = listed.rows()
    assert next(rows) == (1, {"path": "a.jpg", "label": "1"})
    with pytest.raises(DatasetError):
        next(rows)


def test_a_repeated_header_is_no_row(tmp_path: Path) -> None:
    """As `cat a.csv b.csv` leaves it in the middle."""
    listed = open_text(tmp_path, "path,label\na.jpg,1\npath,label\nb.jpg,2\n")
    rows = [fields for _, fields in listed.rows()]
    assert [fields.get("path") for fields in rows] == ["a.jpg", None, "b.jpg"]
    assert rows[1][PROBLEM] == "the row repeats the names of the columns"
