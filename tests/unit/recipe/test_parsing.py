"""Reading recipes: parts, overrides, and one clear line for every mistake."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="recipes need the train extra")

from mien.errors import RecipeError
from mien.formats.recipe_keys import RENAMED_KEYS
from mien.recipe import LossConfig, Recipe, ScheduleConfig, format_recipe, format_recipe_help, read_recipe
from mien.recipe.parsing import OTHER_NAMES
from mien.recipe.validation import value_types

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file into the recipe's folder."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_no_file_gives_the_defaults() -> None:
    """Without a recipe every key has its default."""
    assert read_recipe(None, []) == Recipe()


def test_bundled_recipes_have_names(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name comes first, bundled parts have names as well, and the help lists all recipes."""
    monkeypatch.chdir(tmp_path)
    assert read_recipe("demo", []).model.backbone == "resnet10t"
    assert read_recipe("demo", ["--runtime", "gpu"]).runtime.accelerator == "gpu"
    for name in ("demo", "ferplus_resnet10_aligned_48"):
        assert f"\n  {name}  " in format_recipe_help()
    write("demo", "model: {backbone: resnet18}\n")
    assert read_recipe("demo", []).model.backbone == "resnet18"


def test_a_recipe_that_does_not_exist() -> None:
    """The error names the nearest one, and all of them."""
    with pytest.raises(
        RecipeError, match=r"affectnet_b0 does not exist\. Did you mean affectnet_b0_224\?.* demo, "
    ):
        read_recipe("affectnet_b0", [])


def test_a_part_may_be_a_file_or_inline(write: Write) -> None:
    """Part files are relative to the recipe, inline parts are taken as they are."""
    write("model/small.yaml", "backbone: resnet18\npretrained: false\n")
    recipe = read_recipe(
        write("r.yaml", "model: model/small.yaml\nschedule: {epochs: 3, learning_rate: 1e-2}\n"), []
    )
    assert (recipe.model.backbone, recipe.model.pretrained) == ("resnet18", False)
    assert (recipe.schedule.epochs, recipe.schedule.learning_rate) == (3, 0.01)
    assert recipe.data == Recipe().data


@pytest.mark.parametrize(
    ("overrides", "values"),
    [
        pytest.param(["--schedule.epochs", "10"], (10, "resnet18", 0.5, None), id="two words"),
        pytest.param(["--schedule.epochs=10"], (10, "resnet18", 0.5, None), id="equals sign"),
        pytest.param(["--model.backbone", "resnet50"], (3, "resnet50", 0.5, None), id="text"),
        pytest.param(["--data.augment.hflip_prob", "0"], (3, "resnet18", 0, None), id="nested"),
        pytest.param(
            ["--schedule.loss.landmarks", "wing"], (3, "resnet18", 0.5, None), id="nested elsewhere"
        ),
        pytest.param(["--data.classes", "[Happy, Sad]"], (3, "resnet18", 0.5, ["Happy", "Sad"]), id="list"),
        pytest.param(
            ["--schedule.epochs", "4", "--schedule.epochs", "5"], (5, "resnet18", 0.5, None), id="last"
        ),
    ],
)
def test_overrides_win(write: Write, overrides: list[str], values: tuple[object, ...]) -> None:
    """A value on the command line replaces the file's, and leaves the others."""
    path = write("r.yaml", "model: {backbone: resnet18}\nschedule: {epochs: 3}\n")
    recipe = read_recipe(path, overrides)
    assert values == (
        recipe.schedule.epochs,
        recipe.model.backbone,
        recipe.data.augment.hflip_prob,
        recipe.data.classes,
    )


def test_a_part_may_extend_a_file(write: Write) -> None:
    """`from` names the file, and the other keys change it, in nested mappings as well; the file stays as it is."""
    write(
        "schedule/long.yaml",
        "epochs: 90\nlearning_rate: 0.5\nloss: {landmarks: wing, label_smoothing: 0.1}\n",
    )
    recipe = read_recipe(
        write("r.yaml", "schedule: {from: schedule/long.yaml, epochs: 9, loss: {label_smoothing: 0.2}}\n"), []
    )
    assert recipe.schedule == ScheduleConfig(
        epochs=9, learning_rate=0.5, loss=LossConfig(landmarks="wing", label_smoothing=0.2)
    )
    whole = read_recipe(write("s.yaml", "schedule: {from: schedule/long.yaml}\n"), [])
    assert whole.schedule.loss == LossConfig(landmarks="wing", label_smoothing=0.1)


def test_a_part_file_on_the_command_line(write: Write) -> None:
    """An override may name a part file, relative to the current folder."""
    part = write("other.yaml", "backbone: resnet50\n")
    recipe = read_recipe(
        write("r.yaml", "model: {backbone: resnet18, drop_rate: 0.1}\n"), ["--model", str(part)]
    )
    assert (recipe.model.backbone, recipe.model.drop_rate) == ("resnet50", 0.1)


def test_what_is_printed_reads_back(write: Write) -> None:
    """The printed recipe gives the same recipe again."""
    changes = {
        "data.classes": "[Happy, Sad]", "schedule.grad_clip_norm": "5", "schedule.loss.valence_arousal": "ccc_mse",
        "schedule.ema_decay": "0.99", "data.packs": "[a.pack, b.pack]", "schedule.loss.teacher": "runs/one",
    }  # fmt: skip
    recipe = read_recipe(None, [f"--{key}={value}" for key, value in changes.items()])
    assert recipe.schedule.loss == LossConfig(valence_arousal="ccc_mse", teacher="runs/one")
    assert recipe.data.packs == ["a.pack", "b.pack"]
    assert read_recipe(write("again.yaml", format_recipe(recipe)), []) == recipe


def test_a_single_key_overrides_a_part_in_any_order() -> None:
    """A part given after a key does not undo it in silence."""
    key, part = ["--schedule.epochs", "6"], ["--schedule", "{epochs: 3, momentum: 0.5}"]
    for overrides in ([*key, *part], [*part, *key]):
        schedule = read_recipe(None, overrides).schedule
        assert (schedule.epochs, schedule.momentum) == (6, 0.5)


def test_names_of_other_trainers_stand_for_keys() -> None:
    """Each leads to a key that exists."""
    assert set(OTHER_NAMES.values()) <= set(value_types())


# Nine to the power of eight words if expanded.
BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in pairwise("abcdefghi")
)

WRONG = [
    pytest.param(
        "model: {backbne: x}", "`model.backbne` is unknown. Did you mean `model.backbone`?", id="key"
    ),
    pytest.param("models: {backbone: x}", "`models` is unknown. Did you mean `model`?", id="part"),
    pytest.param(
        "data: {augment: {hflp_prob: 1}}", "Did you mean `data.augment.hflip_prob`?", id="nested key"
    ),
    pytest.param(
        "schedule: {epochs: ten}", "`schedule.epochs` must be an integer, got ten", id="text for int"
    ),
    pytest.param(
        "schedule: {epochs: 1.5}", "`schedule.epochs` must be an integer, got 1.5", id="float for int"
    ),
    pytest.param("schedule: {epochs: null}", "`schedule.epochs` must be an integer, got null", id="null"),
    pytest.param(
        "runtime: {accelerator: null}",
        "`runtime.accelerator` must be one of auto, cpu, gpu, got null",
        id="null for text",
    ),
    pytest.param("model: {pretrained: maybe}", "`model.pretrained` must be true or false", id="bool"),
    pytest.param("schedule: {optimizer: lion}", "must be one of sgd, adamw, got lion", id="choice"),
    pytest.param("schedule: {grad_clip_norm: x}", "must be a number or null, got x", id="optional"),
    pytest.param("data: {classes: Happy}", "must be a list such as [Happy, Sad]", id="list"),
    pytest.param("data: {classes: [No, Sad]}", "`data.classes` must be a list", id="YAML's own no"),
    pytest.param("schedule: {epochs: 0}", "`schedule.epochs` must be from 1 to 100000, got 0", id="range"),
    pytest.param("schedule: {learning_rate: .nan}", "`schedule.learning_rate` must be from", id="nan"),
    pytest.param(
        "data: {augment: {hflip_prob: 3}}", "`data.augment.hflip_prob` must be from 0 to 1", id="nested range"
    ),
    pytest.param("schedule: {loss: {landmarks: huber}}", "one of smooth_l1, mse, wing, got huber", id="loss"),
    pytest.param(
        "schedule: {loss: {label_smothing: 1}}",
        "Did you mean `schedule.loss.label_smoothing`?",
        id="loss key",
    ),
    pytest.param("schedule: {label_smoothing: 0.1}", "`schedule.label_smoothing` is unknown", id="moved key"),
    pytest.param("schedule: {loss: mse}", "`schedule.loss` must be a mapping, got 'mse'", id="text for loss"),
    pytest.param(
        "schedule: {loss: {label_smoothing: 1}}",
        "`schedule.loss.label_smoothing` must be from 0",
        id="smoothing",
    ),
    pytest.param("model: {stem_stride: 0}", "`model.stem_stride` must be from 1 to 4, got 0", id="stride"),
    pytest.param("data: {packs: a.pack}", "`data.packs` must be a list", id="text for packs"),
    pytest.param(
        "data: {sampling: rare}", "uniform, inverse, square_root, effective, got rare", id="sampling"
    ),
    pytest.param("runtime: {seed: -1}", "`runtime.seed` must be from 0", id="seed"),
    pytest.param("runtime: {workers: -1}", "`runtime.workers` must be from 0", id="workers"),
    pytest.param(
        "schedule: {batch_size: 33}\nruntime: {devices: 2}", "must be a multiple of the 2", id="batch"
    ),
    pytest.param("model: nope.yaml", "nope.yaml does not exist", id="missing part file"),
    pytest.param("model: broken.yaml", "broken.yaml is not valid YAML", id="broken part file"),
    pytest.param(
        "model: list.yaml", "list.yaml must be a mapping of keys to values", id="part file of a list"
    ),
    pytest.param("model: {from: nope.yaml}", "nope.yaml does not exist", id="missing file to stand on"),
    pytest.param("model: {from: wrong.yaml}", "wrong.yaml: Recipe key `model.backbne`", id="key in it"),
    pytest.param(
        "model: {from: small.yaml, backbne: x}", "r.yaml: Recipe key `model.backbne`", id="key over it"
    ),
    pytest.param(
        "model: {from: 3}", "`model` must be a part file or a mapping, got 3", id="number to stand on"
    ),
    pytest.param(
        "data: {from: data.yaml, augment: {hflip_prob: 3}}",
        "`data.augment.hflip_prob` must be from 0 to 1",
        id="range over it",
    ),
    pytest.param("model: twice.yaml", "key `backbone` is given twice, line 2", id="key twice in a part file"),
    pytest.param("model: wrong.yaml", "wrong.yaml: Recipe key `model.backbne`", id="key in a part file"),
    pytest.param("model: 3", "`model` must be a part file or a mapping, got 3", id="number for a part"),
    pytest.param("model:", "`model` must be a part file or a mapping, got None", id="nothing for a part"),
    pytest.param(
        "data: {augment: big}", "`data.augment` must be a mapping, got 'big'", id="text for a mapping"
    ),
    pytest.param("schedule: {epochs: 3, epochs: 4}", "key `epochs` is given twice, line 1", id="key twice"),
    pytest.param(
        "model: {backbone: a}\nmodel: {backbone: b}", "key `model` is given twice, line 2", id="part twice"
    ),
    pytest.param("model: [", "is not valid YAML", id="broken"),
    pytest.param(
        "a: &a [x]\nb: &b [*a, *a]",
        "aliases (*name) are not read; write the value out, line 2",
        id="alias",
    ),
    pytest.param("model: bomb.yaml", "bomb.yaml is not valid YAML: aliases", id="bomb in a part"),
    pytest.param("model: " + "[" * 5000, "is nested too deep", id="deep"),
    pytest.param("# " + "x" * 100_000, "has 100,002 bytes, at most 100,000 are read", id="large"),
    pytest.param("schedule:\n\tepochs: 3", "is not valid YAML", id="tab"),
    pytest.param("- a", "must be a mapping of keys to values", id="list for a recipe"),
    pytest.param("", "must be a mapping of keys to values, got nothing", id="empty"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_every_mistake_is_one_line(write: Write, text: str, expected: str) -> None:
    """Each mistake in a file is one line that names it, with the exit code for wrong usage."""
    write("bomb.yaml", BOMB)
    write("broken.yaml", "backbone: [a\n")
    write("list.yaml", "- a\n")
    write("twice.yaml", "backbone: a\nbackbone: b\n")
    write("wrong.yaml", "backbne: a\n")
    write("small.yaml", "backbone: resnet18\n")
    write("data.yaml", "augment: {hflip_prob: 0}\n")
    with pytest.raises(RecipeError) as caught:
        read_recipe(write("r.yaml", text), [])
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("option", [["--model", "{}"], ["--model={}"]], ids=["two words", "equals sign"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("backbone: &a x\nweights: *a\n", "aliases (*name) are not read", id="alias"),
        pytest.param("backbone: a\nbackbone: b\n", "key `backbone` is given twice, line 2", id="key twice"),
        pytest.param("backbne: a\n", "Did you mean `model.backbone`?", id="key"),
    ],
)
def test_a_part_file_on_the_command_line_is_read_like_any(
    write: Write, option: list[str], text: str, expected: str
) -> None:
    """What is refused in a recipe's part file is refused in one named by an override."""
    path = write("part.yaml", text)
    with pytest.raises(RecipeError, match=re.escape(expected)):
        read_recipe(None, [word.format(path) for word in option])
    write("part.yaml", "backbone: resnet50\n")
    assert read_recipe(None, [word.format(path) for word in option]).model.backbone == "resnet50"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param(["--schedule.epohcs", "3"], "Did you mean `schedule.epochs`?", id="key"),
        pytest.param(["--epochs", "3"], "Did you mean `schedule.epochs`?", id="no part"),
        pytest.param(["--schedule.lr", "1"], "Did you mean `schedule.learning_rate`?", id="initials"),
        pytest.param(
            ["--schedule.teacher", "x"], "Did you mean `schedule.loss.teacher`?", id="one part missing"
        ),
        pytest.param(
            ["--schedule.loss.landmarks", "x"], "one of smooth_l1, mse, wing, got x", id="nested choice"
        ),
        pytest.param(["--schedule.epochs"], "expected one argument", id="no value"),
        pytest.param(["--schedule.epochs", "x"], "must be an integer, got x", id="type"),
        pytest.param(["--schedule.epochs", "0"], "must be from 1", id="range"),
        pytest.param(["--model", "nope.yaml"], "The part file nope.yaml does not exist", id="part file"),
        pytest.param(["--model", "resnet18"], "write `--model.KEY VALUE`", id="value for a part"),
        pytest.param(["--runtime", "gpuu"], "Bundled: default, gpu", id="bundled parts"),
        pytest.param(["stray"], "unrecognized arguments: stray", id="stray word"),
        pytest.param(["epochs=3"], "Did you mean `--schedule.epochs=3`?", id="no dashes"),
        pytest.param(["--lr", "3"], "Did you mean `schedule.learning_rate`?", id="initials without a part"),
        pytest.param(["--batch-size", "3"], "Did you mean `schedule.batch_size`?", id="dash in the name"),
        pytest.param(["--imgsz", "3"], "Did you mean `data.input_size`?", id="name in other trainers"),
        pytest.param(
            ["--schedule.scheduler", "x"], "See `mien train --help` for the keys", id="nothing alike"
        ),
        pytest.param(["--data.classes", "Happy,Sad"], "Write it in brackets: [Happy,Sad]", id="list"),
    ],
)
def test_a_wrong_override_is_one_line(overrides: list[str], expected: str) -> None:
    """Each mistake on the command line is one line that names it."""
    with pytest.raises(RecipeError) as caught:
        read_recipe(None, overrides)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "model: {class_path: mien.recipe.ModelConfig, init_args: {backbone: resnet18}}",
        "model: {class_path: os.system, init_args: {command: 'touch PROOF'}}",
        "model: !!python/object/apply:os.system ['touch PROOF']",
        "model: {backbone: !!python/object/apply:os.system ['touch PROOF']}",
        "runtime: {seed: !!python/name:os.system ''}",
    ],
)
def test_a_recipe_cannot_run_code(write: Write, tmp_path: Path, text: str) -> None:
    """Class paths and YAML's object tags are refused, and none of their code runs."""
    proof = tmp_path / "proof"
    with pytest.raises(RecipeError):
        read_recipe(write("r.yaml", text.replace("PROOF", str(proof))), [])
    assert not proof.exists()


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_a_renamed_key(write: Write, old: str, new: str) -> None:
    """An old name in a recipe or on the command line is one line that gives the new name, which exists."""
    assert new in value_types()
    *parts, name = old.split(".")
    text = f"{name}: 1"
    for part in reversed(parts):
        text = f"{part}: {{{text}}}"
    path = write("r.yaml", text)
    for arguments in ((path, []), (None, [f"--{old}=1"]), (None, [f"--{old}", "1"])):
        with pytest.raises(RecipeError) as caught:
            read_recipe(*arguments)
        assert str(caught.value).removeprefix(f"{path}: ") == f"Recipe key `{old}` is now `{new}`"


def test_a_part_file_with_a_renamed_key(write: Write) -> None:
    """The line names the part's file."""
    write("old.yaml", "clip_gradient: 5\n")
    with pytest.raises(RecipeError, match=r"old\.yaml: .*clip_gradient` is now `schedule\.grad_clip_norm`$"):
        read_recipe(write("r.yaml", "schedule: old.yaml\n"), [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("5", "5", id="number as text"),
        pytest.param("null", None, id="null"),
        pytest.param("a: b", "a: b", id="YAML as text"),
    ],
)
def test_text_on_the_command_line_is_literal(text: str, value: str | None) -> None:
    """A run's folder may be called `5`."""
    assert read_recipe(None, ["--schedule.loss.teacher", text]).schedule.loss.teacher == value


def test_an_integer_for_a_float(write: Write) -> None:
    """It becomes a float, so that the same recipe is stored however it was written."""
    for recipe in (
        read_recipe(write("r.yaml", "schedule: {warmup_epochs: 2}\n"), []),
        read_recipe(None, ["--schedule.warmup_epochs", "2"]),
    ):
        assert type(recipe.schedule.warmup_epochs) is float


def test_a_group_as_a_mapping_on_the_command_line() -> None:
    """A YAML mapping changes the values that it names."""
    recipe = read_recipe(None, ["--schedule.loss", "{label_smoothing: 0.2}"])
    assert recipe.schedule.loss == LossConfig(label_smoothing=0.2)


def test_a_missing_recipe(tmp_path: Path) -> None:
    """The error names the missing recipe."""
    with pytest.raises(RecipeError, match=r"nope\.yaml does not exist"):
        read_recipe(tmp_path / "nope.yaml", [])


def test_a_recipe_with_a_byte_order_mark(write: Write) -> None:
    """Windows editors put a mark before the first key."""
    assert read_recipe(write("r.yaml", "\ufeffschedule: {epochs: 3}\n"), []).schedule.epochs == 3


def test_the_help_explains_every_key() -> None:
    """The help has every key with its explanation."""
    text = format_recipe_help()
    for key in value_types():
        assert f"--{key} " in text
    assert "Any timm model name" in text
    assert "smooth_l1 or wing" in text
