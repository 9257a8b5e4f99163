"""The networks of a run: its own, and its teacher."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.errors import ArtifactError, MienError, ModelError
from mien.faces.crop import CropContract
from mien.formats.run import Run
from mien.recipe import LossConfig, Recipe
from mien.train import weights

CLASSES = ("Neutral", "Happy", "Sad")


def quick(recipe: Recipe, **schedule: Any) -> Recipe:
    """The recipe for one epoch, with other values of its schedule."""
    return replace(recipe, schedule=replace(recipe.schedule, **{"epochs": 1, **schedule}))


def test_the_first_weights_are_the_seeds(tiny_recipe: Recipe) -> None:
    """A seed decides the first weights, and another seed gives others."""
    one, same = (weights.build_network(tiny_recipe, CLASSES).expression_head.weight for _ in range(2))
    assert torch.equal(one, same)
    other = replace(tiny_recipe, runtime=replace(tiny_recipe.runtime, seed=1))
    assert not torch.equal(one, weights.build_network(other, CLASSES).expression_head.weight)


def with_teacher(recipe: Recipe, teacher: Path) -> Recipe:
    return quick(recipe, loss=LossConfig(teacher=str(teacher)))


def edit_run(run: Path, **changes: Any) -> None:
    """Change run.json, and record its hash as its own."""
    opened = Run.open(run)
    result = opened.read_result()
    value = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(value | changes))
    opened.write_result(result)


def truncate_weights(run: Path) -> None:
    path = Run.open(run).best_weights_path
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("damage", "kind", "expected"),
    [
        pytest.param(shutil.rmtree, ArtifactError, "teacher does not exist", id="missing"),
        pytest.param(
            lambda run: (run / "result.json").unlink(), ArtifactError, "has not finished", id="unfinished"
        ),
        pytest.param(
            lambda run: edit_run(run, format_version=99),
            ArtifactError,
            "run format version 99",
            id="another format",
        ),
        pytest.param(
            truncate_weights, ArtifactError, r"best\.safetensors has changed since", id="truncated weights"
        ),
        pytest.param(
            lambda run: edit_run(run, recipe={}),
            ArtifactError,
            "another release of mien",
            id="another release",
        ),
        pytest.param(
            lambda run: edit_run(run, classes=["Neutral", "Happy", "Fear"]),
            ModelError,
            r"does not know Sad, it knows Neutral, Happy, Fear\. List the classes .* in `data\.classes`",
            id="lacks a class",
        ),
        pytest.param(
            lambda run: edit_run(run, crop=CropContract("aligned", margin=0.3).to_dict()),
            ModelError,
            r"was trained on aligned crops of .* with margin 0\.3, the pack has .*`--crop aligned --margin 0\.3 --size",
            id="loaded other crops",
        ),
    ],
)
def test_a_teacher_that_cannot_teach(
    trained_run: Path, tiny_recipe: Recipe, tmp_path: Path, damage: Any, kind: type[MienError], expected: str
) -> None:
    """Each is one line that names the run."""
    teacher = Path(shutil.copytree(trained_run, tmp_path / "teacher"))
    damage(teacher)
    with pytest.raises(kind, match=expected) as caught:
        weights.load_teacher(
            with_teacher(tiny_recipe, teacher), ("Neutral", "Happy", "Sad"), Run.open(trained_run).crop
        )
    assert str(teacher) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_teachers_classes_are_matched_by_name(trained_run: Path, tiny_recipe: Recipe) -> None:
    """The student's order counts, and classes that only the teacher has are left out."""
    teacher = weights.load_teacher(
        with_teacher(tiny_recipe, trained_run), ("Sad", "Neutral"), Run.open(trained_run).crop
    )
    assert Run.open(trained_run).classes == ("Neutral", "Happy", "Sad")
    images = torch.from_numpy(Run.open(trained_run).read_dev_outputs().crops)
    logits = torch.from_numpy(Run.open(trained_run).read_dev_outputs().logits)
    assert len(images) == len(logits)
    torch.testing.assert_close(teacher.logits(images), logits[:, [2, 0]], rtol=1e-3, atol=1e-4)
    assert weights.load_teacher(quick(tiny_recipe), ("Sad", "Neutral"), CropContract()) is None
