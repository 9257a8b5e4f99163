"""Boxes whose format was concluded from the names of columns, compared with the faces in the images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.csv_table import CsvDataset, open_csv
from mien.errors import DatasetError
from mien.prepare.box_check import LEAST_COMPARED, require_boxes_on_faces

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
