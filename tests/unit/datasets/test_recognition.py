"""What a path is taken for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.datasets.recognition import describe_unrecognized, recognize
from mien.datasets.registry import DatasetOptions, open_dataset

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


POINTS = "\n".join(["1.0 2.0"] * 68)
EXPRESSIONS = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n0\n"
DESCRIBED = {
    "expw": {"label/label.lst": "a.jpg 0 10 20 90 80 99 3\n", "image/origin/a.jpg": JPEG},
    "ckplus": {
        "cohn-kanade-images/S005/001/S005_001_00000011.png": JPEG,
        "Emotion/S005/001/S005_001_00000011_emotion.txt": "   3.0000000e+00\n",
        "Landmarks/S005/001/S005_001_00000011_landmarks.txt": POINTS,
    },
    "kdef": {"AF01/AF01ANS.JPG": JPEG, "AM02/AM02HAS.JPG": JPEG},
    "fairface": {
        f"fairface_label_{split}.csv": f"file,age,gender,race,service_test\n{split}/1.jpg,20-29,Male,White,True\n"
        for split in ("train", "val")
    }
    | {"train/1.jpg": JPEG, "val/1.jpg": JPEG},
    "afew-va": {
        "01/001/00000.png": JPEG,
        "01/001/001.json": '{"frames": {"00000": {"valence": 1, "arousal": 2, "landmarks": []}}}',
    },
    "aff-wild2": {
        "cropped_aligned/a/00001.jpg": JPEG,
        "EXPR_Classification_Challenge/Train_Set/a.txt": EXPRESSIONS,
    },
    "imagefolder": {
        "train/a.jpg": JPEG,
        "train/b.jpg": JPEG,
        "train/metadata.jsonl": '{"file_name": "a.jpg", "label": "happy"}\n{"file_name": "b.jpg", "label": "sad"}\n',
    },
    "yolo": {
        "data.yaml": "names: [happy, sad]",
        "train/images/a.jpg": JPEG,
        "train/labels/a.txt": "0 0.5 0.5 0.4 0.4",
    },
    "fer2013": {"fer2013.csv": f"emotion,pixels,Usage\n3,{' '.join(['7'] * 2304)},Training\n"},
}


@pytest.mark.parametrize("kind", DESCRIBED)
def test_each_set_is_recognized_by_its_files(tmp_path: Path, put: Callable[..., Path], kind: str) -> None:
    """As that kind and no other."""
    for file, content in DESCRIBED[kind].items():
        put(tmp_path / file, content)
    assert [candidate.kind for candidate in recognize(tmp_path)] == [kind]


@pytest.mark.parametrize(
    ("kind", "assumption"),
    [
        ("expw", "top, left, right, bottom"),
        ("ckplus", "order of iBUG"),
        ("afew-va", "order of iBUG"),
    ],
)
def test_what_a_reader_assumes_is_said(
    tmp_path: Path, put: Callable[..., Path], kind: str, assumption: str
) -> None:
    """In the summary, so that it can be checked."""
    for file, content in DESCRIBED[kind].items():
        put(tmp_path / file, content)
    notes = [
        note for note in open_dataset(kind, tmp_path, DatasetOptions()).notes if note.startswith("Assumed")
    ]
    assert len(notes) == 1
    assert assumption in notes[0]


def test_an_assumption_about_what_is_not_there_is_not_said(tmp_path: Path, put: Callable[..., Path]) -> None:
    """CK+ without landmarks assumes nothing about their order."""
    for file, content in DESCRIBED["ckplus"].items():
        if not file.startswith("Landmarks"):
            put(tmp_path / file, content)
    assert not any(
        note.startswith("Assumed") for note in open_dataset("ckplus", tmp_path, DatasetOptions()).notes
    )


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
