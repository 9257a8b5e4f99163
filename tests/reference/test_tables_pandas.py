"""What mien writes as CSV, read as most people read it: by pandas with its defaults, and by pyarrow."""

import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow.csv
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from mien.faces.classes import AFFECTNET_CLASSES, MISSING_VALUES
from mien.inference.results import FacePrediction
from mien.predict.prediction_files import CsvWriter
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from mien.runtime.csv_text import CsvLines

NAMES = [
    "a.jpg", "a\rb.jpg", "a\nb.jpg", "a\r\nb.jpg", '"quoted", with comma.jpg', "=1+1.jpg", " blanks .jpg", "tab\t.jpg",
    "bell\x07 \x1b[31mred.jpg", "\u202ebidi.jpg", "中文.jpg", "\r",
]  # fmt: skip


def test_the_missing_values_are_those_of_pandas() -> None:
    assert set(MISSING_VALUES) == set(STR_NA_VALUES)


@pytest.mark.parametrize("name", AFFECTNET_CLASSES)
def test_every_class_comes_back(name: str) -> None:
    text = io.StringIO()
    writer = CsvWriter(text, AFFECTNET_CLASSES)
    writer.write(FacePrediction("a.jpg", face=0, expression=name, confidence=1.0, probabilities={name: 1.0}))
    table = pd.read_csv(io.StringIO(text.getvalue()))
    assert table["expression"].tolist() == [name]
    assert table[f"p_{name}"].tolist() == [1.0]


@pytest.mark.parametrize("as_dict", [False, True])
def test_cells_of_any_text_come_back(tmp_path: Path, as_dict: bool) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        if as_dict:
            by_name = csv.DictWriter(CsvLines(file), ["name", "number"])
            by_name.writeheader()
            by_name.writerows({"name": name, "number": row} for row, name in enumerate(NAMES))
        else:
            writer = csv.writer(CsvLines(file))
            writer.writerow(["name", "number"])
            writer.writerows([name, row] for row, name in enumerate(NAMES))
    assert pd.read_csv(path)["name"].tolist() == NAMES
    by_arrow = pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True))
    assert by_arrow["name"].to_pylist() == NAMES
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == NAMES
    assert path.read_bytes().endswith(b"11\n")
    assert b"11\r\n" not in path.read_bytes()


def test_rejected_files_of_any_name_have_a_row_each(tmp_path: Path) -> None:
    """Of a class that other sets call None, too."""
    raw = tmp_path / "raw"
    for folder in ("none", "happy"):
        (raw / folder).mkdir(parents=True)
        for name in NAMES:
            try:
                (raw / folder / name).write_bytes(b"no image")
            except OSError:
                pytest.skip("this file system has no such names")
        (raw / folder / "good.png").write_bytes(
            (Path(__file__).parents[1] / "golden" / "image.png").read_bytes()
        )
    prepare(
        "folder",
        raw,
        tmp_path / "a.pack",
        PrepareOptions(size=16, workers=1, allow=("empty-classes", "mostly-rejected")),
    )
    rejects = pd.read_csv(tmp_path / "a.pack" / "rejects.csv")
    assert sorted(rejects["path"]) == sorted(
        f"{folder}/{name}" for folder in ("none", "happy") for name in NAMES
    )
    assert rejects["label"].value_counts().to_dict() == {"NoneOfEight": len(NAMES), "Happy": len(NAMES)}
