"""`mien teach` on folders and lists of colored squares."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.cli import main
from mien.formats.onnx_model import OnnxModel
from mien.teach import stage
from mien.teach.options import TeachOptions, parse_merge

COLORS = {"orange": (230, 140, 30), "teal": (20, 130, 140)}
MakeFaces = Callable[..., Path]


@pytest.fixture
def make_faces(tmp_path: Path) -> MakeFaces:
    """Return a function that writes a folder with a folder of textured, colored faces for each class."""

    def make(*names: str, n: int = 8) -> Path:
        random = np.random.default_rng(0)
        for name in names:
            (tmp_path / "faces" / name).mkdir(parents=True)
            for index in range(n):
                coarse = random.normal(0, 60, (8, 8, 1)).repeat(8, axis=0).repeat(8, axis=1)
                color = np.array(COLORS[name]) + random.normal(0, 10, 3)
                pixels = np.clip(color + coarse, 0, 255).astype(np.uint8)
                cv2.imwrite(str(tmp_path / "faces" / name / f"{index}.png"), pixels[:, :, ::-1])
        return tmp_path / "faces"

    return make


def test_a_folder_becomes_a_model(
    make_faces: MakeFaces, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printed are the faces, the cross-validation with its interval, and what was left out; the file predicts."""
    faces, out = make_faces("orange", "teal"), tmp_path / "mine.onnx"
    (faces / "teal" / "broken.png").write_bytes(b"not an image")
    words = ["teach", str(faces), "--out", str(out), "--model", str(model_path), "--crop", "whole"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "1 of 17 rows are left out, not_an_image" in printed
    assert "teal/broken.png" in printed
    assert "orange  8      8       100%" in printed
    assert "balanced accuracy 100.0% [" in printed
    assert f"model: {out}" in printed
    assert OnnxModel.load(out, threads=1).info.classes == ("orange", "teal")
    card = (tmp_path / "mine.md").read_text("utf-8")
    assert "Predicts orange, teal. Taught on 16 faces" in card
    image = str(faces / "teal" / "0.png")
    assert main(["predict", image, "--model", str(out), "--crop", "whole"]) == 0
    assert "teal" in capsys.readouterr().out
    assert main(words) == 1
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--force", "--language", "zh"]) == 0
    translated = (tmp_path / "mine.md").read_text("utf-8")
    sentences = {line for line in card.splitlines() if len(line.split()) > 4 and not line.startswith("|")}
    assert len(sentences) == 5
    assert sentences.isdisjoint(translated.splitlines())


def test_a_list_with_boxes_and_persons(make_faces: MakeFaces, model_path: Path, tmp_path: Path) -> None:
    """The box is cropped, not the whole image; persons are groups; rows of other splits are not taught."""
    faces, random = make_faces("orange", "teal"), np.random.default_rng(1)
    rows = []
    for path in sorted(faces.rglob("*.png")):
        face = cv2.imread(str(path))
        scene = random.integers(0, 256, (200, 300, 3), dtype=np.uint8)
        scene[100:164, 180:244] = face
        cv2.imwrite(str(path), scene)
        split = "val" if path.stem == "7" else "train"
        person = f"{path.parent.name}{int(path.stem) % 4}"
        rows.append(
            (f"faces/{path.parent.name}/{path.name}", path.parent.name, split, person, 180, 100, 64, 64)
        )
    with (tmp_path / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split", "person", "x", "y", "w", "h"))
        writer.writerows(rows)
    summary = stage.run_teach(tmp_path / "list.csv", tmp_path / "mine.onnx", model_path, TeachOptions())
    found = summary.info.training["taught"]["cross_validation"]
    assert found["classes"]["teal"] == {"n": 7, "groups": 4, "recall": 1.0}
    assert "2 rows of val are left out: only train is taught." in summary.notes


def test_no_face_is_said_with_what_to_do(
    make_faces: MakeFaces,
    model_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Blind:
        def find_faces(self, image_rgb: np.ndarray) -> list[object]:
            return []

    monkeypatch.setattr(stage, "load_detector", lambda path: Blind())
    words = [
        "teach",
        str(make_faces("orange", "teal")),
        "--out",
        str(tmp_path / "m.onnx"),
        "--model",
        str(model_path),
    ]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "No face can be used. 16 of 16 rows are left out, no_face" in error
    assert not (tmp_path / "m.onnx").exists()


def test_a_pack_is_no_folder_of_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names what to give instead."""
    (tmp_path / "pack.json").touch()
    assert main(["teach", str(tmp_path), "--out", str(tmp_path / "m.onnx")]) == 1
    assert "is a pack, teaching reads the photographs themselves" in capsys.readouterr().err


def test_merge_is_read(make_faces: MakeFaces, model_path: Path, tmp_path: Path) -> None:
    """The same new name may be given twice; what is not like A+B=NAME is wrong usage."""
    assert parse_merge("Anger + Disgust=Negative") == ("Negative", ("Anger", "Disgust"))
    for text in ("Anger", "=x", "A+=x", "A+B="):
        with pytest.raises(ValueError, match=r"must be like Anger\+Disgust=Negative"):
            parse_merge(text)
    options = TeachOptions(
        crop="whole", keep_classes=True, merge=(parse_merge("Happy=Lively"), parse_merge("orange=Lively"))
    )
    faces = make_faces("orange", "teal")
    (faces / "teal").rename(faces / "Neutral")
    summary = stage.run_teach(faces, tmp_path / "m.onnx", model_path, options)
    assert summary.info.classes == ("Neutral", "Lively", "Sad")
