"""Recipes: everything that decides a training run, as four parts of typed values.

A recipe is a YAML file, bundled (given by name) or your own, with the keys ``model``, ``data``, ``schedule`` and
``runtime``. Each names a part file (relative to the recipe), holds the values, or both: ``from`` names the file and
the other keys change it. Any value can be overridden, as ``--schedule.epochs 10``.
"""

from mien.recipe.parsing import format_recipe, format_recipe_help, read_recipe
from mien.recipe.schema import (
    DEFAULT_BACKBONE,
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    Recipe,
    RuntimeConfig,
    ScheduleConfig,
    recipe_from_dict,
)

__all__ = [
    "DEFAULT_BACKBONE",
    "AugmentConfig",
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "Recipe",
    "RuntimeConfig",
    "ScheduleConfig",
    "format_recipe",
    "format_recipe_help",
    "read_recipe",
    "recipe_from_dict",
]
