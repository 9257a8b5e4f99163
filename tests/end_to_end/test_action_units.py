"""Action units, from drawn faces to predictions, through the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import mien
from mien.cli import main
from mien.faces.action_units import ActionUnits
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.sample.action_units import UNIT_NAMES

RECIPE = """
model: {backbone: test_resnet, pretrained: false, drop_rate: 0.0}
data: {input_size: 32, dev_fraction: 0.3, augment: {mixup_prob: 0.3, cutmix_prob: 0.3}}
schedule: {epochs: 2, batch_size: 8, learning_rate: 0.003, select_by: action_units_f1, loss: {action_units_weight: 1.0}}
runtime: {accelerator: cpu, workers: 0}
"""


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole road: faces, pack, run, model.onnx, report, rows.csv and rows.jsonl."""
    folder = tmp_path_factory.mktemp("road")
    (folder / "recipe.yaml").write_text(RECIPE)
    images = folder / "faces" / "Manually_Annotated_Images" / "0"
    for command in (
        f"sample {folder}/faces --faces 88 --workers 1",
        f"prepare csv {folder}/faces/action_units.csv --out {folder}/pack --size 48 --workers 1",
        f"train --recipe {folder}/recipe.yaml --pack {folder}/pack --out {folder}/run",
        f"export {folder}/run --out {folder}/model.onnx",
        f"evaluate --model {folder}/model.onnx --pack {folder}/pack --out {folder}/report",
        f"predict {images} --model {folder}/model.onnx --crop whole --out {folder}/rows.csv",
        f"predict {images} --model {folder}/model.onnx --crop whole --out {folder}/rows.jsonl",
    ):
        assert main(command.split()) == 0, command
    return folder


def test_pack_run_and_model_say_which_units(road: Path) -> None:
    """Names and kind travel in pack.json, run.json and the model file."""
    units = ActionUnits(UNIT_NAMES, "intensity")
    pack = Pack.open(road / "pack")
    assert pack.info.format_version == 3
    for found in (pack.info, Run.open(road / "run"), OnnxModel.load(road / "model.onnx").info):
        assert found.annotations == {"action_units": units}
    assert json.loads((road / "pack" / "pack.json").read_text())["annotations"] == {
        "action_units": units.to_dict()
    }


def test_the_loss_falls_and_the_metric_selects(road: Path) -> None:
    """The head learns with the others, and its dev metrics are logged."""
    with (road / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train_action_units"]) for row in rows]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert {"dev_action_units_f1", "dev_action_units_icc"} <= set(rows[0])
    assert Run.open(road / "run").read_result()["select_by"] == "action_units_f1"


def test_the_report_scores_each_unit(road: Path) -> None:
    """metrics.json, the page and predictions.csv have every unit, and agree."""
    metrics = json.loads((road / "report" / "metrics.json").read_text())["action_units"]
    assert (metrics["kind"], metrics["present_from"]) == ("intensity", 2)
    assert tuple(metrics["units"]) == UNIT_NAMES
    with (road / "report" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = Pack.open(road / "pack").split("val").annotations["action_units"]
    for column, name in enumerate(UNIT_NAMES):
        np.testing.assert_array_equal([float(row[f"{name}_true"]) for row in rows], truth[:, column])
        assert metrics["units"][name]["prevalence"] == (truth[:, column] >= 2).mean()
    page = (road / "report" / "report.html").read_text("utf-8")
    assert '<section id="action_units">' in page
    assert page.count("lip corner puller") == 1


def test_predictions_have_the_units(road: Path) -> None:
    """CSV columns, the JSON object and the Python result hold the same intensities, within the scale."""
    with (road / "rows.csv").open(newline="") as file:
        flat = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    lines = [json.loads(line) for line in (road / "rows.jsonl").read_text().splitlines()]
    nested = [line["action_units"] for line in lines if line["status"] == "ok"]
    assert [{name: float(row[name]) for name in UNIT_NAMES} for row in flat] == nested
    assert all(0 <= value <= 5 for units in nested for value in units.values())
    assert all("action_units" not in line for line in lines if line["status"] != "ok")
    face = mien.load(road / "model.onnx").predict(flat[0]["source"], cropped=True)[0]
    assert face.action_units == pytest.approx(nested[0], abs=1e-6)
    assert face.to_numpy()["action_units"].shape == (len(UNIT_NAMES),)
