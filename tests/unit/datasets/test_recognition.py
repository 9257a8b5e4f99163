"""What a path is taken for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.datasets.recognition import describe_unrecognized, recognize

JPEG = b"\xff\xd8\xff\xe0"

LAYOUTS = [
    pytest.param(
        "affectnet", ["training.csv", "Manually_Annotated_Images/1/a.jpg"], "as the 2017 release", id="2017"
    ),
    pytest.param(
        "affectnet", ["val_set/images/0.jpg", "val_set/annotations/0_exp.npy"], "2021 release", id="2021"
    ),
    pytest.param("ferplus", ["fer2013new.csv", "FER2013Test/a.png"], "FER+'s votes", id="FER+"),
    pytest.param("folder", ["happy/a.jpg", "sad/b.JPG", "about.md"], "`happy`, `sad`", id="folder"),
    pytest.param(
        "folder",
        ["Train/happy/a.jpg", "Train/sad/b.jpg", "Test/sad/b.jpg"],
        "`Test`, `Train` hold",
        id="splits",
    ),
    pytest.param("nhfi", ["neutrality/a.jpg", "happiness/a.jpg", "sadness/a.jpg"], "`neutrality`", id="NHFI"),
    pytest.param(
        "mmafedb",
        [
            f"{split}/{name}/a.jpg"
            for split in ("train", "valid", "test")
            for name in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
        ],
        "`angry` to `surprise`",
        id="MMAFEDB",
    ),
    pytest.param(
        "caer-s",
        [
            f"{split}/{name}/a.jpg"
            for split in ("train", "test")
            for name in ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
        ],
        "`Anger` to `Surprise`",
        id="CAER-S",
    ),
    pytest.param(
        "rafdb", ["EmoLabel/list_patition_label.txt", "Image/aligned/a.jpg"], "EmoLabel", id="RAF-DB"
    ),
    pytest.param("jaffe", ["KA.AN1.39.tiff", "KA.HA1.29.tiff"], "KA.AN1.39.tiff", id="JAFFE"),
    pytest.param("csv", ["faces.csv", "a.jpg"], "`faces.csv` lists images", id="CSV"),
    pytest.param(
        "csv", ["train.txt", "test.txt", "images/a.jpg"], "`train.txt`, `test.txt` lists", id="lists"
    ),
]


@pytest.mark.parametrize(("kind", "files", "reason"), LAYOUTS)
def test_each_layout_is_recognized(
    tmp_path: Path, put: Callable[..., Path], kind: str, files: list[str], reason: str
) -> None:
    """By what the folder holds, with the reason; generic kinds only if no other fits."""
    for file in files:
        put(tmp_path / file, JPEG if file.lower().endswith(".jpg") else "path,label\na.jpg,happy\n")
    found = recognize(tmp_path)
    assert [candidate.kind for candidate in found] == [kind]
    assert reason in found[0].reason


def test_a_list_and_folders_are_both_named(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Neither is chosen silently."""
    for file in ("happy/a.jpg", "sad/b.jpg"):
        put(tmp_path / file, JPEG)
    put(tmp_path / "labels.csv", "path,label\nhappy/a.jpg,sad\n")
    assert [candidate.kind for candidate in recognize(tmp_path)] == ["folder", "csv"]


@pytest.mark.parametrize(
    ("files", "described"),
    [
        (["train/images/a.jpg", "train/labels/a.txt", "data.yaml"], "YOLO's layout"),
        (["images.zip"], "it holds 1 .zip in `images.zip`: unpack the archives"),
        (["a.bin"], "give the folder that holds the images"),
        (["all/data/happy/a.jpg", "all/data/sad/a.jpg"], "give `{}/all/data`"),
        ([], "it holds no file in no folder"),
    ],
)
def test_what_is_not_recognized_is_described(
    tmp_path: Path, put: Callable[..., Path], files: list[str], described: str
) -> None:
    """With what to do."""
    for file in files:
        put(tmp_path / file, JPEG)
    assert recognize(tmp_path) == []
    assert described.format(tmp_path) in describe_unrecognized(tmp_path)
