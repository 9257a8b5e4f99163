"""The training loop: the moving average, the two passes of a sharpness-aware step, epochs with a frozen backbone."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from safetensors.torch import load_file

from mien.formats.run import Run
from mien.nets.checkpoint import load_network
from mien.recipe import LossConfig, Recipe
from mien.train import train
from mien.train.lightning_adapter import FaceModule
from mien.train.weights import build_network

Weights = dict[str, torch.Tensor]


def short(recipe: Recipe, **schedule: Any) -> Recipe:
    """The recipe for one epoch, without dropout, with other values of its schedule."""
    return replace(recipe, schedule=replace(recipe.schedule, **{"epochs": 1, **schedule}))


def checkpoint_of(run: Path) -> dict[str, Any]:
    return torch.load(Run.open(run).last_checkpoint_path, weights_only=True)


def last_weights(run: Path, prefix: str = "network.") -> Weights:
    """The weights of a part of the module at the end of the last epoch."""
    state = checkpoint_of(run)["state_dict"]
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def best_weights(run: Path) -> Weights:
    return load_file(Run.open(run).best_weights_path)


def distance(ours: Weights, theirs: Weights) -> float:
    """The largest difference between the floats of two networks."""
    assert set(ours) == set(theirs)
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in theirs)


@pytest.fixture
def trajectory(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """The weights after each training step."""
    steps: list[Weights] = []
    end = FaceModule.on_train_batch_end

    def keep(self: FaceModule, *arguments: Any) -> None:
        end(self, *arguments)
        steps.append({name: value.clone() for name, value in self.network.state_dict().items()})

    monkeypatch.setattr(FaceModule, "on_train_batch_end", keep)
    return steps


def test_the_moving_average_is_its_formula(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, trajectory: list[Weights]
) -> None:
    """It is a_1 = w_1 and a_n = d a_(n-1) + (1 - d) w_n of weights and norms' statistics, and is what is saved."""
    train(short(tiny_recipe, ema_decay=0.8), [training_pack], tmp_path / "run")
    assert len(trajectory) == 9
    floats = [name for name, value in trajectory[0].items() if value.is_floating_point()]
    assert any(name.endswith("running_var") for name in floats)
    average = {name: trajectory[0][name].double() for name in floats}
    for weights in trajectory[1:]:
        average = {name: 0.8 * average[name] + 0.2 * weights[name].double() for name in floats}
    best, last = best_weights(tmp_path / "run"), last_weights(tmp_path / "run")
    assert distance({name: best[name] for name in floats}, average) < 1e-5
    assert distance({name: last[name] for name in floats}, average) > 1e-3
    assert distance(last, trajectory[-1]) == 0


def test_the_moving_average_is_evaluated(training_pack: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """metrics.csv and dev.npz hold its scores and outputs, not those of the weights that it averages."""
    out = tmp_path / "run"
    train(short(tiny_recipe, ema_decay=0.8), [training_pack], out)
    run = Run.open(out)
    dev = run.read_dev_outputs()
    average = load_network(run)
    raw = load_network(run)
    raw.load_state_dict(last_weights(out))
    with (out / "metrics.csv").open() as file:
        row = next(csv.DictReader(file))
    with torch.no_grad():
        faces = torch.from_numpy(dev.crops)
        logits, raw_logits = (network.eval()(faces)["expression"] for network in (average, raw))
    assert len(dev.crops) == len(dev.labels)
    np.testing.assert_allclose(dev.logits, logits.numpy(), atol=1e-4)
    assert np.abs(dev.logits - raw_logits.numpy()).max() > 1e-2
    losses = [
        float(torch.nn.functional.cross_entropy(value, torch.from_numpy(dev.labels)))
        for value in (logits, raw_logits)
    ]
    assert float(row["dev_loss"]) == pytest.approx(losses[0], rel=1e-4)
    assert float(row["dev_loss"]) != pytest.approx(losses[1], rel=1e-3)


def test_without_a_moving_average_the_weights_are_kept(trained_run: Path) -> None:
    """The checkpoint has no average."""
    assert not [name for name in checkpoint_of(trained_run)["state_dict"] if name.startswith("average")]


def test_a_sharpness_aware_epoch_without_a_radius_is_a_plain_one(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """The second pass sees the same mixed faces and the same dropout, leaves the norms as they are and is clipped the same way.

    As the radius goes to nought the run therefore ends where a plain one does; with a real one it does not.
    """
    recipe = short(tiny_recipe, optimizer="sgd", learning_rate=0.01, grad_clip_norm=1.0, warmup_epochs=0.0)
    recipe = replace(
        recipe,
        model=replace(recipe.model, drop_rate=0.3, drop_path_rate=0.2),
        data=replace(recipe.data, augment=replace(recipe.data.augment, mixup_prob=0.3, cutmix_prob=0.3)),
    )
    ends = {}
    for rho in (None, 1e-6, 0.1):
        out = tmp_path / str(rho)
        train(replace(recipe, schedule=replace(recipe.schedule, sam_rho=rho)), [training_pack], out)
        ends[rho] = last_weights(out)
    counts = [value for name, value in ends[0.1].items() if name.endswith("num_batches_tracked")]
    assert counts
    assert all(value == 9 for value in counts)
    assert distance(ends[1e-6], ends[None]) < 1e-3
    assert distance(ends[0.1], ends[None]) > 1e-2


def test_with_a_frozen_backbone_only_the_heads_are_trained(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, trajectory: list[Weights]
) -> None:
    """The backbone's weights do not change at all, by gradient or by decay, until it is unfrozen."""
    recipe = short(tiny_recipe, epochs=2, freeze_backbone_epochs=1.0, warmup_epochs=0.0, weight_decay=0.1)
    train(recipe, [training_pack], tmp_path / "run")
    first = build_network(recipe, ("Neutral", "Happy", "Sad"))
    weights = {name: value.detach() for name, value in first.named_parameters()}
    backbone = {name for name in weights if name.startswith("backbone.")}
    moved = [{name for name in weights if not torch.equal(step[name], weights[name])} for step in trajectory]
    assert len(moved) == 18
    assert all(not names & backbone for names in moved[:9])
    assert moved[0] == set(weights) - backbone
    assert moved[9] >= backbone


def test_a_frozen_backbone_costs_no_backward_pass(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gradient reaches it, which clipping would otherwise count, and the optimizer keeps no state for it."""
    has_gradient: list[set[bool]] = []

    def record(module: FaceModule, *_: object) -> None:
        has_gradient.append({value.grad is not None for value in module.network.backbone.parameters()})

    monkeypatch.setattr(FaceModule, "on_before_optimizer_step", record)
    recipe = short(tiny_recipe, epochs=2, freeze_backbone_epochs=1.5, warmup_epochs=0.0)
    train(recipe, [training_pack], tmp_path / "run")
    n_frozen = round(1.5 * len(has_gradient) / 2)
    assert has_gradient[:n_frozen] == [{False}] * n_frozen
    assert has_gradient[n_frozen:] == [{True}] * (len(has_gradient) - n_frozen)


def test_learned_task_weights_learn_and_are_saved(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """They start at the recipe's, change in every epoch, and are in the checkpoint but not in the model."""
    loss = LossConfig(task_weights="learned", landmarks_weight=0.25)
    train(short(tiny_recipe, loss=loss, learning_rate=0.01), [training_pack], tmp_path / "run")
    weights = {
        name: value.exp().item() for name, value in last_weights(tmp_path / "run", "objective.").items()
    }
    begun = {"expression": 1.0, "landmarks": 0.25, "valence_arousal": 0.5}
    assert set(weights) == {f"log_weights.{task}" for task in begun}
    for task, weight in begun.items():
        assert weights[f"log_weights.{task}"] != weight
        assert weights[f"log_weights.{task}"] == pytest.approx(weight, rel=0.2)
    assert not [name for name in best_weights(tmp_path / "run") if "log_weights" in name]


def test_a_teacher_is_not_saved_with_its_student(
    trained_run: Path, training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """The student's checkpoint has the same content as one without a teacher, its losses differ, and the teacher is unchanged."""
    before = Run.open(trained_run).best_weights_path.read_bytes()
    plain, taught = tmp_path / "plain", tmp_path / "taught"
    train(short(tiny_recipe), [training_pack], plain)
    train(short(tiny_recipe, loss=LossConfig(teacher=str(trained_run))), [training_pack], taught)
    state, other = (checkpoint_of(run) for run in (taught, plain))
    assert list(state["state_dict"]) == list(other["state_dict"])
    assert len(state["optimizer_states"][0]["state"]) == len(other["optimizer_states"][0]["state"])
    assert distance(last_weights(taught), last_weights(plain)) > 1e-4
    assert Run.open(trained_run).best_weights_path.read_bytes() == before


@pytest.mark.slow
def test_a_compiled_network_trains_like_a_plain_one(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Compiling changes the last digits of the losses and no weight's name."""
    recipe = replace(short(tiny_recipe), model=replace(tiny_recipe.model, backbone="resnet10t"))
    compiled = replace(recipe, runtime=replace(recipe.runtime, compile=True))
    rows = []
    for name, each in (("plain", recipe), ("compiled", compiled)):
        train(each, [training_pack], tmp_path / name)
        with (tmp_path / name / "metrics.csv").open() as file:
            rows.append({key: float(value) for key, value in next(csv.DictReader(file)).items()})
    assert list(best_weights(tmp_path / "plain")) == list(best_weights(tmp_path / "compiled"))
    for key in ("train_total", "train_landmarks"):
        assert rows[1][key] == pytest.approx(rows[0][key], rel=1e-3)
