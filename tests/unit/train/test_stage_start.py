"""What a run begins with: its packs, its first weights, its teacher."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import lightning.pytorch as lightning
import torch
from safetensors.torch import load_file

from mien.errors import ArtifactError, MienError, ModelError, RecipeError
from mien.faces.crop import CropContract
from mien.pack import PackSplit
from mien.recipe import LossConfig, Recipe
from mien.run import Run
from mien.train import stage, train
from mien.train.plan import plan_training

CLASSES = ("Neutral", "Happy", "Sad")


def quick(recipe: Recipe, **schedule: Any) -> Recipe:
    """The recipe for one epoch, with other values of its schedule."""
    return replace(recipe, schedule=replace(recipe.schedule, **{"epochs": 1, **schedule}))


def different_hashes(split: PackSplit) -> np.ndarray:
    """Hashes of pictures that are nothing like each other, nor like those of a split of another length."""
    return np.random.default_rng(len(split)).integers(0, 256, (len(split), 32), dtype=np.uint8)


def test_several_packs_are_learnt_together(
    make_training_pack: Callable[..., Path],
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run names each pack by its content, in their order, and all by one hash; resuming with others is refused."""
    # The hashes of the tests' packs are all alike.
    monkeypatch.setattr(PackSplit, "read_perceptual_hashes", different_hashes)
    other = make_training_pack(tmp_path / "other.pack", n_train=48, n_val=6, n_missing=0)
    hashes = [
        json.loads((pack / "pack.json").read_text())["content_sha256"] for pack in (training_pack, other)
    ]
    out = tmp_path / "run"
    summary = train(quick(tiny_recipe), [training_pack, other], out)
    run = Run.open(out)
    assert run.pack["members"] == hashes
    assert run.pack["content_sha256"] == hashlib.sha256("".join(hashes).encode()).hexdigest()
    assert run.pack["path"] == f"{training_pack}, {other}"
    assert run.pack["n_train"] + run.pack["n_dev"] + run.pack["n_leaks_left_out"] == 192 + 48
    assert summary is not None
    assert sum(run.pack["train_counts"]) == run.pack["n_train"] == summary.n_train
    (out / "result.json").unlink()
    for packs in ([training_pack], [other, training_pack]):
        with pytest.raises(ArtifactError, match="begun on another pack"):
            train(quick(tiny_recipe), packs, out, resume=True)
    train(quick(tiny_recipe), [training_pack, other], out, resume=True)


@pytest.mark.parametrize("do", [train, plan_training])
def test_a_recipe_made_in_python_is_checked(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, do: Callable[..., object]
) -> None:
    """A value that YAML's reader would refuse is refused before anything is made."""
    recipe = quick(tiny_recipe, loss=LossConfig(landmarks="wng"))  # type: ignore[arg-type]
    arguments = (tmp_path / "run",) if do is train else ()
    with pytest.raises(RecipeError, match=r"`schedule\.loss\.landmarks` must be one of smooth_l1, mse, wing"):
        do(recipe, [training_pack], *arguments)
    assert not (tmp_path / "run").exists()


def test_one_pack_is_a_member_too(trained_run: Path) -> None:
    """A run of one pack is known by that pack's own hash."""
    pack = Run.open(trained_run).pack
    assert pack["members"] == [pack["content_sha256"]]


def test_earlier_weights_with_other_classes(trained_run: Path, tiny_recipe: Recipe) -> None:
    """The backbone and the heads that fit are taken over, the expression head begins anew."""
    path = trained_run / "checkpoints" / "best.safetensors"
    weights = load_file(path)
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(path)))
    network = stage.build_network(recipe, tuple("abcdefg"))
    own = network.state_dict()
    assert own["expression_head.weight"].shape == (7, 1024)
    taken = {
        name
        for name, value in weights.items()
        if own[name].shape == value.shape and torch.equal(own[name], value)
    }
    assert taken == set(weights) - {"expression_head.weight", "expression_head.bias"}


def test_earlier_weights_with_the_classes_in_another_order(trained_run: Path, tiny_recipe: Recipe) -> None:
    """A head of the same shape would answer Happy for Sad: of a run with other classes it begins anew."""
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(trained_run)))
    learnt = load_file(Run.open(trained_run).best_weights_path)
    for classes, is_taken in ((CLASSES, True), (CLASSES[::-1], False)):
        own = stage.build_network(recipe, classes).state_dict()
        assert torch.equal(own["expression_head.weight"], learnt["expression_head.weight"]) == is_taken
        assert torch.equal(own["landmark_head.weight"], learnt["landmark_head.weight"])


def test_an_earlier_run_with_other_dev_faces_is_warned_of(
    training_pack: Path,
    trained_run: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It learnt some of the faces that are to choose the checkpoint."""
    monkeypatch.setattr(stage, "fit", lambda *_, **__: None)
    monkeypatch.setattr(stage, "_finish", lambda *_: {})
    same = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(trained_run)))
    train(same, [training_pack], tmp_path / "same")
    assert capsys.readouterr().err == ""
    train(replace(same, data=replace(same.data, split_seed=5)), [training_pack], tmp_path / "other")
    was = f"{trained_run} kept back other dev faces (`data.split_seed` was {same.data.split_seed}, is 5)"
    assert was in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "too little memory for 24 faces a step"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."),
            "A loader process was killed",
        ),
    ],
)
def test_a_lack_of_memory_is_one_line(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: str,
) -> None:
    """It says what to lower; any other error of torch keeps its traceback."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(lightning.Trainer, "fit", fail)
    with pytest.raises(ModelError, match=expected):
        train(quick(tiny_recipe, batch_size=24), [training_pack], tmp_path / "run")


def test_a_backbones_own_weights(trained_run: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Weights named as timm names them go to the backbone."""
    from safetensors.torch import save_file

    weights = load_file(trained_run / "checkpoints" / "best.safetensors")
    bare = {
        name.removeprefix("backbone."): value
        for name, value in weights.items()
        if name.startswith("backbone.")
    }
    save_file(bare, tmp_path / "bare.safetensors")
    recipe = replace(
        tiny_recipe, model=replace(tiny_recipe.model, weights=str(tmp_path / "bare.safetensors"))
    )
    own = stage.build_network(recipe, CLASSES).backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in bare.items())


def test_weights_of_a_finished_run_are_its_own(
    trained_run: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Weights that another run wrote into the folder of a finished one are not begun from."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(run)))
    stage.build_network(recipe, CLASSES)
    description = (run / "run.json").read_text()
    (run / "run.json").write_text(description.replace("Sad", "Fear"))
    with pytest.raises(ArtifactError, match=r"run\.json has changed since it was written"):
        stage.build_network(recipe, CLASSES)
    (run / "run.json").write_text(description)
    truncate_weights(run)
    with pytest.raises(ArtifactError, match=r"best\.safetensors has changed since it was written"):
        stage.build_network(recipe, CLASSES)


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
        stage.build_network(recipe, CLASSES)


def test_the_first_weights_are_the_seeds(tiny_recipe: Recipe) -> None:
    """A seed decides the first weights, and another seed gives others."""
    one, same = (stage.build_network(tiny_recipe, CLASSES).expression_head.weight for _ in range(2))
    assert torch.equal(one, same)
    other = replace(tiny_recipe, runtime=replace(tiny_recipe.runtime, seed=1))
    assert not torch.equal(one, stage.build_network(other, CLASSES).expression_head.weight)


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
            r"does not know Sad, it knows Neutral, Happy, Fear\. Name the classes .* in `data\.classes`",
            id="lacks a class",
        ),
        pytest.param(
            lambda run: edit_run(run, crop=CropContract("aligned", margin=0.3).to_dict()),
            ModelError,
            r"learnt aligned crops with margin 0\.3, the pack's are \w+ with margin .*Prepare the pack like",
            id="learnt other crops",
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
        stage.load_teacher(
            with_teacher(tiny_recipe, teacher), ("Neutral", "Happy", "Sad"), Run.open(trained_run).crop
        )
    assert str(teacher) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_teachers_classes_are_matched_by_name(trained_run: Path, tiny_recipe: Recipe) -> None:
    """The student's order decides, and classes that only the teacher knows are left out."""
    teacher = stage.load_teacher(
        with_teacher(tiny_recipe, trained_run), ("Sad", "Neutral"), Run.open(trained_run).crop
    )
    assert Run.open(trained_run).classes == ("Neutral", "Happy", "Sad")
    images = torch.from_numpy(Run.open(trained_run).read_dev_outputs().crops)
    logits = torch.from_numpy(Run.open(trained_run).read_dev_outputs().logits)
    assert len(images) == len(logits)
    torch.testing.assert_close(teacher.logits(images), logits[:, [2, 0]], rtol=1e-3, atol=1e-4)
    assert stage.load_teacher(quick(tiny_recipe), ("Sad", "Neutral"), CropContract()) is None
