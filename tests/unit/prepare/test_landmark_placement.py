"""Landmarks that a model places for faces that have none."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.artifacts import read_json
from mien.datasets.registry import DatasetOptions
from mien.errors import ArtifactError, ModelError
from mien.export.pack import export_pack
from mien.faces.detector import DetectedFace
from mien.faces.landmarks import anchors_from_landmarks
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.metrics.landmarks import nme_per_face
from mien.prepare.closing import PrepareSummary
from mien.prepare.landmark_placement import find_landmark_model, match_face
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from mien.sample.write import write_sample

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared"))
DETECTOR = SHARED / "models" / "face_detection_yunet_2023mar.onnx"
MODEL = "mien-base"
BOX = ("face_x", "face_y", "face_width", "face_height")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces with known landmarks, and lists of them without: ``boxes.csv`` and, without boxes, ``plain.csv``."""
    if not DETECTOR.exists():
        pytest.skip("needs YuNet of the shared models (MIEN_SHARED)")
    folder = tmp_path_factory.mktemp("placed") / "drawn"
    write_sample(folder, n_faces=40, workers=1)
    with (folder / "action_units.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["facial_landmarks"].count("-1") < 10]
    for name, columns in (("boxes", ("path", "label", "split", *BOX)), ("plain", ("path", "label", "split"))):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def prepared(folder: Path, out: Path, *, name: str, crop: str = "aligned", placed: bool = True) -> Pack:
    options = PrepareOptions(
        size=96,
        crop=crop,  # type: ignore[arg-type]
        workers=1,
        detector_path=DETECTOR,
        place_landmarks=MODEL if placed else None,
        allow=("empty-classes",),
    )
    prepare("csv", folder / f"{name}.csv", out, options)
    return Pack.open(out)


@pytest.fixture(scope="module")
def true_pack(drawn: Path) -> Pack:
    """The drawn faces with the landmarks that they were drawn by."""
    return prepared(drawn, drawn.parent / "true.pack", name="action_units", crop="whole", placed=False)


@pytest.mark.parametrize("name", ["boxes", "plain"])
def test_points_are_where_the_face_has_them(drawn: Path, true_pack: Pack, tmp_path: Path, name: str) -> None:
    """Within 8% of the distance between the eyes on average, with a box and without; photographs get 3.5%."""
    pack = prepared(drawn, tmp_path / "placed.pack", name=name, crop="whole")
    expected = dict(zip(true_pack.split("train").keys, true_pack.split("train").landmarks, strict=True))
    split = pack.split("train")
    true = np.array([expected[key] for key in split.keys])
    errors = nme_per_face(true, split.landmarks)
    assert len(errors) > 20
    assert np.mean(errors) < 0.08
    assert pack.info.landmarks_by["train"] == {find_landmark_model(MODEL).label: len(errors)}
    n_placed = sum(sum(found.values()) for found in pack.info.landmarks_by.values())
    assert f"landmarks: {n_placed} placed by {MODEL} (" in str(PrepareSummary(pack.path, pack.info, 0))


@pytest.mark.parametrize("name", ["boxes", "plain"])
def test_they_position_an_aligned_crop(drawn: Path, tmp_path: Path, name: str) -> None:
    """A box alone gives no aligned crop; with the points that are placed in it, it does."""
    pack = prepared(drawn, tmp_path / "aligned.pack", name=name)
    assert set(pack.info.crop_methods) == {"aligned"}
    eyes = np.array([anchors_from_landmarks(points)[:2] for points in pack.split("train").landmarks]).mean(
        axis=0
    )
    assert np.abs(eyes[:, 1] - (0.5 + (0.40 - 0.5) / 1.2)).max() < 0.05  # level, and in their place


def test_landmarks_of_the_set_stay(drawn: Path, true_pack: Pack, tmp_path: Path) -> None:
    """Where every face has landmarks, the option changes nothing, not even the hashes."""
    pack = prepared(drawn, tmp_path / "again.pack", name="action_units", crop="whole")
    assert pack.info.landmarks_by == {}
    assert pack.info.content_sha256 == true_pack.info.content_sha256
    values = read_json(pack.path / "pack.json", what="pack")
    assert "landmarks_by" not in values
    assert values == read_json(true_pack.path / "pack.json", what="pack")


def test_finished_crops(drawn: Path, tmp_path: Path) -> None:
    """Crops of a pack get landmarks too; and a pack's marks survive its way through Parquet."""
    bare = prepared(drawn, tmp_path / "bare.pack", name="boxes", crop="box", placed=False)
    given = prepared(drawn, tmp_path / "given.pack", name="boxes", crop="box")
    for pack in (bare, given):
        export_pack(pack.path, pack.path.with_suffix(".parquet"))
    options = PrepareOptions(workers=1, detector_path=DETECTOR)
    again = prepare("parquet", given.path.with_suffix(".parquet"), tmp_path / "again.pack", options)
    assert again.info.content_sha256 == given.info.content_sha256
    assert again.info.landmarks_by == given.info.landmarks_by
    options = replace(options, place_landmarks=MODEL)
    prepare("parquet", bare.path.with_suffix(".parquet"), tmp_path / "later.pack", options)
    later = Pack.open(tmp_path / "later.pack")
    assert later.info.landmarks_by == given.info.landmarks_by
    errors = nme_per_face(given.split("train").landmarks, later.split("train").landmarks)
    assert np.mean(errors) < 0.05


def test_no_face_no_landmarks(tmp_path: Path) -> None:
    """Where no face is found the points would be made up: there are none, and the summary counts it."""
    if not DETECTOR.exists():
        pytest.skip("needs YuNet of the shared models (MIEN_SHARED)")
    for name in ("happy", "sad"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        shade = np.full((96, 96, 3), 90 if name == "sad" else 150, np.uint8)
        cv2.imwrite(str(tmp_path / "raw" / name / "1.png"), shade)
    options = PrepareOptions(
        workers=1, detector_path=DETECTOR, place_landmarks=MODEL, dataset=DatasetOptions(val_fraction=0.0)
    )
    summary = prepare("folder", tmp_path / "raw", tmp_path / "my.pack", options)
    assert summary.info.warnings == {"landmarks_not_placed": 2}
    assert summary.info.landmarks_by == {}


def test_a_box_is_matched_to_the_face_in_it() -> None:
    """Not to a larger one elsewhere; if none is in it, it is used as it is."""
    faces = [DetectedFace(np.array(box, float), 0.9, None) for box in ([0, 0, 90, 90], [200, 0, 240, 40])]
    assert match_face(faces, None) is faces[0]
    assert match_face(faces, np.array([190.0, -10, 250, 50])) is faces[1]
    alone = match_face(faces, np.array([100.0, 100, 140, 140]))
    assert alone is not None
    assert alone.box_xyxy.tolist() == [100, 100, 140, 140]
    assert match_face([], None) is None


def test_models_that_cannot_place_landmarks(tmp_path: Path) -> None:
    """The message says what to give instead."""
    with pytest.raises(ArtifactError, match="Did you mean mien-base"):
        find_landmark_model("mien-bas")
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(ArtifactError):
        find_landmark_model(str(tmp_path / "a.onnx"))
    assert find_landmark_model(MODEL).model == MODEL


def test_a_model_without_a_landmark_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before a face is read."""
    load = OnnxModel.load

    def load_without(path: Path, threads: int | None = None) -> OnnxModel:
        model = load(path, threads)
        model.info = replace(model.info, tasks=("expression",))
        return model

    monkeypatch.setattr("mien.prepare.landmark_placement.OnnxModel.load", load_without)
    with pytest.raises(ModelError, match=r"outputs landmarks, .* outputs expression"):
        find_landmark_model(MODEL)
