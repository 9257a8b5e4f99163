"""Warnings before a run starts."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from mien.formats.pack import Pack
from mien.recipe import Recipe
from mien.train.preflight import warn_of_upscaled_crops


@pytest.mark.parametrize(("factor", "is_warned"), [(1, False), (2, True), (0.5, False)])
def test_crops_smaller_than_the_input(
    training_pack: Path,
    tiny_recipe: Recipe,
    caplog: pytest.LogCaptureFixture,
    *,
    factor: float,
    is_warned: bool,
) -> None:
    """They are upscaled without more detail, which is reported with both sizes."""
    pack = Pack.open(training_pack)
    stored = pack.info.crop.size
    recipe = replace(tiny_recipe, data=replace(tiny_recipe.data, input_size=round(factor * stored)))
    with caplog.at_level(logging.WARNING):
        warn_of_upscaled_crops(recipe, [pack])
    expected = f"`data.input_size` is {2 * stored} px, more than the crops of {training_pack} ({stored} px)"
    assert (expected in caplog.text) == is_warned
    assert bool(caplog.text) == is_warned
