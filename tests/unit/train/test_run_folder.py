"""What a run records of its packs."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from mien.artifacts import write_json
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.recipe import DataConfig, Recipe
from mien.train.dataset import read_training_faces
from mien.train.run_folder import describe_run


def test_terms_of_every_face_that_shaped_the_weights(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Those of the packs, and of the run that the weights or the teacher come from."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.2))
    first = describe_run(tiny_recipe, [pack], faces, tmp_path / "first")
    assert first.pack["terms"] == {"test": "unknown"}
    earlier = replace(first, pack={**first.pack, "terms": {"kdef": "research only"}})
    first.path.mkdir()
    write_json(first.path / "run.json", earlier.to_dict())
    assert Run.open(first.path).pack["terms"] == {"kdef": "research only"}
    loss = replace(tiny_recipe.schedule.loss, teacher=str(first.path))
    for recipe in (
        replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(first.path))),
        replace(tiny_recipe, schedule=replace(tiny_recipe.schedule, loss=loss)),
    ):
        run = describe_run(recipe, [pack], faces, tmp_path / "second")
        assert run.pack["terms"] == {"kdef": "research only", "test": "unknown"}
