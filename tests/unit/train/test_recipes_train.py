"""Every bundled recipe trains: from scratch, on small faces, at its own peak rate and with its own losses."""

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from mien.faces.action_units import ActionUnits
from mien.recipe import Recipe, read_recipe
from mien.recipe.parsing import recipe_names
from mien.train import train

EPOCHS, BATCH_SIZE = 4, 16
# A step of a recipe's own network takes up to a second here: the fast tests train the smallest of the same kind of layers.
SMALLEST = {
    "efficientnet_b0": "test_efficientnet",
    "efficientnet_b2": "test_efficientnet",
    "resnet10t": "test_resnet",
    "mien_resnet10": "test_resnet",
    "mien_resnet14": "test_resnet",
    None: "test_efficientnet",
}
# One recipe of each network.
OWN_NETWORKS = (
    "affectnet_classic",
    "ferplus_resnet10_48",
    "ferplus_resnet10_aligned_48",
    "photos_resnet10_48",
    "photos_resnet14_48",
)


def made_small(recipe: Recipe, *, weights: Path | None = None, teacher: Path | None = None) -> Recipe:
    """The recipe for small faces and few steps on a CPU, with the same peak rate and shape of the schedule."""
    schedule = recipe.schedule
    base = schedule.base_batch_size
    shorter = EPOCHS / schedule.epochs
    return replace(
        recipe,
        model=replace(recipe.model, pretrained=False, weights=None if weights is None else str(weights)),
        data=replace(recipe.data, input_size=32, dev_fraction=0.2, packs=None, classes=None),
        schedule=replace(
            schedule,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            base_batch_size=None if base is None else round(base * BATCH_SIZE / schedule.batch_size),
            freeze_backbone_epochs=schedule.freeze_backbone_epochs * shorter,
            warmup_epochs=schedule.warmup_epochs * shorter,
            loss=replace(schedule.loss, teacher=None if teacher is None else str(teacher)),
        ),
        runtime=replace(recipe.runtime, accelerator="cpu", workers=0),
    )


@pytest.fixture(scope="module")
def votes_pack(make_training_pack: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack with votes, of other faces than the plain one's."""
    return make_training_pack(tmp_path_factory.mktemp("packs") / "votes.pack", n_train=190, votes=True)


@pytest.fixture(scope="module")
def units_pack(make_training_pack: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack with the action units of happy and sad faces."""

    def shown(number: int) -> dict[str, Any]:
        label = (number if number < 192 else number - 192) % 3
        return {"annotations": {"action_units": np.array([label == 1, label == 2], np.float32)}}

    units = {"action_units": ActionUnits(("AU12", "AU15"), "presence")}
    folder = tmp_path_factory.mktemp("packs") / "units.pack"
    return make_training_pack(folder, stated=shown, annotations=units)


@pytest.fixture(scope="module")
def packs_by_kind(training_pack: Path, votes_pack: Path, units_pack: Path) -> dict[str, Path]:
    """The packs by what they have besides labels."""
    return {"plain": training_pack, "votes": votes_pack, "action units": units_pack}


@pytest.mark.usefixtures("unlike_faces")
@pytest.mark.parametrize(
    ("name", "is_own_network"),
    [
        *(pytest.param(name, False, id=name) for name in recipe_names()),
        *(
            pytest.param(name, True, id=f"{name}, its own network", marks=pytest.mark.slow)
            for name in OWN_NETWORKS
        ),
    ],
)
def test_a_bundled_recipe_trains(
    name: str,
    is_own_network: bool,
    packs_by_kind: dict[str, Path],
    tmp_path: Path,
) -> None:
    """The loss is finite in every epoch and falls; weights and a teacher are those of a shorter run."""
    recipe = read_recipe(name, [])
    backbone = recipe.model.backbone or SMALLEST[None]
    if not is_own_network:
        backbone = SMALLEST[recipe.model.backbone]
        recipe = replace(recipe, model=replace(recipe.model, backbone=recipe.model.backbone and backbone))
    kind = "votes" if recipe.data.labels == "votes" else "plain"
    if recipe.schedule.select_by == "action_units_f1":
        kind = "action units"
    packs = [packs_by_kind[kind]]
    if recipe.data.packs is not None:
        packs = [packs_by_kind["plain"], packs_by_kind["votes"]]
    earlier = tmp_path / "earlier"
    needs = {"weights": recipe.model.weights, "teacher": recipe.schedule.loss.teacher}
    given = {name: earlier for name, value in needs.items() if value is not None}
    if given:
        begun = made_small(recipe)
        model = replace(begun.model, backbone=backbone)
        train(replace(begun, model=model, schedule=replace(begun.schedule, epochs=1)), packs, earlier)
    small = made_small(recipe, **given)
    train(small, packs, tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        losses = [float(row["train_total"]) for row in csv.DictReader(file)]
    assert len(losses) == EPOCHS
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]
