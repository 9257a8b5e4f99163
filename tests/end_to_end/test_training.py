"""`mien train` and `mien export` as a person calls them, in this process."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
import yaml
from safetensors.torch import load_file

from mien.cli import main
from mien.formats.onnx_model import OnnxModel
from mien.formats.run import Run
from mien.recipe import Recipe, format_recipe

Mien = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mien(capsys: pytest.CaptureFixture[str]) -> Mien:
    """Return a function that calls a command and returns its exit code, output and errors."""

    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def recipe_path(tiny_recipe: Recipe, tmp_path: Path) -> Path:
    """The tiny recipe as a file."""
    path = tmp_path / "recipe.yaml"
    path.write_text(format_recipe(tiny_recipe), encoding="utf-8")
    return path


@pytest.fixture
def finished_words(recipe_path: Path, training_pack: Path, trained_run: Path) -> list[object]:
    """The words that made a run which is finished."""
    return ["train", "--recipe", recipe_path, "--pack", training_pack, "--out", trained_run]


@pytest.mark.slow
def test_train_then_export(mien: Mien, recipe_path: Path, training_pack: Path, tmp_path: Path) -> None:
    """Two commands make a model file of the chosen classes from a pack."""
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    code, out, err = mien(
        "train", "--recipe", recipe_path, "--pack", training_pack, "--out", run,
        "--schedule.epochs", 1, "--data.classes", "[Sad, Neutral]", "--model.landmarks", "false",
        "--schedule.loss.label_smoothing", 0.1, "--schedule.ema_decay", 0.5,
    )  # fmt: skip
    assert (code, err.count("\n")) == (0, 1), err
    assert out.splitlines()[-1] == f"run: {run}"
    code, out, err = mien("export", run, "--out", model)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"model: {model}"
    info = OnnxModel.load(model).info
    assert (info.classes, info.tasks) == (("Sad", "Neutral"), ("expression", "valence_arousal"))
    assert info.training["recipe"]["schedule"]["loss"]["label_smoothing"] == 0.1


def test_a_run_goes_on_from_an_earlier_runs_weights(
    mien: Mien, recipe_path: Path, training_pack: Path, trained_run: Path, tmp_path: Path
) -> None:
    """A run is named by its folder; a step of rate 0 leaves its weights as they were."""
    run = tmp_path / "run"
    words = [
        "train",
        "--recipe",
        recipe_path,
        "--pack",
        training_pack,
        "--out",
        run,
        "--model.weights",
        trained_run,
    ]
    code, _, err = mien(*words, "--schedule.epochs", 1, "--schedule.learning_rate", 1e-12)
    assert code == 0, err
    before, after = (load_file(path / "checkpoints" / "best.safetensors") for path in (trained_run, run))
    weights = [name for name in before if name.endswith("weight") and "head" in name]
    assert weights
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in weights)
    code, _, err = mien(*words[:-3], tmp_path / "other", "--model.weights", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert "is not a run" in err


def test_print_config_trains_nothing(mien: Mien, recipe_path: Path) -> None:
    """The resolved recipe, with overrides, needs neither pack nor OUT."""
    code, out, _ = mien("train", "--recipe", recipe_path, "--print_config", "--schedule.epochs", 77)
    assert code == 0
    assert out == recipe_path.read_text().replace("  epochs: 6\n", "  epochs: 77\n")


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        pytest.param(["--schedule.epohcs", "3"], 2, "Did you mean `schedule.epochs`?", id="key"),
        pytest.param(["--schedule.epochs", "x"], 2, "must be an integer, got x", id="type"),
        pytest.param(["--model.backbone", "resnt18"], 1, "Did you mean resnet18", id="backbone"),
        pytest.param(["--data.classes", "[Grumpy, Sad]"], 1, "got Grumpy, Sad", id="class"),
        pytest.param([], 1, "already exists", id="existing OUT"),
        pytest.param(["--pack", "nope.pack"], 1, "nope.pack does not exist", id="pack"),
        pytest.param(["--schedule.loss.teacher", "nope"], 1, "Run nope does not exist", id="teacher"),
        pytest.param(
            ["--schedule.epochs", "3", "--schedule.epochs=4"],
            2,
            "`--schedule.epochs` is given twice",
            id="key twice",
        ),
        pytest.param(["--schedule.loss.kind", "x"], 2, "`schedule.loss.kind` is unknown", id="nested key"),
        pytest.param(
            ["--model.backbone", "vit_tiny_patch16_224", "--model.stem_stride", 1],
            1,
            "starts with kernel (16, 16), stride (16, 16). Leave the key out",
            id="stem stride",
        ),
        pytest.param(
            ["--schedule.sam_rho", "0.1", "--runtime.precision", "16-mixed"],
            2,
            "takes two gradients per step",
            id="contradiction",
        ),
    ],
)
def test_a_mistake_is_one_line(
    mien: Mien, finished_words: list[object], words: list[object], code: int, expected: str
) -> None:
    """The exit code is 2 for wrong usage and 1 for what went wrong; nothing is printed but one line."""
    got, out, err = mien(*finished_words, *words)
    assert (got, out) == (code, "")
    assert err.startswith("mien: ")
    assert err.count("\n") == 1
    assert expected in err


@pytest.mark.usefixtures("unlike_faces")
def test_several_packs_of_one_command(
    mien: Mien,
    recipe_path: Path,
    training_pack: Path,
    make_training_pack: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Each --pack is trained on; one that is given twice is refused."""
    other = make_training_pack(tmp_path / "other.pack", n_train=48, n_val=6, n_missing=0)
    words = ["train", "--recipe", recipe_path, "--pack", training_pack, "--schedule.epochs", 1]
    code, _, err = mien(*words, "--pack", other, "--out", tmp_path / "run")
    assert code == 0, err
    run = Run.open(tmp_path / "run")
    assert run.pack["path"] == f"{training_pack}, {other}"
    assert run.pack["n_train"] + run.pack["n_dev"] == 192 + 48
    code, _, err = mien(*words, "--pack", training_pack, "--out", tmp_path / "other")
    assert (code, err.count("\n")) == (1, 1)
    assert "hold the same faces" in err


def test_pack_takes_the_place_of_the_packs_of_a_recipe(mien: Mien) -> None:
    """As every option takes the place of a recipe key; together with the key itself it is refused."""
    words = ["train", "--recipe", "affectnet_and_ferplus", "--pack", "mine.pack", "--print_config"]
    code, out, _ = mien(*words)
    assert code == 0
    assert yaml.safe_load(out)["data"]["packs"] is None
    with pytest.raises(SystemExit) as caught:
        mien(*words, "--data.packs", "[other.pack]")
    assert caught.value.code == 2


def test_pack_and_out_are_needed(mien: Mien, recipe_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Left out, they are wrong usage."""
    with pytest.raises(SystemExit) as caught:
        mien("train", "--recipe", recipe_path)
    assert caught.value.code == 2
    assert "--out, and either --pack or the recipe key `data.packs`, are required" in capsys.readouterr().err


def test_export_of_a_run_that_has_not_finished(mien: Mien, trained_run: Path, tmp_path: Path) -> None:
    """What was killed is to be resumed first."""
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "result.json").unlink()
    code, out, err = mien("export", run, "--out", tmp_path / "model.onnx")
    assert (code, out) == (1, "")
    assert err == f"mien: Run {run} has not finished. Resume it with `mien train ... --resume`\n"
