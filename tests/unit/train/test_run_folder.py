"""What a run records of its packs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("pack_of_model", "terms"),
    [
        pytest.param(
            {"source": "kdef", "terms": {"kdef": "research only"}},
            {"kdef": "research only", "test": "unknown"},
            id="another set",
        ),
        pytest.param(
            {"terms": {"test": "CC0"}}, {"test": "unknown; CC0"}, id="other faces of the same kind of set"
        ),
        pytest.param({"terms": {"test": "unknown"}}, {"test": "unknown"}, id="the same"),
        pytest.param({"source": "kdef"}, {"kdef": "unknown", "test": "unknown"}, id="not recorded"),
        pytest.param({}, {"other.onnx": "unknown", "test": "unknown"}, id="nothing recorded"),
    ],
)
def test_terms_of_a_model_file_that_training_starts_from(
    training_pack: Path,
    tiny_recipe: Recipe,
    write_model: Callable[..., Path],
    pack_of_model: dict[str, Any],
    terms: dict[str, str],
) -> None:
    """They are in its metadata, and hold for what is trained from it as well."""
    path = write_model(training={"pack": pack_of_model})
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(path)))
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.2))
    assert describe_run(recipe, [pack], faces, path.parent / "run").pack["terms"] == terms


def test_a_file_of_weights_does_not_say_its_terms(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Its name is listed, with unknown terms."""
    (tmp_path / "faces.pth").touch()
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(tmp_path / "faces.pth")))
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.2))
    run = describe_run(recipe, [pack], faces, tmp_path / "run")
    assert run.pack["terms"] == {"faces.pth": "unknown", "test": "unknown"}


def test_terms_of_two_sets_in_one_layout(
    make_training_pack: Callable[..., Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Packs of the same kind may have other terms, such as a real and a drawn set: none of them is lost."""
    packs = [Pack.open(make_training_pack(tmp_path / f"{n}.pack", n_train=n)) for n in (192, 186)]
    packs[0].info = replace(packs[0].info, terms="research only")
    packs[1].info = replace(packs[1].info, terms="CC0")
    faces = read_training_faces(packs[:1], DataConfig(dev_fraction=0.2))
    run = describe_run(tiny_recipe, packs, faces, tmp_path / "run")
    assert run.pack["terms"] == {"test": "research only; CC0"}


def test_landmarks_that_a_model_placed_are_recorded(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Of the training faces, if the recipe has a landmark head; and those of the run that the weights come from."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.2))
    assert "landmarks_by" not in describe_run(tiny_recipe, [pack], faces, tmp_path / "none").pack
    pack.info = replace(pack.info, landmarks_by={"train": {"m (12)": 7}, "val": {"m (12)": 2}})
    first = describe_run(tiny_recipe, [pack], faces, tmp_path / "first")
    assert first.pack["landmarks_by"] == {"m (12)": 7}
    bare = replace(tiny_recipe, model=replace(tiny_recipe.model, landmarks=False))
    assert "landmarks_by" not in describe_run(bare, [pack], faces, tmp_path / "bare").pack
    first.path.mkdir()
    write_json(first.path / "run.json", first.to_dict())
    pack.info = replace(pack.info, landmarks_by={})
    later = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(first.path)))
    run = describe_run(later, [pack], faces, tmp_path / "later")
    assert run.pack["landmarks_by"] == {"m (12)": 7}
