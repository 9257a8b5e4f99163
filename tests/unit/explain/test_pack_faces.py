"""Faces of a pack: explained by key, and found as the most similar ones."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.explain.options import ExplainOptions
from mien.explain.pack_faces import TrainingFaces
from mien.explain.stage import explain
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack

CLASSES = ("Neutral", "Happy", "Sad")


@pytest.fixture(scope="module")
def grouped_pack(make_training_pack: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack in which the first val face repeats the first training face."""
    groups = np.arange(60 + 6)
    groups[60] = groups[0]
    folder = tmp_path_factory.mktemp("packs") / "grouped.pack"
    return make_training_pack(folder, n_train=60, n_val=6, n_missing=0, groups=groups)


def test_neighbors_are_the_faces_with_the_nearest_features(grouped_pack: Path, model_path: Path) -> None:
    """Compared with all similarities computed one by one; most are of the face's color."""
    model, pack = OnnxModel.load(model_path), Pack.open(grouped_pack)
    training = TrainingFaces.read(pack, model)
    faces = pack.split("train")
    crop = np.array(faces.image(7)[4:36, 4:36])
    found = training.find_nearest(crop, 5, other_than=None)
    _, (own,) = model.run_with_features(crop[None])
    cosines = training.features @ own / np.linalg.norm(training.features, axis=1) / np.linalg.norm(own)
    expected = np.argsort(-cosines)[:5]
    assert [one.key for one in found] == [faces.keys[index] for index in expected]
    assert [one.similarity for one in found] == pytest.approx(cosines[expected].tolist(), abs=1e-6)
    assert found[0].label == CLASSES[7 % 3]


def test_a_face_is_explained_by_its_key(grouped_pack: Path, model_path: Path, tmp_path: Path) -> None:
    """Its label is known; the training face that it repeats is not among the similar ones; no detector is needed."""
    options = ExplainOptions(keys=("val/0.jpg", "val/4.jpg"), neighbors=60)
    summary = explain([], model_path, out=tmp_path / "why", options=options, pack=grouped_pack)
    first, second = json.loads((tmp_path / "why" / "explain.json").read_text())["faces"]
    assert (first["prediction"]["source"], first["label"]) == ("val/0.jpg", "Neutral")
    assert (second["prediction"]["source"], second["label"]) == ("val/4.jpg", "Happy")
    assert first["prediction"]["box_xyxy"] == [0, 0, 40, 40]
    assert len(first["neighbors"]) == 59
    assert "train/0.jpg" not in {one["key"] for one in first["neighbors"]}
    assert len(second["neighbors"]) == 60
    page = (tmp_path / "why" / "explain.html").read_text(encoding="utf-8")
    assert "Most similar training faces" in page
    assert "labeled Neutral" in str(summary)


def test_an_unknown_key_is_an_error(grouped_pack: Path, model_path: Path, tmp_path: Path) -> None:
    """The message names the key that was meant; nothing is written."""
    options = ExplainOptions(keys=("val/0.jpeg",))
    with pytest.raises(
        ArtifactError, match=r"no face with the key 'val/0.jpeg', .*\. Did you mean `val/0.jpg`\?$"
    ):
        explain([], model_path, out=tmp_path / "why", options=options, pack=grouped_pack)
    assert not (tmp_path / "why").exists()
