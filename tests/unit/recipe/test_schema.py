"""The values of a recipe, and their validation."""

from dataclasses import asdict, replace
from typing import Any

import pytest

pytest.importorskip("yaml", reason="recipes need the train extra")

from mien.errors import ArtifactError, RecipeError
from mien.recipe import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    Recipe,
    RuntimeConfig,
    ScheduleConfig,
    recipe_from_dict,
)
from mien.recipe.validation import check_values, value_types

RANGES = {key: expected.range for key, expected in value_types().items() if expected.range}


def with_value(key: str, value: object) -> Recipe:
    """The default recipe with one other value, by dotted key."""

    def changed(part: Any, names: list[str]) -> Any:
        first, *rest = names
        return replace(part, **{first: changed(getattr(part, first), rest) if rest else value})

    return changed(Recipe(), key.split("."))


def test_plain_values_give_the_recipe_back() -> None:
    """The values stored in a run give the same recipe, including its nested parts."""
    recipe = Recipe(
        ModelConfig(backbone="resnet18", stem_stride=1),
        DataConfig(classes=["Happy", "Sad"], packs=["a", "b"], augment=AugmentConfig(mixup_prob=0.5)),
        ScheduleConfig(loss=LossConfig(landmarks="wing", teacher="run"), sam_rho=0.05),
        RuntimeConfig(nodes=2),
    )
    assert recipe_from_dict(asdict(recipe)) == recipe


@pytest.mark.parametrize(
    "path",
    [["model"], ["data"], ["data", "augment"], ["schedule", "loss"]],
    ids=["model", "data", "augment", "loss"],
)
def test_values_of_another_release(path: list[str]) -> None:
    """A key that this release does not have, or a missing part, is an error."""
    *above, name = path
    for change in ({"future": 1}, None):
        values = asdict(Recipe())
        outer = values
        for each in above:
            outer = outer[each]
        if change is None:
            del outer[name]
        else:
            outer[name] |= change
        with pytest.raises(ArtifactError, match="another release") as caught:
            recipe_from_dict(values)
        assert "\n" not in str(caught.value)


def test_losses_as_keys_of_the_schedule() -> None:
    """A run whose losses were still keys of the schedule is from another release."""
    values = asdict(Recipe())
    loss = values["schedule"].pop("loss")
    values["schedule"] |= {"label_smoothing": loss["label_smoothing"]}
    with pytest.raises(ArtifactError, match=r"another release.*Train again"):
        recipe_from_dict(values)


def test_every_number_has_a_range() -> None:
    """Every number of a recipe is checked."""
    assert {key for key, expected in value_types().items() if expected.kind in (int, float)} == set(RANGES)
    assert all(low < high for low, high in RANGES.values())


def test_the_defaults_are_in_range() -> None:
    """The default recipe is valid."""
    check_values(Recipe())


@pytest.mark.parametrize("key", sorted(RANGES))
def test_a_number_out_of_range(key: str) -> None:
    """Below, above, infinite and NaN: one line with key, range and value."""
    low, high = RANGES[key]
    for value in (low - 1, high * 2 + 1, float("inf"), float("nan")):
        with pytest.raises(RecipeError) as caught:
            check_values(with_value(key, value))
        message = str(caught.value)
        assert message == f"Recipe key `{key}` must be from {low} to {high}, got {value}"


@pytest.mark.parametrize("key", sorted(RANGES))
def test_the_ends_of_a_range_are_allowed(key: str) -> None:
    """Both ends of a range pass the range's own check, whatever they contradict."""
    for value in RANGES[key]:
        try:
            check_values(with_value(key, value))
        except RecipeError as error:
            assert "must be from" not in str(error)  # noqa: PT017 - a contradiction is another test's


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        ("schedule.loss.landmarks", "smooth_l1, mse, wing"),
        ("schedule.loss.valence_arousal", "mse, ccc_mse"),
        ("schedule.optimizer", "sgd, adamw"),
    ],
)
def test_an_unknown_choice(key: str, choices: str) -> None:
    """A recipe made in Python is not checked while it is parsed, and a typo would mean some other choice."""
    with pytest.raises(RecipeError, match=rf"^Recipe key `{key}` must be one of {choices}, got wng"):
        check_values(with_value(key, "wng"))


CONTRADICTIONS = [
    pytest.param(
        Recipe(schedule=ScheduleConfig(batch_size=66), runtime=RuntimeConfig(devices=2, nodes=2)),
        "`schedule.batch_size` must be a multiple of the 4 devices, got 66",
        id="batch and devices of all nodes",
    ),
    pytest.param(
        Recipe(schedule=ScheduleConfig(batch_size=4), runtime=RuntimeConfig(devices=2, nodes=2)),
        "`schedule.batch_size` must give each of the 4 devices two faces or more, which batch norms need, got 4",
        id="one face a device",
    ),
    pytest.param(
        Recipe(data=DataConfig(folds=5, fold=5)),
        "`data.fold` must be below the 5 folds, got 5",
        id="fold",
    ),
    pytest.param(
        Recipe(data=DataConfig(fold=3)), "`data.fold` needs `data.folds`, got 3 without it", id="fold of none"
    ),
    pytest.param(
        Recipe(schedule=ScheduleConfig(freeze_backbone_learning_rate=0.01)),
        "`schedule.freeze_backbone_learning_rate` needs `schedule.freeze_backbone_epochs`, got 0.01 without it",
        id="rate of no head epochs",
    ),
    pytest.param(
        Recipe(
            schedule=ScheduleConfig(
                learning_rate=0, freeze_backbone_learning_rate=0.01, freeze_backbone_epochs=1
            )
        ),
        "`schedule.learning_rate` must be above 0 with `schedule.freeze_backbone_learning_rate`",
        id="heads alone",
    ),
    pytest.param(
        Recipe(data=DataConfig(augment=AugmentConfig(mixup_prob=0.6, cutmix_prob=0.5))),
        "`data.augment.mixup_prob` and `data.augment.cutmix_prob` must together be at most 1, got 0.6 and 0.5",
        id="mixup and cutmix",
    ),
    pytest.param(
        Recipe(ModelConfig(condition_on_landmarks=True, landmarks=False)),
        "`model.condition_on_landmarks` needs `model.landmarks: true`, got false",
        id="landmarks that are not there",
    ),
    pytest.param(
        Recipe(schedule=ScheduleConfig(sam_rho=0.05), runtime=RuntimeConfig(precision="16-mixed")),
        "`schedule.sam_rho` takes two gradients per step, which `runtime.precision: 16-mixed` does not support. "
        "Use bf16-mixed or 32-true",
        id="sharpness and half precision",
    ),
]


@pytest.mark.parametrize(("recipe", "expected"), CONTRADICTIONS)
def test_values_that_contradict_each_other(recipe: Recipe, expected: str) -> None:
    """A contradiction between two keys is one line that names both."""
    with pytest.raises(RecipeError) as caught:
        check_values(recipe)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("Recipe key")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(
            Recipe(schedule=ScheduleConfig(epochs=1, freeze_backbone_epochs=2, warmup_epochs=3)), id="epochs"
        ),
        pytest.param(
            Recipe(schedule=ScheduleConfig(batch_size=64), runtime=RuntimeConfig(devices=2, nodes=2)),
            id="batch",
        ),
        pytest.param(Recipe(data=DataConfig(folds=5, fold=4)), id="fold"),
        pytest.param(
            Recipe(data=DataConfig(augment=AugmentConfig(mixup_prob=0.5, cutmix_prob=0.5))), id="mixing"
        ),
        pytest.param(Recipe(ModelConfig(condition_on_landmarks=True)), id="landmarks"),
        pytest.param(
            Recipe(schedule=ScheduleConfig(sam_rho=0.05), runtime=RuntimeConfig(precision="bf16-mixed")),
            id="sharpness",
        ),
    ],
)
def test_values_that_only_just_agree(recipe: Recipe) -> None:
    """Values at the limit are allowed."""
    check_values(recipe)
