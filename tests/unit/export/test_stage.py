"""From a run to a model file."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs the train extra")

import onnx
import timm
import torch
from safetensors.torch import load_file, save_file

from mien.artifacts import file_sha256, read_json, write_json
from mien.errors import ArtifactError, ModelError
from mien.export.graph import CalibratedNetwork, check_against_torch
from mien.export.stage import export, warn_of_limit, without_folders
from mien.faces.quality import QUALITY
from mien.formats.model_file import read_model_file
from mien.formats.onnx_model import OnnxModel
from mien.formats.run import Run
from mien.metrics.calibration import fit_temperature
from mien.nets.checkpoint import load_network
from mien.recipe import DataConfig, LossConfig, ModelConfig, Recipe, ScheduleConfig, recipe_from_dict
from mien.train import train


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of one export, and what it printed meanwhile."""
    noise = io.StringIO()
    out = tmp_path_factory.mktemp("models") / "deeper" / "model.onnx"
    with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
        summary = export(trained_run, out, license="CC0")
    return summary, noise.getvalue()


@pytest.fixture
def copied_run(trained_run: Path, tmp_path: Path) -> Path:
    """A run that a test may damage."""
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def test_export_prints_nothing(exported: Any) -> None:
    """Torch's progress lines and warnings do not reach the user."""
    assert exported[1] == ""


def test_the_metadata_is_complete(exported: Any, trained_run: Path) -> None:
    """The file includes classes, crop, tasks, calibration, origin and how the checkpoint was selected."""
    run, result = Run.open(trained_run), Run.open(trained_run).read_result()
    info = OnnxModel.load(exported[0].out).info
    assert info == exported[0].info
    assert (info.classes, info.crop, info.input_size) == (run.classes, run.crop, 32)
    assert info.tasks == ("expression", "landmarks", "valence_arousal")
    assert info.license == "CC0"
    training = info.training
    assert training["backbone"] == "mobilenetv3_small_050"
    assert training["pack"]["content_sha256"] == run.pack["content_sha256"]
    assert training["dev"] == result["dev"]
    assert training["recipe"]["schedule"] == run.recipe["schedule"]
    assert f"epoch {result['best_epoch']}" in training["selection"]
    assert "dev split of train" in training["selection"]
    assert training["pack"]["terms"] == {"test": "unknown"}
    assert "terms of use of the training data, the strictest first: unknown [test]" in str(exported[0])


MODELS = {
    "stem stride": {"stem_stride": 1},
    "hidden layer": {"head_hidden_size": 16},
    "fed landmarks": {"condition_on_landmarks": True},
    "all of them": {"stem_stride": 1, "head_hidden_size": 16, "condition_on_landmarks": True},
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "all of them")) for name in MODELS],
)
def test_a_trained_network_of_each_kind_is_exported(
    name: str, training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """The file's outputs equal torch's with the run's selected weights, here a moving average."""
    recipe = replace(
        tiny_recipe,
        model=replace(tiny_recipe.model, **MODELS[name]),
        schedule=replace(tiny_recipe.schedule, epochs=1, learning_rate=0.02, ema_decay=0.5),
    )
    train(recipe, [training_pack], tmp_path / "run")
    run = Run.open(tmp_path / "run")
    summary = export(run.path, tmp_path / "model.onnx")
    assert summary.largest_difference < 1e-3
    model = OnnxModel.load(tmp_path / "model.onnx")
    assert model.info.training["recipe"]["model"] == run.recipe["model"]
    network = load_network(run)
    chosen = load_file(run.best_weights_path)
    assert all(torch.equal(value, chosen[key]) for key, value in network.state_dict().items())
    crops = np.concatenate(
        [
            run.read_dev_outputs().crops[:4],
            np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
        ]
    )
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops))
    outputs, features = model.run_with_features(crops)
    head = network.get_submodule("expression_head")
    with torch.inference_mode():
        np.testing.assert_allclose(head(torch.from_numpy(features)), expected["expression"], atol=1e-3)
    probabilities = (expected["expression"] / model.info.temperature).softmax(dim=1)
    # After one epoch the calibrated probabilities are almost equal, so they are compared more closely.
    np.testing.assert_allclose(outputs["expression"], probabilities.numpy(), atol=1e-5)
    np.testing.assert_allclose(outputs["landmarks"], expected["landmarks"].numpy(), atol=1e-3)
    np.testing.assert_allclose(outputs["valence_arousal"], expected["valence_arousal"].numpy(), atol=1e-3)
    assert np.ptp(outputs["landmarks"], axis=0).max() > 1e-3
    assert np.ptp(outputs["expression"], axis=0).max() > 1e-4


def test_the_recipe_in_the_file_names_no_folders() -> None:
    """Paths in a recipe are reduced to their last part; nothing else changes."""
    recipe = Recipe(
        ModelConfig(weights="/home/somebody/first.safetensors"),
        DataConfig(packs=["/home/somebody/a.pack", "b.pack"], keep_out=["/home/somebody/test_set"]),
        ScheduleConfig(loss=LossConfig(teacher="/home/somebody/runs/teacher")),
    )
    reduced = recipe_from_dict(without_folders(asdict(recipe)))
    assert reduced == Recipe(
        ModelConfig(weights="first.safetensors"),
        DataConfig(packs=["a.pack", "b.pack"], keep_out=["test_set"]),
        ScheduleConfig(loss=LossConfig(teacher="teacher")),
    )
    assert without_folders(asdict(Recipe())) == asdict(Recipe())


@pytest.mark.parametrize(
    ("scale", "warning"),
    [(0.0, "The temperature is the highest, 50"), (1.0, ""), (1e4, "The temperature is the lowest")],
)
def test_a_temperature_at_its_limit_is_warned_of(
    scale: float, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a network that is wrong more often than by chance, and of one without mistakes on the dev faces."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 60)
    logits = random.normal(size=(60, 3)) + np.eye(3)[labels] * (scale if scale else -2)
    warn_of_limit(fit_temperature(logits, labels), len(labels))
    assert caplog.text.count("temperature") == bool(warning)
    assert warning in caplog.text


def test_the_temperature_is_the_dev_splits(exported: Any, trained_run: Path) -> None:
    """It is the one that calibrates the dev split best."""
    dev = Run.open(trained_run).read_dev_outputs()
    assert exported[0].info.temperature == pytest.approx(fit_temperature(dev.logits, dev.labels))


def test_the_temperature_has_the_least_cross_entropy(trained_run: Path) -> None:
    """SciPy's minimizer finds the same temperature."""
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy comes with the development tools")
    dev = Run.open(trained_run).read_dev_outputs()
    logits, labels = torch.from_numpy(dev.logits).double(), torch.from_numpy(dev.labels)

    def cross_entropy(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_temperature), labels))

    best = optimize.minimize_scalar(
        cross_entropy, bounds=(-3.9, 3.9), method="bounded", options={"xatol": 1e-8}
    )
    assert fit_temperature(dev.logits, dev.labels) == pytest.approx(np.exp(best.x), rel=1e-4)


def test_the_file_agrees_with_the_dev_outputs(exported: Any, trained_run: Path) -> None:
    """On the run's own crops the file returns the softmax of the run's logits at the temperature."""
    dev = Run.open(trained_run).read_dev_outputs()
    n = len(dev.crops)
    expected = torch.from_numpy(dev.logits[:n] / exported[0].info.temperature).softmax(dim=1).numpy()
    np.testing.assert_allclose(
        OnnxModel.load(exported[0].out).run(dev.crops)["expression"], expected, atol=2e-4
    )


def test_no_path_of_this_machine_is_in_the_file(exported: Any, training_pack: Path) -> None:
    """Torch records source lines with every node; the file reveals nothing about the author's disk."""
    content = exported[0].out.read_bytes()
    for path in (
        Path(timm.__file__).parent.parent,
        Path(__file__).parents[3],
        training_pack.parent,
        Path.home(),
    ):
        assert str(path).encode() not in content or path == Path("/")
    assert b"site-packages" not in content
    for node in onnx.load(exported[0].out).graph.node:
        assert not node.metadata_props
        assert not node.doc_string


def test_the_summary_describes_the_file(exported: Any) -> None:
    """The text names hash, size and agreement."""
    summary = exported[0]
    text = str(summary)
    assert file_sha256(summary.out) in text
    assert f"{summary.out.stat().st_size / 1e6:.2f} MB" in text
    assert summary.largest_difference < 1e-3
    assert not list(summary.out.parent.glob("*partial*"))


def test_damage_is_detected_by_the_hash(exported: Any, tmp_path: Path) -> None:
    """Damage in transit is detected, wherever it is."""
    content = exported[0].out.read_bytes()
    assert read_model_file(exported[0].out).sha256 is not None
    for bit in np.random.default_rng(0).integers(0, 8 * len(content), 20).tolist():
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "model.onnx").write_bytes(changed)
        with pytest.raises(ArtifactError) as caught:
            OnnxModel.load(tmp_path / "model.onnx")
        assert "\n" not in str(caught.value)


def test_an_existing_file_is_not_overwritten(exported: Any, trained_run: Path) -> None:
    """OUT is not touched without --force, and the error comes before any work."""
    before = exported[0].out.read_bytes()
    with pytest.raises(ArtifactError, match=r"already exists.*--force"):
        export(trained_run, exported[0].out)
    assert exported[0].out.read_bytes() == before


def damage_result(run: Path) -> None:
    (run / "result.json").unlink()


def damage_weights(run: Path) -> None:
    path = run / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def change_run_json(run: Path, change: Callable[[dict], object]) -> None:
    """Change run.json and update its hash."""
    result = Run.open(run).read_result()
    value = read_json(run / "run.json", what="run")
    change(value)
    write_json(run / "run.json", value)
    Run.open(run).write_result(result)


def change_backbone(run: Path) -> None:
    change_run_json(run, lambda value: value["recipe"]["model"].update(backbone="mobilenetv3_small_075"))


def drop_keys(run: Path) -> None:
    change_run_json(run, lambda value: value["recipe"]["schedule"].pop("loss"))


def drop_dev(run: Path) -> None:
    (run / "dev.npz").unlink()


def damage_recorded_weights(run: Path) -> None:
    damage_weights(run)
    Run.open(run).write_result(Run.open(run).read_result())


def replace_weights(run: Path) -> None:
    """Weights of the same shapes."""
    path = run / "checkpoints" / "best.safetensors"
    save_file({name: value.clone() + 1 for name, value in load_file(path).items()}, path)


def replace_dev(run: Path) -> None:
    with np.load(run / "dev.npz") as values:
        arrays = dict(values)
    np.savez_compressed(run / "dev.npz", **arrays | {"logits": arrays["logits"] * 2})


def swap_classes(run: Path) -> None:
    value = read_json(run / "run.json", what="run")
    write_json(run / "run.json", value | {"classes": value["classes"][::-1]})


def raise_accuracy(run: Path) -> None:
    value = read_json(run / "result.json", what="run")
    value["dev"]["accuracy"] = 0.99
    write_json(run / "result.json", value)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(damage_result, "has not finished", id="unfinished"),
        pytest.param(damage_weights, r"best\.safetensors has changed since it was written", id="weights"),
        pytest.param(damage_recorded_weights, r"best\.safetensors cannot be loaded", id="recorded weights"),
        pytest.param(replace_weights, r"best\.safetensors has changed since", id="another run's weights"),
        pytest.param(replace_dev, r"dev\.npz has changed since it was written", id="another run's dev"),
        pytest.param(swap_classes, r"run\.json has changed since it was written", id="run.json"),
        pytest.param(raise_accuracy, r"result\.json is damaged: its `result_sha256`", id="result.json"),
        pytest.param(change_backbone, r"best\.safetensors cannot be loaded", id="another backbone"),
        pytest.param(drop_keys, r"run: The recipe of the run is from another release", id="another release"),
        pytest.param(drop_dev, r"dev\.npz cannot be read", id="dev outputs"),
    ],
)
def test_a_run_that_cannot_be_exported(
    copied_run: Path, tmp_path: Path, damage: Callable[[Path], None], expected: str
) -> None:
    """Each gives a one-line message, and nothing is written."""
    damage(copied_run)
    with pytest.raises(ArtifactError, match=expected) as caught:
        export(copied_run, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.onnx"))


def test_a_missing_run_and_a_wrong_name(trained_run: Path, tmp_path: Path) -> None:
    """A missing run and a wrong suffix are rejected."""
    with pytest.raises(ArtifactError, match="does not exist"):
        export(tmp_path / "nope", tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match=r"must end in \.onnx, got 'model\.pt'"):
        export(trained_run, tmp_path / "model.pt")


def test_a_quality_rule_is_written_into_the_file(trained_run: Path, tmp_path: Path) -> None:
    """And one that is none is refused before the export."""
    rule = {part: QUALITY[part] for part in ("limits", "right_answers")}
    path, out = tmp_path / "rule.json", tmp_path / "model.onnx"
    path.write_text(json.dumps({"limits": rule["limits"]}))
    with pytest.raises(
        ArtifactError, match=r"rule\.json is no quality rule: `right_answers` must have too small"
    ):
        export(trained_run, out, quality_rule=path)
    path.write_text(json.dumps(rule))
    export(trained_run, out, quality_rule=path)
    assert OnnxModel.load(out).info.quality_rule == rule


class _Constant(torch.nn.Module):
    """Returns the same outputs for every face."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features

    tasks = ("expression", "landmarks", "valence_arousal")

    def forward_with_features(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        zeros = torch.zeros(len(images), 3)
        outputs = {
            "expression": zeros,
            "landmarks": torch.zeros(len(images), 68, 2),
            "valence_arousal": zeros[:, :2],
        }
        return outputs, torch.zeros(len(images), self.n_features)


def test_a_file_that_computes_something_else_is_rejected(exported: Any, trained_run: Path) -> None:
    """The check on real crops detects a file of another network."""
    crops = Run.open(trained_run).read_dev_outputs().crops[:4]
    model = OnnxModel.load(exported[0].out)
    with pytest.raises(ModelError, match="differs from torch"):
        check_against_torch(model, CalibratedNetwork(_Constant(model.n_features), 1.0), crops)


def test_the_file_needs_no_torch(exported: Any) -> None:
    """The file needs only onnxruntime and numpy."""
    program = f"""
import sys
sys.modules.update(dict.fromkeys(("torch", "timm", "lightning", "onnx", "yaml")))
from pathlib import Path
import numpy as np
from mien.formats.onnx_model import OnnxModel
model = OnnxModel.load(Path({str(exported[0].out)!r}), threads=1)
print(model.run(np.zeros((2, 32, 32, 3), np.uint8))["expression"].shape)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(2, 3)", done.stderr
