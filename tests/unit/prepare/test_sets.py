"""Whole sets in their own layouts become packs."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mien.datasets.registry import DATASETS
from mien.faces.crop import CropContract, crop_image, crop_matrix
from mien.faces.images import open_image
from mien.formats.pack import Pack
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare


@pytest.fixture
def put_image(tmp_path: Path, tools: SimpleNamespace) -> Callable[..., Path]:
    """Return a function that draws an image of its own into the raw dataset."""

    def put(name: str, seed: int, kind: str = "JPEG") -> Path:
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tools.encode(tools.draw_photo(seed), kind))
        return path

    return put


def _prepare(kind: str, tmp_path: Path, **options: Any) -> Pack:
    summary = prepare(
        kind, tmp_path / "raw", tmp_path / "pack", PrepareOptions(size=32, workers=1, **options)
    )
    assert DATASETS[kind].terms is None or f"terms of use: {DATASETS[kind].terms}" in str(summary)
    return Pack.open(tmp_path / "pack")


def test_rafdb_is_aligned_by_its_points(tmp_path: Path, put_image: Callable[..., Path]) -> None:
    """The crop of an original image needs no detector; a missing image is counted."""
    for number in (1, 2):
        put_image(f"Image/original/train_{number}.jpg", number)
        points = "80 60\n160 62\n120 100\n90 140\n150 142\n0\n1\n2\n"
        path = tmp_path / "raw" / "Annotation" / "manual" / f"train_{number}_manu_attri.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(points)
    (tmp_path / "raw" / "EmoLabel").mkdir()
    lines = "train_1.jpg 4\ntrain_2.jpg 1\ntest_3.jpg 1\n"
    (tmp_path / "raw" / "EmoLabel" / "list_patition_label.txt").write_text(lines)
    pack = _prepare("rafdb", tmp_path)
    assert pack.info.crop_methods == {"aligned": 2}
    assert pack.info.rejected == {"test": {"Surprise": 1}}
    assert pack.info.rejected_by_reason == {"missing_file": 1}
    split = pack.split("train")
    assert split.read_attributes() == [{"gender": "male", "race": "African-American", "age": "20-39"}] * 2
    assert (
        pack.info.terms
        == "non-commercial research and education only (the set's README), if this is that set"
    )


def test_expw_cuts_out_every_face(tmp_path: Path, put_image: Callable[..., Path]) -> None:
    """Two faces of a photograph become two crops, each from its own box."""
    path = put_image("image/origin/two.jpg", 1)
    (tmp_path / "raw" / "label").mkdir()
    lines = "two.jpg 0 10 20 80 70 9 3\ntwo.jpg 1 60 120 200 140 9 4\n"
    (tmp_path / "raw" / "label" / "label.lst").write_text(lines)
    pack = _prepare("expw", tmp_path, margin=0.0)
    split = pack.split(pack.splits[0])
    assert split.keys == ["image/origin/two.jpg"] * 2

    pixels = open_image(path.read_bytes()).decode()[0]
    for index, box in enumerate(([20, 10, 80, 70], [120, 60, 200, 140])):
        contract = CropContract(method="box", margin=0.0, size=32)
        matrix, _ = crop_matrix(contract, (240, 192), box_xyxy=np.array(box, dtype=np.float64))
        expected = crop_image(pixels, matrix, 32).astype(int)
        assert np.abs(split.image(index).astype(int) - expected).mean() < 12


def test_persons_are_in_the_pack(tmp_path: Path, put_image: Callable[..., Path]) -> None:
    """KDEF's persons are in the pack, and none is in both splits."""
    for number, person in enumerate(("F01", "F02", "M01", "M02")):
        for index, code in enumerate(("AN", "HA", "NE")):
            put_image(f"A{person}/A{person}{code}S.JPG", 10 * number + index)
    pack = _prepare("kdef", tmp_path, crop="whole")
    train, val = pack.split("train").persons, pack.split("val").persons
    assert train is not None
    assert val is not None
    assert (len(set(train)), len(set(val)), len(train), len(val)) == (3, 1, 9, 3)
    assert not set(train) & set(val)


def test_persons_in_several_splits_are_counted(tmp_path: Path, put_image: Callable[..., Path]) -> None:
    """The summary says how many persons and clips given splits share, and how to leave them out."""
    lines = ["path,label,split,subject,video"]
    for number, (split, person, clip) in enumerate(
        [("train", "A", "1"), ("train", "B", "2"), ("val", "A", "3"), ("val", "C", "4"), ("test", "A", "3")]
    ):
        put_image(f"{number}.jpg", number)
        lines.append(f"{number}.jpg,{('happy', 'sad')[number % 2]},{split},{person},{clip}")
    (tmp_path / "raw" / "list.csv").write_text("\n".join(lines))
    options = PrepareOptions(size=32, workers=1)
    text = str(prepare("csv", tmp_path / "raw", tmp_path / "pack", options))
    assert "persons: 1 of 3 are in more than one split" in text
    assert "clips: 1 of 4 are in more than one split" in text
    assert "--data.exclude_shared_persons true" in text
    duplicates = Pack.open(tmp_path / "pack").info.duplicates
    assert (duplicates["persons"], duplicates["persons_in_several_splits"]) == (3, 1)


def test_faces_without_expressions(tmp_path: Path, put_image: Callable[..., Path]) -> None:
    """FairFace becomes a pack of attributes, without classes."""
    lines = ["file,age,gender,race,service_test"]
    for number in range(3):
        put_image(f"val/{number}.jpg", number)
        lines.append(f"val/{number}.jpg,{10 * number}-{10 * number + 9},Male,White,True")
    (tmp_path / "raw" / "fairface_label_val.csv").write_text("\n".join(lines))
    pack = _prepare("fairface", tmp_path)
    assert (pack.info.classes, pack.splits, pack.info.unlabeled) == ((), ("val",), {"val": 3})
    assert [stated["age"] for stated in pack.split("val").read_attributes()] == ["0-9", "10-19", "20-29"]
