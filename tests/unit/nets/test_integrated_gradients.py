"""Integrated gradients: their axioms, and the guard on the run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.errors import ArtifactError, ModelError
from mien.export.stage import export
from mien.faces.blur import blur_crop
from mien.formats.onnx_model import OnnxModel
from mien.formats.run import Run
from mien.nets.checkpoint import load_network
from mien.nets.integrated_gradients import integrated_gradients, log_odds_of_logits, open_gradient_map


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    out = tmp_path_factory.mktemp("models") / "model.onnx"
    export(trained_run, out)
    return OnnxModel.load(out)


def crop(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_contributions_sum_to_the_difference_from_the_baseline(trained_run: Path) -> None:
    """Completeness, axiom 1 of the paper, for a trained network; more steps come closer."""
    network = load_network(Run.open(trained_run))
    face = crop()
    with torch.inference_mode():
        images = torch.from_numpy(np.stack([face.astype(np.float32), blur_crop(face)]))
        full, baseline = log_odds_of_logits(network(images)["expression"], 1).tolist()
    errors = [
        abs(float(integrated_gradients(network, face, 1, steps=n).sum()) - (full - baseline))
        for n in (4, 256)
    ]
    assert abs(full - baseline) > 0.1
    assert errors[1] < 0.02 * abs(full - baseline)
    assert errors[1] < errors[0]


def test_log_odds_are_those_of_the_softmax() -> None:
    """The logarithm of p / (1 - p)."""
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    p = torch.softmax(logits, dim=1)[0, 0]
    assert float(log_odds_of_logits(logits, 0)) == pytest.approx(float(torch.log(p / (1 - p))), rel=1e-5)


def test_the_run_must_be_the_one_of_the_file(trained_run: Path, exported: OnnxModel, tmp_path: Path) -> None:
    """Its own run gives a map of the crop; another temperature or other classes are refused, and so is a missing run."""
    heat = open_gradient_map(trained_run, exported)(crop(), 0)
    assert heat.shape == (32, 32)
    assert np.abs(heat).max() > 0
    info = exported.info
    try:
        exported.info = replace(info, temperature=info.temperature * 3)
        with pytest.raises(
            ModelError, match=r"predicts otherwise .* Give the run that the file was exported from"
        ):
            open_gradient_map(trained_run, exported)
        exported.info = replace(info, classes=("Neutral", "Happy", "Anger"))
        with pytest.raises(ModelError, match="must be the one that"):
            open_gradient_map(trained_run, exported)
    finally:
        exported.info = info
    with pytest.raises(ArtifactError, match="does not exist"):
        open_gradient_map(tmp_path / "nothing", exported)
