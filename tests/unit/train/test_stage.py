"""The run folder that training writes, and its errors. tests/end_to_end trains from the command line."""

import csv
import errno
import itertools
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from safetensors.torch import load_file

from mien import artifacts
from mien.artifacts import one_writer
from mien.cli.output import log_to_stderr
from mien.errors import ArtifactError, DatasetError, MienError, ModelError, RecipeError
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.recipe import LossConfig, Recipe, format_recipe, read_recipe
from mien.train import stage, train
from mien.train.dataset import read_training_faces
from mien.train.dry_run.plan import plan_training
from mien.train.preflight import warn_of_stacked_rebalancing, warn_of_untrained_classes
from mien.train.stage import warn_of_a_constant_network


def quick(recipe: Recipe, **schedule: Any) -> Recipe:
    """The recipe for one epoch, with other values of its schedule."""
    return replace(recipe, schedule=replace(recipe.schedule, **{"epochs": 1, **schedule}))


def rows_of(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_it_learns(trained_run: Path) -> None:
    """The loss falls, and the dev faces are classified far better than by chance."""
    rows = rows_of(trained_run)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["train_expression"] < 0.8 * rows[0]["train_expression"]
    assert rows[-1]["train_landmarks"] < rows[0]["train_landmarks"]
    assert Run.open(trained_run).read_result()["dev"]["balanced_accuracy"] > 0.6


def test_the_run_folder_is_complete(trained_run: Path) -> None:
    """Every documented file is there, and no partial ones."""
    files = {path.relative_to(trained_run).as_posix() for path in trained_run.rglob("*") if path.is_file()}
    events = {name for name in files if name.startswith("tensorboard/events")}
    assert files - events - {"tensorboard/hparams.yaml"} == {
        "run.json", "recipe.yaml", "provenance.json", "metrics.csv", "curves.png", "dev.npz", "result.json",
        "checkpoints/last.ckpt", "checkpoints/best.safetensors",
    }  # fmt: skip
    assert events
    assert (trained_run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_has_losses_scores_and_rate(trained_run: Path) -> None:
    """The same numbers as in metrics.csv, one point per epoch."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(trained_run / "tensorboard")).Reload()
    rows = rows_of(trained_run)
    for tag, column in (
        ("train/total", "train_total"),
        ("train/landmarks", "train_landmarks"),
        ("dev/accuracy", "dev_accuracy"),
        ("learning_rate", "learning_rate"),
    ):
        values = [event.value for event in events.Scalars(tag)]
        assert values == pytest.approx([row[column] for row in rows], rel=1e-4, abs=1e-9)


def test_the_recipe_of_a_run_reads_back(trained_run: Path, tiny_recipe: Recipe) -> None:
    """recipe.yaml is the resolved recipe."""
    assert read_recipe(trained_run / "recipe.yaml", []) == tiny_recipe


def test_provenance_has_the_training_data(trained_run: Path, training_pack: Path) -> None:
    """The run has seed, pack and split sizes."""
    pack = json.loads((training_pack / "pack.json").read_text())
    value = json.loads((trained_run / "provenance.json").read_text())
    assert value["seed"] == 0
    assert value["pack"]["content_sha256"] == pack["content_sha256"]
    assert value["pack"]["n_train"] + value["pack"]["n_dev"] == 192


def test_the_best_epoch_is_the_best(trained_run: Path) -> None:
    """The selected epoch is the first with the highest dev score, and its scores are those in metrics.csv."""
    result = Run.open(trained_run).read_result()
    rows = rows_of(trained_run)
    scores = [row["dev_balanced_accuracy"] for row in rows]
    assert result["best_epoch"] == 1 + scores.index(max(scores))
    best = rows[result["best_epoch"] - 1]
    assert result["dev"].pop("n") == 39
    assert result["dev"] == pytest.approx({name: best[f"dev_{name}"] for name in result["dev"]}, rel=1e-4)


def test_dev_outputs_are_the_selected_networks(trained_run: Path) -> None:
    """The stored logits have the result's scores, on crops of the network's size."""
    run = Run.open(trained_run)
    dev = run.read_dev_outputs()
    assert dev.logits.shape == (39, 3)
    assert dev.crops.shape == (39, 32, 32, 3)
    accuracy = (dev.logits.argmax(axis=1) == dev.labels).mean()
    assert accuracy == pytest.approx(run.read_result()["dev"]["accuracy"])


def test_the_weights_can_be_read_by_others(trained_run: Path) -> None:
    """The selected weights have the permissions of any new file."""
    assert (trained_run / "checkpoints" / "best.safetensors").stat().st_mode == (
        trained_run / "run.json"
    ).stat().st_mode


def test_an_existing_run_is_not_overwritten(
    trained_run: Path, training_pack: Path, tiny_recipe: Recipe
) -> None:
    """OUT stays as it is without --force."""
    before = (trained_run / "metrics.csv").read_bytes()
    with pytest.raises(ArtifactError, match=r"already exists.*--force"):
        train(tiny_recipe, [training_pack], trained_run)
    assert (trained_run / "metrics.csv").read_bytes() == before


def test_force_replaces_only_runs(
    unfinished: Path, training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """A run is replaced; any other folder, whatever it holds, is not touched."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "me.jpg").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"holds no run\.json"):
        train(quick(tiny_recipe), [training_pack], photographs, force=True)
    assert (photographs / "me.jpg").read_bytes() == b"x"
    train(quick(tiny_recipe), [training_pack], unfinished, force=True)
    assert len(rows_of(unfinished)) == 1


def test_the_earlier_run_stays_until_the_new_one_is_finished(
    trained_run: Path,
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A new one that fails at once restores it; one that has started keeps it aside."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    aside, before = tmp_path / "run.replaced", (run / "result.json").read_bytes()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "fit", stop)
        caplog.set_level(logging.INFO)
        with pytest.raises(KeyboardInterrupt):
            train(quick(tiny_recipe), [training_pack], run, force=True)
    assert (run / "result.json").read_bytes() == before
    assert "run.replaced keeps the earlier run until this one is finished" in caplog.text
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(stage, "finish_run", stop)
            with pytest.raises(KeyboardInterrupt):
                train(quick(tiny_recipe), [training_pack], run, force=True)
        assert (aside / "result.json").read_bytes() == before
        assert not (run / "result.json").exists()
    train(quick(tiny_recipe), [training_pack], run, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert len(rows_of(run)) == 1


def test_a_run_has_one_writer(training_pack: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """The second gets an error, and writes nothing."""
    with (
        one_writer(tmp_path / "run"),
        pytest.raises(ArtifactError, match="run is being written by this process"),
    ):
        train(quick(tiny_recipe), [training_pack], tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_error(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file does not fit, it is one clear error, and the run can be resumed."""
    sync_file, run = artifacts._sync_file, tmp_path / "run"
    names = ("run.json", "recipe.yaml", "best.safetensors", "dev.npz", "result.json")
    for name in names:

        def refuse(path: Path, name: str = name) -> None:
            if path.name.startswith(name):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync_file(path)

        with monkeypatch.context() as patched:
            patched.setattr(artifacts, "_sync_file", refuse)
            with pytest.raises(ArtifactError, match=r"The disk is full while writing .*add --resume"):
                train(quick(tiny_recipe), [training_pack], run, resume=name != names[0])
    train(quick(tiny_recipe), [training_pack], run, resume=True)
    assert Run.open(run).read_result()["epochs"] == 1


def test_a_folder_that_vanishes_is_one_error(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """If the run is removed while it trains, there is one clear error, and none from TensorBoard's thread."""
    append_metrics = stage.append_metrics

    def append_and_remove(path: Path, row: dict[str, float | int]) -> None:
        append_metrics(path, row)
        shutil.rmtree(tmp_path / "run")

    monkeypatch.setattr(stage, "append_metrics", append_and_remove)
    with pytest.raises(ArtifactError, match=r"run vanished while it was written: /.*"):
        train(quick(tiny_recipe, epochs=2), [training_pack], tmp_path / "run")
    assert "Traceback" not in capfd.readouterr().err


def bad_runtime(recipe: Recipe) -> Recipe:
    return replace(recipe, runtime=replace(recipe.runtime, accelerator="gpu", devices=8))


def bad_backbone(recipe: Recipe) -> Recipe:
    return replace(recipe, model=replace(recipe.model, backbone="resnt18"))


def bad_batch(recipe: Recipe) -> Recipe:
    return quick(recipe, batch_size=500)


def bad_teacher(recipe: Recipe) -> Recipe:
    return quick(recipe, loss=LossConfig(teacher="nope"))


def bad_stride(recipe: Recipe) -> Recipe:
    return replace(recipe, model=replace(recipe.model, backbone="vit_tiny_patch16_224", stem_stride=1))


@pytest.mark.parametrize(
    ("change", "kind", "expected"),
    [
        pytest.param(bad_runtime, RecipeError, "`runtime` does not suit this machine", id="runtime"),
        pytest.param(bad_backbone, ModelError, "Did you mean resnet18", id="backbone"),
        pytest.param(bad_batch, DatasetError, "`schedule.batch_size` is 500", id="batch larger than the set"),
        pytest.param(bad_teacher, ArtifactError, "nope does not exist", id="teacher"),
        pytest.param(bad_stride, ModelError, "`model.stem_stride` needs a backbone", id="stem stride"),
    ],
)
def test_a_mistake_is_found_before_the_old_run_is_gone(
    unfinished: Path,
    training_pack: Path,
    tiny_recipe: Recipe,
    change: Callable[[Recipe], Recipe],
    kind: type[MienError],
    expected: str,
) -> None:
    """With --force the old run is removed only once the new one can start."""
    if kind is RecipeError and torch.cuda.device_count() >= 8:
        pytest.skip("this machine has all that is asked for")
    before = (unfinished / "metrics.csv").read_bytes()
    with pytest.raises(kind, match=expected):
        train(change(tiny_recipe), [training_pack], unfinished, force=True)
    assert (unfinished / "metrics.csv").read_bytes() == before


SAMPLING = ("data.sampling", "inverse")
WEIGHTS = ("schedule.loss.class_weights", "effective")
ADJUSTMENT = ("schedule.loss.logit_adjustment", "0.5")


@pytest.mark.parametrize(
    "cures",
    [
        pytest.param(cures, id=" and ".join(value for _, value in cures) or "none")
        for n in range(4)
        for cures in itertools.combinations((SAMPLING, WEIGHTS, ADJUSTMENT), n)
    ],
)
def test_stacked_corrections_of_one_imbalance_are_warned_of_once(
    trained_run: Path, caplog: pytest.LogCaptureFixture, cures: tuple[tuple[str, str], ...]
) -> None:
    """One correction is fine; more are one warning that names each with its value."""
    warn_of_stacked_rebalancing(
        read_recipe(trained_run / "recipe.yaml", [f"--{key}={value}" for key, value in cures])
    )
    named = " and ".join(f"`{key}: {value}`" for key, value in cures)
    advice = "correct the same class imbalance more than once, and rare classes may be predicted too often. One of them is enough"
    assert caplog.messages == ([f"{named} {advice}"] if len(cures) > 1 else [])


def test_training_continues_after_the_warning(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "fit", lambda *_, **__: None)
    monkeypatch.setattr(stage, "finish_run", lambda *_: {})
    recipe = quick(tiny_recipe, loss=LossConfig(class_weights="effective", logit_adjustment=0.5))
    assert train(recipe, [training_pack], tmp_path / "run") is not None
    assert [message for message in caplog.messages if "more than once" in message] == caplog.messages != []


@pytest.mark.parametrize(
    ("batch_size", "step"),
    [pytest.param(16, 9, id="end of a short epoch"), pytest.param(4, 20, id="long epoch")],
)
def test_a_loss_that_explodes_is_one_error(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    batch_size: int,
    step: int,
) -> None:
    """A learning rate far too high stops within some steps, without showing a NaN loss or saving broken weights."""
    recipe = quick(
        tiny_recipe, optimizer="sgd", learning_rate=1000.0, warmup_epochs=0.0, batch_size=batch_size, epochs=2
    )
    with (
        log_to_stderr(),
        pytest.raises(ModelError, match=rf"no longer finite in epoch 1, by step {step} of") as caught,
    ):
        train(recipe, [training_pack], tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert "nan" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "resume"),
    [
        pytest.param({"learning_rate": 10.0}, False, id="not clipped"),
        pytest.param({"learning_rate": 10.0, "grad_clip_norm": 1e9}, True, id="hardly clipped"),
        pytest.param({"learning_rate": 1000.0, "grad_clip_norm": 1.0}, False, id="clipped"),
    ],
)
def test_the_advice_for_a_loss_that_explodes_helps(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, values: dict[str, float], resume: bool
) -> None:
    """With the option that the error suggests, the same command trains to the end; --resume is named if it was given."""
    recipe = quick(tiny_recipe, optimizer="sgd", warmup_epochs=0.0, **values)
    with pytest.raises(ModelError) as caught:
        train(recipe, [training_pack], tmp_path / "run", resume=resume)
    ending = " in place of --resume" if resume else ""
    advice = re.search(rf"Start over with `(--\S+ \S+)`, and with --force{ending}$", str(caught.value))
    assert advice is not None
    (tmp_path / "recipe.yaml").write_text(format_recipe(recipe))
    advised = read_recipe(tmp_path / "recipe.yaml", advice[1].split())
    assert train(advised, [training_pack], tmp_path / "run", force=True) is not None


def test_classes_without_faces_are_warned_of(
    make_training_pack: Callable[..., Path],
    tiny_recipe: Recipe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that only other splits have is not trained; one that the dev split lacks selects nothing."""
    pack = make_training_pack(
        tmp_path / "some.pack", n_train=96, stated=lambda n: {"label": 1 + n % 2 if n < 96 else n % 3}
    )
    faces = read_training_faces([Pack.open(pack)], tiny_recipe.data)
    sad = faces.classes.index("Sad")
    warn_of_untrained_classes(tiny_recipe, replace(faces, dev=faces.dev.part(faces.dev.labels != sad)))
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("No training face has the class Neutral: ")
    assert caplog.messages[0].endswith('--data.classes "[Happy, Sad]"')
    assert caplog.messages[1].startswith("No dev face has the class Sad: ")


def test_a_loss_without_weight_is_refused(training_pack: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Nothing would be trained; with the expression alone off, its head is warned of."""
    names = ("expression", "landmarks", "valence_arousal")
    loss = replace(tiny_recipe.schedule.loss, **{f"{name}_weight": 0 for name in names})
    recipe = replace(tiny_recipe, schedule=replace(tiny_recipe.schedule, loss=loss))
    with pytest.raises(
        RecipeError, match=r"^Nothing would be trained: .*expression, landmarks, valence_arousal"
    ):
        train(recipe, [training_pack], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_untrained_expression_is_warned_of(
    training_pack: Path, tiny_recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    """Its head still predicts."""
    faces = read_training_faces([Pack.open(training_pack)], tiny_recipe.data)
    loss = replace(tiny_recipe.schedule.loss, expression_weight=0)
    warn_of_untrained_classes(replace(tiny_recipe, schedule=replace(tiny_recipe.schedule, loss=loss)), faces)
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "`schedule.loss.expression_weight` is 0"
    ]


@pytest.mark.parametrize(
    ("logits", "labels", "warns"),
    [
        pytest.param([[0, 1], [0, 2]], [0, 1], True, id="one class for all"),
        pytest.param([[0, 1], [2, 0]], [0, 1], False, id="two classes"),
        pytest.param([[0, 1], [0, 2]], [1, 1], False, id="all alike"),
    ],
)
def test_a_network_that_predicts_one_class_is_warned_of(
    logits: list[list[float]], labels: list[int], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It has a dev accuracy, which looks like something learned."""
    warn_of_a_constant_network(np.array(logits), np.array(labels), ("Happy", "Sad"))
    assert ("predicts Sad for every dev face" in caplog.text) == warns


def test_phases_are_shortened_to_few_epochs(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With one epoch the frozen phase and the warm-up are shortened, with a warning, in training and in a plan."""
    recipe = quick(tiny_recipe, warmup_epochs=5.0, freeze_backbone_epochs=0.5)
    assert train(recipe, [training_pack], tmp_path / "run") is not None
    assert (
        "`schedule.freeze_backbone_epochs` 0.5 and `schedule.warmup_epochs` 5 do not fit into `schedule.epochs` 1: "
        "shortened to 0.5 and 0.25\n"
    ) in caplog.text
    kept = read_recipe(tmp_path / "run" / "recipe.yaml", [])
    assert (kept.schedule.freeze_backbone_epochs, kept.schedule.warmup_epochs) == (0.5, 0.25)
    assert plan_training(recipe, [training_pack]).recipe == kept
    assert "do not fit" in caplog.text


def test_a_pack_without_landmarks_trains(
    make_training_pack: Callable[..., Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Without labels, landmarks and valence/arousal are left out and the rest trains."""
    pack = make_training_pack(tmp_path / "bare.pack", n_missing=192)
    train(quick(tiny_recipe), [pack], tmp_path / "run")
    assert not any(name.startswith(("train_landmarks", "dev_nme")) for name in rows_of(tmp_path / "run")[0])


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_trains(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, precision: str
) -> None:
    """Half precision trains and saves full-precision weights."""
    recipe = replace(quick(tiny_recipe), runtime=replace(tiny_recipe.runtime, precision=precision))
    train(recipe, [training_pack], tmp_path / "run")
    weights = load_file(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert {value.dtype for name, value in weights.items() if name.endswith("weight")} == {torch.float32}
    assert np.isfinite(rows_of(tmp_path / "run")[0]["train_total"])


def test_sgd_deterministic_without_heads(training_pack: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """SGD, clipping, torch's deterministic mode and a network with one head train."""
    recipe = replace(
        quick(tiny_recipe, optimizer="sgd", grad_clip_norm=1.0, loss=LossConfig(label_smoothing=0.1)),
        model=replace(tiny_recipe.model, landmarks=False, valence_arousal=False),
        runtime=replace(tiny_recipe.runtime, deterministic=True),
    )
    try:
        train(recipe, [training_pack], tmp_path / "run")
    finally:
        torch.use_deterministic_algorithms(mode=False)
    assert set(Run.open(tmp_path / "run").read_result()["dev"]) == {
        "n", "loss", "accuracy", "balanced_accuracy", "macro_f1"
    }  # fmt: skip


def test_the_summary_says_how_the_checkpoint_was_selected(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary names the split and n; the progress shows each epoch's dev score."""
    with log_to_stderr():
        text = str(train(quick(tiny_recipe), [training_pack], tmp_path / "run"))
    assert "trained on 153 faces" in text
    assert "epoch 1 of 1, by balanced_accuracy on the dev split of train (n = 39)" in text
    assert f"run: {tmp_path / 'run'}" in text
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Epoch 1/1: 9 of 9 steps (100%)" in captured.err
    assert "dev balanced_accuracy 0." in captured.err
    assert len(captured.err.splitlines()) == 1


def test_recipe_text_of_a_run_is_what_print_config_prints(trained_run: Path, tiny_recipe: Recipe) -> None:
    """The same recipe gives the same text."""
    assert (trained_run / "recipe.yaml").read_text() == format_recipe(tiny_recipe)
