"""`mien explain`: its folder, its page, and the guards that it shares with `mien predict`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.cli import main
from mien.errors import ArtifactError, ModelError, SourceError
from mien.explain import stage
from mien.explain.confusion import read_confusion
from mien.explain.options import ExplainOptions
from mien.explain.stage import ExplainSummary, explain
from mien.formats.onnx_model import OnnxModel
from mien.inference.model import Model

MakeImage = Callable[..., Path]
Explainer = Callable[..., ExplainSummary]


@pytest.fixture
def run(model_path: Path, detector: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Explainer:
    """Return `explain` with the tiny model and the detector of squares, into the folder ``why``."""
    monkeypatch.setattr(stage, "load_detector", lambda _path: detector)

    def call(*sources: Path, options: ExplainOptions | None = None, **others: object) -> ExplainSummary:
        return explain(sources, model_path, out=tmp_path / "why", options=options, **others)

    return call


def read(folder: Path) -> dict:
    return json.loads((folder / "explain.json").read_text(encoding="utf-8"))


def test_every_face_gets_its_maps(run: Explainer, make_image: MakeImage, tmp_path: Path) -> None:
    """Two faces of one image, in the order of predict, with PNG files and an entry each; all in one page."""
    summary = run(make_image("two.png", ("Happy", 10, 20, 60), ("Sad", 110, 20, 40)))
    document = read(tmp_path / "why")
    assert [entry["target"] for entry in document["faces"]] == ["Happy", "Sad"]
    assert [entry["prediction"]["face"] for entry in document["faces"]] == [0, 1]
    for entry in document["faces"]:
        with Image.open(tmp_path / "why" / entry["maps"]["occlusion"]["file"]) as drawn:
            assert drawn.size == (384, 384)
        with Image.open(tmp_path / "why" / entry["crop"]) as crop:
            assert crop.size == (32, 32)
        cells = np.array(entry["maps"]["occlusion"]["cells"])
        assert cells.shape == (16, 16)
        assert sum(part["area"] for part in entry["regions"].values()) == pytest.approx(1, abs=1e-3)
        assert entry["neighbors"] is entry["confusion"] is entry["label"] is None
    page = (tmp_path / "why" / "explain.html").read_text(encoding="utf-8")
    assert page.count("<section>") == 2
    assert "http" not in page
    assert str(summary).splitlines()[0].startswith(f"{tmp_path / 'two.png'}: Happy")


def test_another_class_can_be_explained(run: Explainer, make_image: MakeImage, tmp_path: Path) -> None:
    """The prediction stays; a class that the model lacks is refused with the one that was meant."""
    image = make_image("one.png", ("Happy", 10, 20, 60))
    run(image, options=ExplainOptions(target="Sad"))
    (entry,) = read(tmp_path / "why")["faces"]
    assert (entry["target"], entry["prediction"]["expression"]) == ("Sad", "Happy")
    assert entry["target_probability"] == entry["prediction"]["probabilities"]["Sad"]
    with pytest.raises(ModelError, match=r"got 'Hapy'\. Did you mean `Happy`"):
        run(image, options=ExplainOptions(target="Hapy", force=True))


def test_what_cannot_be_explained_is_listed(run: Explainer, make_image: MakeImage, tmp_path: Path) -> None:
    """No face, and an unreadable file, as in predict: with the status, in the page too, and no failure."""
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    summary = run(make_image("empty.png"), text)
    assert [entry["prediction"]["status"] for entry in read(tmp_path / "why")["faces"]] == [
        "no_face",
        "not_an_image",
    ]
    page = (tmp_path / "why" / "explain.html").read_text(encoding="utf-8")
    assert "Not explained" in page
    assert "not_an_image" in page
    assert str(summary).count("no_face") == 1
    assert str(summary).endswith("(1 of 2 images unreadable)")


@pytest.mark.parametrize(("n_texts", "n_faces", "code"), [(2, 0, 1), (1, 1, 0)])
def test_the_exit_code_says_whether_anything_was_read(
    run: Explainer,
    make_image: MakeImage,
    tmp_path: Path,
    model_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    n_texts: int,
    n_faces: int,
    code: int,
) -> None:
    """The page is written in any case, and says why."""
    del run  # sets the detector
    texts = [tmp_path / f"{number}.jpg" for number in range(n_texts)]
    for text in texts:
        text.write_text("no image")
    faces = [make_image("one.png", ("Happy", 10, 20, 60))][:n_faces]
    arguments = ["--model", str(model_path), "--out", str(tmp_path / "why")]
    assert main(["explain", *map(str, texts + faces), *arguments]) == code
    assert ("0 of 2 sources could be read" in capsys.readouterr().err) == bool(code)
    assert "not_an_image" in (tmp_path / "why" / "explain.html").read_text(encoding="utf-8")


def test_a_video_and_an_existing_folder_are_refused(
    run: Explainer, make_image: MakeImage, tmp_path: Path
) -> None:
    """Before anything is computed or written."""
    video = tmp_path / "talk.mp4"
    video.write_bytes(b"")
    with pytest.raises(SourceError, match="is a video or camera"):
        run(video)
    assert not (tmp_path / "why").exists()
    image = make_image("one.png", ("Happy", 10, 20, 60))
    run(image)
    with pytest.raises(ArtifactError, match="already exists"):
        run(image)
    with pytest.raises(ArtifactError, match="add --pack"):
        run(image, options=ExplainOptions(keys=("a",), force=True))


def test_a_map_by_gradients_is_written_beside_the_other(
    run: Explainer, make_image: MakeImage, tmp_path: Path
) -> None:
    """The function gets the model, the crop and the index of the explained class; smoothing keeps the sum."""
    calls = []

    def open_gradients(model: OnnxModel) -> stage.GradientMap:
        def gradients(crop_rgb: np.ndarray, target: int) -> np.ndarray:
            calls.append((model.info.classes[target], crop_rgb.shape))
            heat = np.zeros((32, 32), np.float32)
            heat[16, 16] = 3
            return heat

        return gradients

    run(make_image("one.png", ("Sad", 10, 20, 60)), open_gradients=open_gradients)
    (entry,) = read(tmp_path / "why")["faces"]
    assert calls == [("Sad", (32, 32, 3))]
    assert (tmp_path / "why" / entry["maps"]["gradients"]["file"]).is_file()
    assert np.mean(entry["maps"]["gradients"]["cells"]) * 32**2 == pytest.approx(3, rel=1e-2)


def test_a_report_says_how_often_the_answer_is_right(
    run: Explainer, make_image: MakeImage, model_path: Path, tmp_path: Path
) -> None:
    """The column of the answer; a report of another model file is refused, and so is a damaged one."""
    report = tmp_path / "report"
    report.mkdir()
    sha256 = stage.file_sha256(model_path)
    metrics = {
        "model": {"sha256": sha256, "file": "m.onnx"}, "pack": {"folder": "p"}, "split": "val",
        "confusion_matrix": {"labels": ["Neutral", "Happy", "Sad"], "counts": [[5, 1, 0], [0, 8, 0], [0, 3, 2]]},
    }  # fmt: skip
    (report / "metrics.json").write_text(json.dumps(metrics))
    run(make_image("one.png", ("Happy", 10, 20, 60)), options=ExplainOptions(report=report))
    (entry,) = read(tmp_path / "why")["faces"]
    assert entry["confusion"] == {
        "measured_on": "p, split val", "answer": "Happy", "n_answered": 12,
        "labeled": {"Happy": 8, "Sad": 3, "Neutral": 1}, "cell": None,
    }  # fmt: skip
    described = read_confusion(report, model_path).describe("Happy", "Sad")
    assert described["cell"] == {"label": "Sad", "answer": "Happy", "n": 3, "n_labeled": 5}
    with pytest.raises(ArtifactError, match="another model file"):
        read_confusion(report, make_image("other.onnx"))
    metrics["confusion_matrix"]["counts"] = [[1]]
    (report / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ArtifactError, match="damaged"):
        read_confusion(report, model_path)


def test_in_python(model_path: Path, detector: object, make_image: MakeImage, tmp_path: Path) -> None:
    """`Model.explain` returns what the command draws; an unreadable image is an error, one without a face an empty list."""
    model = Model(OnnxModel.load(model_path), detector=detector)
    (found,) = model.explain(make_image("one.png", ("Happy", 10, 20, 60)))
    assert (found.target, found.prediction.expression) == ("Happy", "Happy")
    assert found.occlusion.shape == (32, 32)
    assert found.draw().shape == (384, 384, 3)
    assert model.explain(np.full((40, 40, 3), 100, np.uint8)) == []
    assert len(model.explain(np.full((40, 40, 3), 100, np.uint8), cropped=True)) == 1
    with pytest.raises(SourceError, match="cannot be explained: "):
        model.explain(tmp_path / "missing.jpg")
    with pytest.raises(ModelError, match="must be one of the model's"):
        model.explain(np.full((40, 40, 3), 100, np.uint8), target="Joy")


@pytest.mark.parametrize("options", [{"split": "train"}, {"neighbors": 3}, {"keys": ("a.png",)}])
def test_options_of_a_pack_need_one(options: dict[str, Any], model_path: Path, tmp_path: Path) -> None:
    """None is left out in silence."""
    with pytest.raises(ArtifactError, match="add --pack"):
        explain(["a.png"], model_path, out=tmp_path / "why", options=ExplainOptions(**options))


def test_without_an_image_the_usage_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code 2, as for predict."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--out", str(tmp_path / "why")])
    assert ended.value.code == 2
    assert "--key" in capsys.readouterr().err


def test_a_page_of_many_faces_is_bounded(
    run: Explainer, make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows the first ones and says so; explain.json and the PNG files have all."""
    monkeypatch.setattr(stage, "MAX_FACES", 1)
    run(make_image("two.png", ("Happy", 10, 20, 60), ("Sad", 110, 20, 40)))
    page = (tmp_path / "why" / "explain.html").read_text(encoding="utf-8")
    assert page.count("<section>") == 1
    assert "The first 1 of 2 faces are shown" in page
    assert len(read(tmp_path / "why")["faces"]) == 2
    assert len([*(tmp_path / "why" / "faces").iterdir()]) == 4
