"""From a run to an int8 file, and the check that rejects one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs the train extra")

import onnx
from safetensors.torch import load_file, save_file

from mien.cli import main
from mien.errors import ArtifactError, ModelError
from mien.export.calibration_faces import choose_calibration, dev_faces, open_train_splits
from mien.export.int8_check import FileScores, Int8Check, score_files
from mien.export.options import Int8Options
from mien.export.stage import export
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.selection import FaceSelection, read_batches
from mien.formats.run import Run
from mien.metrics.landmarks import nme_per_face
from mien.recipe import Recipe
from mien.train import train


@pytest.fixture(scope="module")
def relu_run(training_pack: Path, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small ResNet."""
    recipe = replace(
        tiny_recipe,
        model=replace(tiny_recipe.model, backbone="test_resnet"),
        schedule=replace(tiny_recipe.schedule, epochs=8),
    )
    out = tmp_path_factory.mktemp("runs") / "run"
    train(recipe, [training_pack], out)
    return out


@pytest.fixture(scope="module")
def exported(relu_run: Path, training_pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of an int8 export and of a float one."""
    folder = tmp_path_factory.mktemp("models")
    return (
        export(relu_run, folder / "int8.onnx", int8=Int8Options((training_pack,))),
        export(relu_run, folder / "float.onnx"),
    )


def dev_crops(run: Path, pack: Path) -> np.ndarray:
    opened = Run.open(run)
    faces = dev_faces(opened, opened.read_dev_outputs(), (Pack.open(pack).split("train"),))
    return next(read_batches(faces, size=32, batch_size=len(faces)))


def test_the_int8_file_agrees_with_the_float_file(exported: Any, relu_run: Path, training_pack: Path) -> None:
    """Same input, same outputs, up to quantization error."""
    int8, as_float = (OnnxModel.load(summary.out) for summary in exported)
    crops = dev_crops(relu_run, training_pack)
    found, expected = int8.run(crops), as_float.run(crops)
    np.testing.assert_allclose(found["expression"], expected["expression"], atol=0.25)
    np.testing.assert_allclose(found["landmarks"], expected["landmarks"], atol=0.1)
    np.testing.assert_allclose(found["expression"].sum(axis=1), 1, atol=1e-5)
    assert np.abs(found["expression"] - expected["expression"]).max() > 0


def test_the_weights_are_7_bit_integers_and_the_heads_are_float(exported: Any) -> None:
    """Every convolution has int8 weights within 64, one scale per channel; the heads' matrices are as torch wrote them."""
    model = onnx.load(exported[0].out)
    values = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
    by_output = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    for node in convolutions:
        dequantize = by_output[node.input[1]]
        weights, scales = values[dequantize.input[0]], values[dequantize.input[1]]
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max() <= 64
        assert scales.shape == (len(weights),)
    assert len(convolutions) >= 5
    for head in ("expression_head", "landmark_head", "affect_head"):
        assert values[f"network.{head}.weight"].dtype == np.float32
    assert all(
        node.op_type != "DequantizeLinear" for node in model.graph.node if "head" in "".join(node.input)
    )
    assert exported[0].n_bytes < exported[1].n_bytes


def test_the_metadata_records_calibration_and_scores(
    exported: Any, relu_run: Path, training_pack: Path
) -> None:
    """The scores in the file are those of both files on the dev split; all other metadata is the float file's."""
    summary, as_float = exported
    info = OnnxModel.load(summary.out).info
    assert replace(info, quantization=None) == OnnxModel.load(as_float.out).info
    made = info.quantization
    assert made is not None
    assert made["float_layers"] == []
    n_dev = Run.open(relu_run).read_result()["dev"]["n"]
    assert made["calibration"] == {"n": 192 - n_dev, "seed": 0}
    gate, dev = made["gate"], Run.open(relu_run).read_dev_outputs()
    crops = dev_crops(relu_run, training_pack)
    landmarks = Pack.open(training_pack).split("train").landmarks[dev.rows]
    predicted = {}
    for name, path in (("int8", summary.out), ("float", as_float.out)):
        outputs = OnnxModel.load(path).run(crops)
        predicted[name] = outputs["expression"].argmax(axis=1)
        assert gate[name]["accuracy"] == pytest.approx((predicted[name] == dev.labels).mean())
        assert gate[name]["nme"] == pytest.approx(
            np.nanmean(nme_per_face(landmarks, outputs["landmarks"])), rel=1e-3
        )
    assert gate["agreement"] == (predicted["int8"] == predicted["float"]).mean()
    assert gate["n"] == n_dev
    assert gate["n_landmarks"] == np.isfinite(landmarks[:, 0, 0]).sum()


def test_the_summary_has_both_columns(exported: Any) -> None:
    """Sizes, n and a row per metric are printed for an int8 file only."""
    text = str(exported[0])
    assert f"{exported[1].n_bytes / 1e6:.2f} -> {exported[0].n_bytes / 1e6:.2f} MB" in text
    check = exported[0].int8
    assert f"dev split, n = {check.n}" in text
    assert f"{100 * check.int8_scores.accuracy:.2f}%" in text
    assert all(row in text for row in ("macro-F1", "ECE", "landmark error", "agreement"))
    assert "int8" not in str(exported[1])


def test_a_float_file_says_nothing_of_quantization(exported: Any) -> None:
    """Only an int8 file has the key."""
    text = exported[1].info.to_json()
    assert "quantization" not in text
    assert ModelInfo.from_json(text, where="here") == exported[1].info


def test_layers_can_stay_in_float(relu_run: Path, training_pack: Path, tmp_path: Path) -> None:
    """A name includes every layer below it; their weights stay in float, and the metadata lists them."""
    options = Int8Options((training_pack,), ("backbone.layer1",))
    summary = export(relu_run, tmp_path / "model.onnx", int8=options)
    made = summary.info.quantization
    assert made is not None
    assert made["float_layers"]
    assert all(name.startswith("backbone.layer1.") for name in made["float_layers"])
    values = {entry.name: entry.data_type for entry in onnx.load(summary.out).graph.initializer}
    for name in made["float_layers"]:
        assert values[f"network.{name}.weight"] == onnx.TensorProto.FLOAT
    assert made["float_layers"][0] in str(summary)


def test_an_unknown_layer(relu_run: Path, training_pack: Path, tmp_path: Path) -> None:
    """The message for a typo suggests similar names."""
    with pytest.raises(ModelError, match=r"no layer 'backbone\.conv2'.*backbone\.conv1"):
        export(relu_run, tmp_path / "m.onnx", int8=Int8Options((training_pack,), ("backbone.conv2",)))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def broken_run(relu_run: Path, tmp_path: Path) -> Path:
    """The same function in float, but half of the channels between two convolutions are 3000 times larger.

    A tensor has one scale for all its channels, so 8 bits leave nothing of the other half, and nothing of the weights
    that read this one.
    """
    run = Path(shutil.copytree(relu_run, tmp_path / "run"))
    weights = load_file(Run.open(run).best_weights_path)
    for part in ("weight", "bias"):
        weights[f"backbone.conv1.1.{part}"][::2] *= 3000
    weights["backbone.conv1.3.weight"][:, ::2] /= 3000
    save_file(weights, Run.open(run).best_weights_path)
    record_hashes(run)
    return run


def record_hashes(run: Path) -> None:
    """Update the recorded hashes of a changed run."""
    Run.open(run).write_result(Run.open(run).read_result())


def test_a_bad_int8_file_is_rejected_and_the_advice_helps(
    broken_run: Path, training_pack: Path, tmp_path: Path
) -> None:
    """A file that loses too much is not written; with the layers named in the message it passes."""
    out = tmp_path / "model.onnx"
    with pytest.raises(ModelError, match="int8 loses too much on the dev split") as caught:
        export(broken_run, out, int8=Int8Options((training_pack,)))
    message = str(caught.value)
    assert "\n" not in message
    assert not list(tmp_path.glob("*.onnx"))
    named = message.split("--float-layers ")[1].split()
    assert {"backbone.conv1.0", "backbone.conv1.3"} & set(named)
    summary = export(broken_run, out, int8=Int8Options((training_pack,), tuple(named)))
    assert summary.int8 is not None
    assert summary.int8.passes


def test_calibration_faces_are_balanced_and_exclude_dev(
    make_training_pack: Callable[..., Path], relu_run: Path, tmp_path: Path
) -> None:
    """Near-duplicates of dev and val faces are excluded too; classes are balanced; the seed decides."""
    groups = np.arange(216)
    groups[:3] = groups[-3:]  # three training faces duplicate val faces
    pack = make_training_pack(tmp_path / "pack", groups=groups)
    run = Run.open(relu_run)
    dev = replace(dev_faces(run, run.read_dev_outputs(), open_train_splits(run, [pack])))
    chosen = choose_calibration(run, dev, n_faces=30, seed=1)
    assert np.bincount(chosen.labels).tolist() == [10, 10, 10]
    assert len(set(chosen.rows.tolist())) == 30
    everything = choose_calibration(run, dev, n_faces=1000, seed=1)
    assert set(everything.rows.tolist()) == set(range(3, 192)) - set(dev.rows.tolist())
    assert (everything.labels == everything.rows % 3).all()
    again, other = (choose_calibration(run, dev, n_faces=30, seed=seed) for seed in (1, 2))
    assert (again.rows == chosen.rows).all()
    assert set(other.rows.tolist()) != set(chosen.rows.tolist())


def test_calibration_excludes_leaks_over_all_packs(
    make_training_pack: Callable[..., Path], relu_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A near-duplicate in another pack's val, or of another pack's dev face, is excluded, as in training."""
    # The crops of the tests' packs are alike; the hashes decide.
    blank = np.zeros((36, 32, 32), np.uint8)
    monkeypatch.setattr(PackSplit, "read_thumbnails", lambda split: blank[: len(split)])
    one, other = np.random.default_rng(0).integers(0, 256, (2, 36, 32), dtype=np.uint8)
    other[33] = one[4]  # in val of the second pack
    one[11] = other[20]  # a dev face of the second pack
    packs = [
        Pack.open(make_training_pack(tmp_path / name, n_train=30, n_val=6, hashes=hashes))
        for name, hashes in (("a.pack", one), ("b.pack", other))
    ]
    splits = tuple(pack.split("train") for pack in packs)
    dev = FaceSelection(splits, np.array([0, 1]), np.array([0, 20]), np.array([0, 2]))
    chosen = choose_calibration(Run.open(relu_run), dev, n_faces=1000, seed=1)
    assert set(chosen.rows[chosen.pack_numbers == 0].tolist()) == set(range(30)) - {0, 4, 11}
    assert set(chosen.rows[chosen.pack_numbers == 1].tolist()) == set(range(30)) - {20}
    assert (chosen.labels == chosen.rows % 3).all()


def test_another_pack_is_rejected(
    make_training_pack: Callable[..., Path], relu_run: Path, training_pack: Path, tmp_path: Path
) -> None:
    """A pack with other content, or none, is rejected before any work."""
    other = make_training_pack(tmp_path / "other.pack", n_train=96)
    with pytest.raises(ArtifactError, match=r"was not trained on pack .*other\.pack"):
        export(relu_run, tmp_path / "model.onnx", int8=Int8Options((other,)))
    with pytest.raises(ArtifactError, match=r"was trained on 1 packs, got 0"):
        export(relu_run, tmp_path / "model.onnx", int8=Int8Options(()))


def test_a_run_that_does_not_record_its_dev_faces(
    relu_run: Path, training_pack: Path, tmp_path: Path
) -> None:
    """Runs of an earlier release are rejected, and the message says why."""
    run = Path(shutil.copytree(relu_run, tmp_path / "run"))
    dev = Run.open(run).read_dev_outputs()
    np.savez(run / "dev.npz", logits=dev.logits, labels=dev.labels, crops=dev.crops)
    record_hashes(run)
    with pytest.raises(ArtifactError, match="does not record which faces"):
        export(run, tmp_path / "model.onnx", int8=Int8Options((training_pack,)))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--int8"], id="no pack"),
        pytest.param(["--calibrate", "p"], id="no int8"),
        pytest.param(["--float-layers", "a"], id="layers of a float file"),
    ],
)
def test_options_that_need_each_other(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a usage error, and the message names the missing option."""
    with pytest.raises(SystemExit) as ended:
        main(["export", "run", "--out", "m.onnx", *options])
    assert ended.value.code == 2
    assert "--int8" in capsys.readouterr().err


def test_the_command_exports(relu_run: Path, training_pack: Path, tmp_path: Path, capsys: Any) -> None:
    """The options reach the stage."""
    arguments = [
        "export",
        str(relu_run),
        "--out",
        str(tmp_path / "m.onnx"),
        "--int8",
        "--calibrate",
        str(training_pack),
    ]
    assert main([*arguments, "--float-layers", "backbone.conv1"]) == 0
    assert "in float: the heads, backbone.conv1" in capsys.readouterr().out


def test_the_limits_of_the_check() -> None:
    """An agreement of 98% and a loss of half a point pass, worse does not; a gain is not a loss."""
    scores = FileScores(0.8, 0.5, 0.03, {"nme": None})
    result = Int8Check(1000, {"landmarks": 0}, 0.98, scores, replace(scores, accuracy=0.795))
    assert result.passes
    assert not replace(result, agreement=0.979).passes
    assert not replace(result, int8_scores=replace(scores, accuracy=0.794)).passes
    assert replace(result, int8_scores=replace(scores, accuracy=0.9)).passes
    assert "landmark error" not in result.table()


def test_scores_of_known_predictions() -> None:
    """Four faces counted by hand."""
    labels = np.array([0, 0, 1, 1])
    landmarks = np.full((4, 68, 2), np.nan, np.float32)
    before = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    after = before[[0, 1, 2, 2]]
    result = score_files(
        {"expression": before}, {"expression": after}, labels=labels, truth={"landmarks": landmarks}
    )
    assert (result.n, result.n_labeled, result.agreement) == (4, {"landmarks": 0}, 0.75)
    assert (result.float_scores.accuracy, result.int8_scores.accuracy) == (0.75, 1.0)
    assert result.float_scores.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert result.int8_scores.ece == pytest.approx((0.1 + 0.2 + 0.3 + 0.3) / 4)
    assert result.float_scores.tasks == {"nme": None}
