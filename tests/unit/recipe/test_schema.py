"""The values of a recipe."""

from dataclasses import asdict

import pytest

pytest.importorskip("jsonargparse", reason="recipes need the train extra")

from mien.errors import ArtifactError
from mien.recipe import DataConfig, ModelConfig, Recipe, recipe_from_dict
from mien.recipe.schema import _RANGES, check_values, leaf_types


def test_plain_values_give_the_recipe_back() -> None:
    """What a run keeps is the recipe."""
    recipe = Recipe(ModelConfig(backbone="resnet18"), DataConfig(classes=["Happy", "Sad"]))
    assert recipe_from_dict(asdict(recipe)) == recipe


@pytest.mark.parametrize("part", ["model", "data"])
def test_values_of_another_release(part: str) -> None:
    """A key that this release does not know, or a part that is not there, is told."""
    values = asdict(Recipe())
    with pytest.raises(ArtifactError, match="another release"):
        recipe_from_dict(values | {part: values[part] | {"future": 1}})
    with pytest.raises(ArtifactError, match="another release"):
        recipe_from_dict({name: value for name, value in values.items() if name != part})


def test_every_number_has_a_range() -> None:
    """No number of a recipe is taken unchecked."""
    numbers = {key for key, kind in leaf_types().items() if kind in (int, float, int | None, float | None)}
    assert numbers == set(_RANGES)


def test_the_defaults_are_in_range() -> None:
    """A recipe of nothing is a good recipe."""
    check_values(Recipe())
