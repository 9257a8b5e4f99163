"""Prediction sets from a report."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien
from mien.artifacts import file_sha256
from mien.errors import ArtifactError
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.label_sets import CoverageOptions, load_label_sets
from mien.predict.options import PredictOptions
from mien.predict.stage import run_predict

MakeImage = Callable[..., Path]


@pytest.fixture
def report(tmp_path: Path, model_path: Path) -> Path:
    """Write a report with 20 faces of each class but the last, of which there are three."""
    folder = tmp_path / "report"
    folder.mkdir()
    classes = OnnxModel.load(model_path).info.classes
    lines = ["key,true,predicted," + ",".join(f"p_{name}" for name in classes)]
    for index, name in enumerate(classes):
        for number in range(3 if name == classes[-1] else 20):
            probabilities = np.full(len(classes), (0.05 + 0.04 * number) / (len(classes) - 1))
            probabilities[index] = 0.95 - 0.04 * number
            lines.append(
                f"{name}{number},{name},{name}," + ",".join(f"{value:.9g}" for value in probabilities)
            )
    (folder / "predictions.csv").write_text("\n".join([*lines, f"x,,{classes[0]},1,0,0"]) + "\n")
    model = {"file": model_path.name, "sha256": file_sha256(model_path)}
    (folder / "metrics.json").write_text(json.dumps({"model": model}))
    return folder


def test_a_set_has_the_classes_that_are_probable_enough(report: Path, model_path: Path) -> None:
    """By class, and a class of too few faces always."""
    sets = load_label_sets(report, 0.9, OnnxModel.load(model_path))
    assert sets.n_faces == (20, 20, 3)
    assert sets.always_included == sets.classes[2:]
    # Rank 19 of 21 faces: 0.05 + 18 * 0.04.
    assert sets.quantiles[:2] == pytest.approx((0.77, 0.77))
    assert sets.to_dict()["limits"] == dict(zip(sets.classes, [*sets.quantiles[:2], None], strict=True))
    assert sets.choose(np.array([0.5, 0.22, 0.28])) == (sets.classes[0], sets.classes[2])


def test_files_and_python_have_the_same_sets(
    report: Path, model_path: Path, make_image: MakeImage, tmp_path: Path
) -> None:
    """Also from a worker."""
    path = make_image("a.png")
    expected = (
        mien.load(model_path, coverage=0.9, coverage_from=report).predict(path, cropped=True)[0].label_set
    )
    assert expected is not None
    for workers in (None, 1):
        out = tmp_path / f"{workers}.csv"
        options = PredictOptions(
            out=out, crop="whole", sets=CoverageOptions(coverage=0.9, coverage_from=report), workers=workers
        )
        run_predict([path], model_path, options=options, stream=io.StringIO())
        with out.open(newline="") as file:
            assert next(csv.DictReader(file))["label_set"] == ";".join(expected)


def test_a_report_on_another_model_is_refused(report: Path, model_path: Path) -> None:
    """Its probabilities say nothing about this one's."""
    (report / "metrics.json").write_text(json.dumps({"model": {"file": "other.onnx", "sha256": "0"}}))
    with pytest.raises(
        ArtifactError, match=r"on another model file than colors\.onnx, 'other\.onnx'.*Run `mien evaluate"
    ):
        load_label_sets(report, 0.9, OnnxModel.load(model_path))
    (report / "metrics.json").unlink()
    with pytest.raises(ArtifactError, match="report"):
        load_label_sets(report, 0.9, OnnxModel.load(model_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 0.9}, "go together"),
        ({"coverage_from": Path("report")}, "go together"),
        ({"coverage": 1.0, "coverage_from": Path("report")}, "more than 0 and less than 1"),
        ({"coverage": 0.9, "coverage_from": Path("report"), "video": True}, "for images"),
        (
            {"coverage": 0.9, "coverage_from": Path("report"), "prior": "half"},
            "leave out --classes and --prior",
        ),
    ],
)
def test_what_breaks_the_promise_is_refused(
    model_path: Path, make_image: MakeImage, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    """Before any work."""
    sources = [make_image("a.png")]
    if options.pop("video", False):
        sources.append(tmp_path / "talk.mp4")
        sources[-1].write_bytes(b"")
    rule = DecisionRule(prior=options.pop("prior", "as-trained"))
    predict_options = PredictOptions(crop="whole", rule=rule, sets=CoverageOptions(**options))
    with pytest.raises(ArtifactError, match=message):
        run_predict(sources, model_path, options=predict_options, stream=io.StringIO())
