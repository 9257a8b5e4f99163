"""Boxes whose format was concluded from the names of columns, compared with the faces in the images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.csv_table import CsvDataset, open_csv
from mien.datasets.list_options import ColumnOptions
from mien.datasets.registry import DatasetOptions, open_dataset
from mien.errors import DatasetError
from mien.prepare import stage
from mien.prepare.box_check import LEAST_COMPARED, find_concluded_boxes, require_boxes_on_faces
from mien.prepare.options import PrepareOptions

MakeImage = Callable[..., Path]
SIDE = 40
# Left and top of the face in each image.
PLACES = [(4 + 9 * index, 60 - 4 * index) for index in range(LEAST_COMPARED)]
WRITTEN: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    "xywh": lambda x, y: (x, y, SIDE, SIDE),
    "xyxy": lambda x, y: (x, y, x + SIDE, y + SIDE),
    "cxcywh": lambda x, y: (x + SIDE // 2, y + SIDE // 2, SIDE, SIDE),
    "y, x": lambda x, y: (y, x, SIDE, SIDE),
}


@pytest.fixture
def listed(tmp_path: Path, make_image: MakeImage) -> Callable[..., CsvDataset]:
    """Write a list whose boxes are in one format, under the names of the columns of another."""

    def write(form: str, names: str, *, n_faces: int = len(PLACES)) -> CsvDataset:
        lines = [f"path,label,{names}"]
        for index, place in enumerate(PLACES[:n_faces]):
            image = make_image(f"{index}.png", ("Happy", *place, SIDE))
            lines.append(f"{image.name},Happy,{','.join(map(str, WRITTEN[form](*place)))}")
        (tmp_path / "faces.csv").write_text("\n".join(lines))
        dataset = open_csv(tmp_path / "faces.csv")
        assert isinstance(dataset, CsvDataset)
        return dataset

    return write


@pytest.mark.parametrize(
    ("form", "names", "advice"),
    [
        ("xyxy", "x,y,w,h", "--box-format xyxy if that is what they are, otherwise --box-format xywh"),
        ("cxcywh", "x,y,w,h", "--box-format cxcywh if"),
        ("xywh", "x1,y1,x2,y2", "--box-format xywh if"),
        ("y, x", "x,y,w,h", "in another order: name them with --box-columns"),
    ],
)
def test_boxes_that_lie_on_faces_in_another_format_are_refused(
    listed: Callable[..., CsvDataset], detector: Any, form: str, names: str, advice: str
) -> None:
    dataset = listed(form, names)
    assert dataset.box_format is not None
    with pytest.raises(DatasetError, match=advice):
        require_boxes_on_faces(dataset, dataset.box_format, detector)


@pytest.mark.parametrize(("form", "names"), [("xywh", "x,y,w,h"), ("xyxy", "x1,y1,x2,y2")])
def test_boxes_in_the_format_of_their_names_pass(
    listed: Callable[..., CsvDataset], detector: Any, form: str, names: str
) -> None:
    dataset = listed(form, names)
    assert dataset.box_format == form
    require_boxes_on_faces(dataset, dataset.box_format, detector)


def test_a_few_faces_say_nothing(listed: Callable[..., CsvDataset], detector: Any) -> None:
    """They may all be exceptions."""
    require_boxes_on_faces(listed("xyxy", "x,y,w,h", n_faces=LEAST_COMPARED - 1), "xywh", detector)


SETS = {
    "one set": "{kind: csv, raw: faces.csv}",
    "merged": "sources: [{kind: csv, raw: faces.csv}]",
    "stated": "{kind: csv, raw: faces.csv, columns: {box_format: xyxy}}",
    "merged and stated": "sources: [{kind: csv, raw: faces.csv, columns: {box_format: xyxy}}]",
}


@pytest.mark.parametrize("name", SETS)
def test_boxes_of_a_file_of_sets_are_compared(
    listed: Callable[..., CsvDataset], tmp_path: Path, name: str
) -> None:
    """Unless the file states their format."""
    listed("xyxy", "x,y,w,h", n_faces=2)
    (tmp_path / "set.yaml").write_text(SETS[name])
    found = list(find_concluded_boxes(open_dataset("yaml", tmp_path / "set.yaml", DatasetOptions())))
    assert [box_format for _, box_format in found] == ([] if "stated" in name else ["xywh"])


def test_boxes_of_a_set_in_one_split_are_compared(
    listed: Callable[..., CsvDataset], tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written."""
    listed("xyxy", "x,y,w,h")
    monkeypatch.setattr(stage, "find_detector_file", lambda *_, **__: tmp_path / "faces.csv")
    monkeypatch.setattr(stage, "open_detector", lambda _: detector)
    for columns, box_format in ((ColumnOptions(), "xywh"), (ColumnOptions(box_format="xyxy"), "")):
        dataset = DatasetOptions(split="test", columns=columns)
        found = list(find_concluded_boxes(open_dataset("csv", tmp_path / "faces.csv", dataset)))
        assert [form for _, form in found] == ([box_format] if box_format else [])
    options = PrepareOptions(size=16, workers=1, dataset=DatasetOptions(split="test"))
    with pytest.raises(
        DatasetError, match=r"boxes of `.*faces.csv` are read as xywh .* add --box-format xyxy"
    ):
        stage.prepare("csv", tmp_path / "faces.csv", tmp_path / "out.pack", options)
    assert not (tmp_path / "out.pack").exists()
