"""The networks that a run starts from: its first weights, and its teacher."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from safetensors.torch import load_file

from mien.errors import ArtifactError, MienError, ModelError
from mien.faces.action_units import KINDS, ActionUnits
from mien.faces.crop import CropContract
from mien.formats.run import Run
from mien.recipe import LossConfig, Recipe
from mien.train import weights

CLASSES = ("Neutral", "Happy", "Sad")


def quick(recipe: Recipe, **schedule: Any) -> Recipe:
    """The recipe for one epoch, with other values of its schedule."""
    return replace(recipe, schedule=replace(recipe.schedule, **{"epochs": 1, **schedule}))


def test_earlier_weights_with_other_classes(trained_run: Path, tiny_recipe: Recipe) -> None:
    """The backbone and the matching heads are loaded, the expression head starts from scratch."""
    path = trained_run / "checkpoints" / "best.safetensors"
    stored = load_file(path)
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(path)))
    network = weights.build_network(recipe, tuple("abcdefg"))
    own = network.state_dict()
    assert own["expression_head.weight"].shape == (7, 1024)
    taken = {
        name
        for name, value in stored.items()
        if own[name].shape == value.shape and torch.equal(own[name], value)
    }
    assert taken == set(stored) - {"expression_head.weight", "expression_head.bias"}


def test_earlier_weights_with_the_classes_in_another_order(trained_run: Path, tiny_recipe: Recipe) -> None:
    """A head of the same shape would confuse the classes: with another order it starts from scratch."""
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(trained_run)))
    loaded = load_file(Run.open(trained_run).best_weights_path)
    for classes, is_taken in ((CLASSES, True), (CLASSES[::-1], False)):
        own = weights.build_network(recipe, classes).state_dict()
        assert torch.equal(own["expression_head.weight"], loaded["expression_head.weight"]) == is_taken
        assert torch.equal(own["landmark_head.weight"], loaded["landmark_head.weight"])


def test_earlier_weights_with_other_action_units(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """A head for as many other units, or of the other kind, starts from scratch."""
    from safetensors.torch import save_file

    tiny_recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, action_units=True))
    units = {kind: ActionUnits(("AU06", "AU12"), kind) for kind in KINDS}
    annotations = {"action_units": units["presence"]}
    run = Run(
        tmp_path / "run", CLASSES, CropContract(size=40), asdict(tiny_recipe), {"source": "x"}, annotations=annotations
    )  # fmt: skip
    (run.path / "checkpoints").mkdir(parents=True)
    (run.path / "run.json").write_text(json.dumps(run.to_dict()))
    earlier = weights.build_network(tiny_recipe, CLASSES, annotations).state_dict()
    earlier["action_unit_head.bias"] += 3
    save_file({name: value.contiguous() for name, value in earlier.items()}, run.best_weights_path)
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(run.path)))
    others = ActionUnits(("AU01", "AU02"), "presence")
    for own, is_taken in ((units["presence"], True), (units["intensity"], False), (others, False)):
        network = weights.build_network(recipe, CLASSES, {"action_units": own}).state_dict()
        assert torch.equal(network["action_unit_head.bias"], earlier["action_unit_head.bias"]) == is_taken
        assert torch.equal(network["affect_head.weight"], earlier["affect_head.weight"])


def test_a_backbones_own_weights(trained_run: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Weights named as timm names them go to the backbone."""
    from safetensors.torch import save_file

    stored = load_file(trained_run / "checkpoints" / "best.safetensors")
    bare = {
        name.removeprefix("backbone."): value
        for name, value in stored.items()
        if name.startswith("backbone.")
    }
    save_file(bare, tmp_path / "bare.safetensors")
    recipe = replace(
        tiny_recipe, model=replace(tiny_recipe.model, weights=str(tmp_path / "bare.safetensors"))
    )
    own = weights.build_network(recipe, CLASSES).backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in bare.items())


def test_weights_of_a_finished_run_are_its_own(
    trained_run: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Weights that another run wrote into the folder of a finished one are not loaded."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(run)))
    weights.build_network(recipe, CLASSES)
    description = (run / "run.json").read_text()
    (run / "run.json").write_text(description.replace("Sad", "Fear"))
    with pytest.raises(ArtifactError, match=r"run\.json has changed since it was written"):
        weights.build_network(recipe, CLASSES)
    (run / "run.json").write_text(description)
    truncate_weights(run)
    with pytest.raises(ArtifactError, match=r"best\.safetensors has changed since it was written"):
        weights.build_network(recipe, CLASSES)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [("another backbone", "fits only"), ("missing", "does not exist"), ("no safetensors", "cannot be read")],
)
def test_weights_that_do_not_fit(
    trained_run: Path, tiny_recipe: Recipe, tmp_path: Path, damage: str, expected: str
) -> None:
    """Each is one line that says which backbone or file is wrong."""
    path, backbone = trained_run / "checkpoints" / "best.safetensors", "mobilenetv3_small_050"
    if damage == "another backbone":
        backbone = "resnet18"
    elif damage == "missing":
        path = tmp_path / "nope.safetensors"
    else:
        path = tmp_path / "text.safetensors"
        path.write_text("hello")
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(path), backbone=backbone))
    with pytest.raises(ModelError, match=rf"`model\.weights` .*{expected}"):
        weights.build_network(recipe, CLASSES)


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
            r"was trained on aligned crops with margin 0\.3, the pack has \w+ crops with margin .*Prepare the pack like",
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
