"""`mien train --plan`: it says what training does, and writes nothing."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.cli import main
from mien.errors import DatasetError, MienError, ModelError
from mien.formats.pack import Pack
from mien.nets import network as network_module
from mien.recipe import Recipe, format_recipe, read_recipe
from mien.train import train, weights
from mien.train.dataset import read_training_faces
from mien.train.dry_run.plan import TrainingPlan, plan_training
from mien.train.sampler import EpochBatches, build_order


def change(recipe: Recipe, part: str, **values: Any) -> Recipe:
    return replace(recipe, **{part: replace(getattr(recipe, part), **values)})


@pytest.fixture(scope="module")
def plan(training_pack: Path, tiny_recipe: Recipe) -> TrainingPlan:
    """The plan of the tiny recipe."""
    return plan_training(tiny_recipe, [training_pack])


@pytest.fixture
def recipe_file(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe as a file, away from the folder that a command runs in."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(format_recipe(tiny_recipe), encoding="utf-8")
    return path


def test_parameters_are_those_of_the_network(plan: TrainingPlan, tiny_recipe: Recipe) -> None:
    """The sum over the network that training builds."""
    network = weights.build_network(tiny_recipe, ("Neutral", "Happy", "Sad"))
    assert plan.parameters == sum(value.numel() for value in network.parameters())
    assert plan.backbone_parameters == sum(value.numel() for value in network.backbone.parameters())
    assert plan.head_parameters == 1024 * (3 + 136 + 2) + 3 + 136 + 2


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param({"epochs": 2, "warmup_epochs": 0.5}, id="plain"),
        pytest.param(
            {
                "epochs": 3,
                "freeze_backbone_epochs": 0.7,
                "freeze_backbone_learning_rate": 0.02,
                "base_batch_size": 64,
                "layer_decay": 0.7,
                "min_lr_ratio": 0.1,
            },
            id="with everything",
        ),
    ],
)
def test_steps_and_rates_are_those_of_a_run(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    schedule: dict[str, Any],
) -> None:
    """The optimizer of a real run takes as many steps, each at the learning rates of the plan."""
    recipe = change(tiny_recipe, "schedule", **schedule)
    plan = plan_training(recipe, [training_pack])
    rates: list[dict[bool, list[float]]] = []
    take_step = torch.optim.AdamW.step

    def spy(self: torch.optim.AdamW, *args: Any, **options: Any) -> Any:
        groups = self.param_groups
        rates.append({part: [g["lr"] for g in groups if g["heads"] is part] for part in (True, False)})
        return take_step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    train(recipe, [training_pack], tmp_path / "run")
    assert plan.rates.steps.tolist() == list(range(len(rates)))
    np.testing.assert_allclose(plan.rates.heads, [max(step[True]) for step in rates], rtol=1e-12)
    np.testing.assert_allclose(plan.rates.backbone, [max(step[False]) for step in rates], rtol=1e-12)
    np.testing.assert_allclose(plan.rates.first_layers, [min(step[False]) for step in rates], rtol=1e-12)
    assert plan.rates.heads[plan.rates.frozen_steps :].max() == pytest.approx(plan.peak_rate)


@pytest.mark.parametrize(("sampling", "cap"), [("uniform", None), ("inverse", None), ("square_root", 1.2)])
def test_drawn_faces_are_what_the_sampler_draws(
    make_training_pack: Callable[..., Path],
    tiny_recipe: Recipe,
    tmp_path: Path,
    sampling: str,
    cap: float | None,
) -> None:
    """Over some epochs each class is drawn as often as the plan says, up to rounding."""
    pack = make_training_pack(tmp_path / "p.pack", n_train=200)
    recipe = change(tiny_recipe, "data", sampling=sampling, sampling_max_repeats=cap, dev_fraction=0.21)
    plan = plan_training(recipe, [pack])
    split = read_training_faces([Pack.open(pack)], recipe.data)
    order = build_order(split.train.labels, 3, recipe)
    drawn = np.mean(
        [np.bincount(split.train.labels[order.faces(epoch)], minlength=3) for epoch in range(50)], axis=0
    )
    np.testing.assert_allclose(drawn, plan.drawn_counts, atol=0.5)
    np.testing.assert_array_equal(plan.train_counts, np.bincount(split.train.labels))
    np.testing.assert_array_equal(plan.dev_counts, np.bincount(split.dev.labels))
    assert plan.rates.steps_per_epoch == len(list(EpochBatches(order, recipe.schedule.batch_size, 0)))


def test_the_text_names_everything(plan: TrainingPlan) -> None:
    """The output has every figure."""
    text = str(plan)
    assert "mobilenetv3_small_050 at 32 px, from scratch; heads: expression, landmarks, valence" in text
    assert f"{plan.parameters:,} parameters: {plan.backbone_parameters:,} in the backbone" in text
    assert re.search(r"compute +[\d.]+ M multiply-adds per face, forward\n", text)
    assert "153 for training, 39 for dev" in text
    assert "9 per epoch, 54 in 6 epochs, of 16 faces" in text
    assert "adamw, peak 0.005, after 9 warm-up steps" in text
    assert re.search(r"about [\d.]+ MB for a step of 16 faces on one device, an estimate:", text)
    assert re.search(r"Happy +51 +51 +1\.00 +13\n", text)
    assert all(len(line) <= 110 for line in text.splitlines())


def test_heads_without_labels_are_left_out(
    make_training_pack: Callable[..., Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """As in training, and the plan says so."""
    pack = make_training_pack(tmp_path / "bare.pack", n_missing=192)
    plan = plan_training(change(tiny_recipe, "model", condition_on_landmarks=True), [pack])
    assert plan.left_out == ("landmarks", "valence_arousal")
    assert plan.head_parameters == 1024 * 3 + 3
    assert "heads: expression (no labels for landmarks and valence and arousal)" in str(plan)


@pytest.mark.parametrize("name", ["demo", "affectnet_b0_224", "ferplus_resnet10_fine_48"])
def test_shipped_recipes_can_be_planned(name: str, training_pack: Path) -> None:
    """On a small pack without votes, at a small size."""
    small = [
        "--data.labels=hard",
        "--data.dev_fraction=0.2",
        "--data.input_size=64",
        "--schedule.batch_size=32",
    ]
    recipe = read_recipe(name, small)
    plan = plan_training(recipe, [training_pack])
    assert plan.rates.n_steps == plan.rates.steps_per_epoch * recipe.schedule.epochs
    assert plan.memory.total > 12 * plan.parameters
    assert str(plan)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        pytest.param("data", {"sampling": "effective", "sampling_max_repeats": 2.0}, id="sampling"),
        pytest.param("data", {"folds": 4, "fold": 2}, id="fold"),
        pytest.param("data", {"classes": ["Sad", "Happy"]}, id="classes"),
        pytest.param("schedule", {"optimizer": "sgd", "sam_rho": 0.05, "ema_decay": 0.99}, id="sam, average"),
        pytest.param("schedule", {"learning_rate": 0.0}, id="no rate"),
        pytest.param(
            "schedule", {"freeze_backbone_epochs": 6.0, "warmup_epochs": 0.0}, id="frozen backbone throughout"
        ),
        pytest.param("runtime", {"precision": "16-mixed"}, id="float16"),
        pytest.param("runtime", {"precision": "bf16-mixed", "compile": True}, id="bfloat16, compiled"),
        pytest.param("runtime", {"accelerator": "gpu", "devices": 4, "nodes": 2}, id="another machine's"),
        pytest.param("model", {"head_hidden_size": 32, "condition_on_landmarks": True}, id="heads"),
        pytest.param("model", {"stem_stride": 1, "drop_path_rate": 0.1, "drop_rate": 0.5}, id="stem"),
        pytest.param("model", {"backbone": "vit_tiny_patch16_224"}, id="transformer"),
        pytest.param("model", {"pretrained": True}, id="ImageNet weights"),
    ],
)
def test_any_recipe_can_be_planned(
    training_pack: Path,
    tiny_recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    values: dict[str, Any],
) -> None:
    """Also what this machine could not train, and without downloading ImageNet weights."""

    def refuse() -> None:
        raise AssertionError("the network was asked for weights")

    monkeypatch.setattr(network_module, "go_offline_if_unreachable", refuse)
    plan = plan_training(change(tiny_recipe, part, **values), [training_pack])
    text = str(plan)
    assert "nan" not in text
    assert ("from ImageNet weights" in text) == bool(values.get("pretrained"))


def test_mixing_losses_and_a_teacher(trained_run: Path, training_pack: Path, tiny_recipe: Recipe) -> None:
    """The teacher's compute and memory are counted, and weights of an earlier run are loaded."""
    augment = replace(tiny_recipe.data.augment, mixup_prob=0.3, cutmix_prob=0.3)
    loss = replace(
        tiny_recipe.schedule.loss,
        teacher=str(trained_run),
        task_weights="learned",
        class_weights="effective",
        label_smoothing=0.1,
        smoothing_distribution="inverse",
        landmarks="wing",
        valence_arousal="ccc_mse",
    )
    recipe = change(change(tiny_recipe, "data", augment=augment), "schedule", loss=loss)
    weights = trained_run / "checkpoints" / "best.safetensors"
    plan = plan_training(change(recipe, "model", weights=str(weights)), [training_pack])
    assert plan.teacher_multiply_adds == plan.multiply_adds
    assert plan.memory.parts["teacher"] == plan.memory.parts["weights"]
    assert f"from {weights}" in str(plan)
    assert "multiply-adds in the teacher" in str(plan)


@pytest.mark.parametrize(
    ("part", "values", "kind", "expected"),
    [
        pytest.param(
            "schedule", {"batch_size": 500}, DatasetError, "`schedule.batch_size` is 500", id="batch"
        ),
        pytest.param("model", {"backbone": "resnet19"}, ModelError, "Did you mean resnet18", id="backbone"),
        pytest.param("model", {"weights": "none.safetensors"}, ModelError, "does not exist", id="weights"),
    ],
)
def test_a_mistake_is_found_as_in_training(
    training_pack: Path,
    tiny_recipe: Recipe,
    part: str,
    values: dict[str, Any],
    kind: type[MienError],
    expected: str,
) -> None:
    """What training would refuse, the plan refuses."""
    with pytest.raises(kind, match=expected):
        plan_training(change(tiny_recipe, part, **values), [training_pack])


@pytest.mark.parametrize("out", [[], ["--out", "run"], ["--out", "run", "--resume"]], ids=" ".join)
def test_the_command_prints_and_writes_nothing(
    training_pack: Path,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    out: list[str],
) -> None:
    """--plan can be added to a command that trains, and no run folder is made."""
    monkeypatch.chdir(tmp_path)
    command = ["train", "--recipe", str(recipe_file), "--pack", str(training_pack), "--plan"]
    assert main([*command, *out, "--schedule.epochs", "2"]) == 0
    printed = capsys.readouterr()
    assert "9 per epoch, 18 in 2 epochs" in printed.out
    assert "█" in printed.out
    assert printed.err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_command_draws_an_image(
    training_pack: Path, recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A .png given as --out gets the learning rates; an existing one is replaced only with --force."""
    out = tmp_path / "rates.png"
    command = [
        "train",
        "--recipe",
        str(recipe_file),
        "--pack",
        str(training_pack),
        "--plan",
        "--out",
        str(out),
    ]
    out.write_text("mine", encoding="utf-8")
    assert main(command) == 1
    refused = capsys.readouterr()
    assert "already exists" in refused.err
    assert (refused.err.count("\n"), refused.out) == (1, "")
    assert out.read_text(encoding="utf-8") == "mine"
    assert main([*command, "--force"]) == 0
    assert f"learning rates: {out}" in capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["rates.png"]


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        pytest.param([], 2, "needs either --pack or the recipe key `data.packs`", id="no pack"),
        pytest.param(["--pack", "none"], 1, "Pack none does not exist", id="missing pack"),
        pytest.param(["--pack", "p", "--folds", "3"], 2, "shows a single run", id="several runs"),
        pytest.param(
            ["--pack", "p", "--data.sampling", "often"], 2, "`data.sampling` must be one of", id="key"
        ),
    ],
)
def test_mistakes_of_the_command(
    options: list[str],
    code: int,
    expected: str,
    recipe_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each says what to do."""
    try:
        ended: int | str | None = main(["train", "--recipe", str(recipe_file), "--plan", *options])
    except SystemExit as leaving:
        ended = leaving.code
    assert ended == code
    assert expected in capsys.readouterr().err
