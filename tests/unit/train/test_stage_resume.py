"""Resuming an interrupted run: bit for bit if allowed, one clear error if not."""

import csv
import errno
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from safetensors.torch import load_file

from mien.errors import ArtifactError
from mien.formats.recipe_keys import RENAMED_KEYS
from mien.formats.run import Run
from mien.nets.checkpoint import load_network
from mien.recipe import AugmentConfig, LossConfig, Recipe
from mien.train import run_folder, stage, train
from mien.train.lightning_adapter import FaceModule
from mien.train.logs import best_epoch


def changed(recipe: Recipe, **values: Any) -> Recipe:
    """The recipe with other values, with keys that have two underscores for each dot."""

    def inside(part: Any, names: list[str], value: Any) -> Any:
        first, *rest = names
        return replace(part, **{first: inside(getattr(part, first), rest, value) if rest else value})

    for key, value in values.items():
        recipe = inside(recipe, key.split("__"), value)
    return recipe


def rows_of(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def assert_same(ours: Any, theirs: Any, where: str = "") -> None:
    """Compare two checkpoints' contents, to the last bit."""
    assert type(ours) is type(theirs), where
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), where
        for place, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, f"{where}.{place}")
    elif isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs), where
    else:
        assert ours == theirs, where


def assert_same_end(ours: Path, theirs: Path) -> None:
    """The metrics, the selected weights, the last weights and the optimizer's state are equal to the last bit."""
    assert (ours / "metrics.csv").read_text() == (theirs / "metrics.csv").read_text()
    assert Run.open(ours).read_result() == Run.open(theirs).read_result()
    assert_same(*(load_file(Run.open(run).best_weights_path) for run in (ours, theirs)))
    last, other = (
        torch.load(Run.open(run).last_checkpoint_path, weights_only=True) for run in (ours, theirs)
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert_same(last[part], other[part], part)


@pytest.fixture
def any_algorithm() -> Iterator[None]:
    """Reset torch's deterministic mode, which is global, afterwards."""
    yield
    torch.use_deterministic_algorithms(mode=False)


def test_a_run_resumes_bit_for_bit(
    trained_run: Path,
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interrupted in its fourth epoch and resumed, a run ends with exactly the weights of one that was not."""
    with monkeypatch.context() as patch:

        def stop_in_fourth(metrics_path: Path, select_by: str) -> int:
            epoch = len(rows_of(metrics_path.parent))
            if epoch == 4:
                raise ZeroDivisionError
            return best_epoch(metrics_path, select_by)

        patch.setattr(stage, "best_epoch", stop_in_fourth)
        with pytest.raises(ZeroDivisionError):
            train(tiny_recipe, [training_pack], tmp_path / "run")
    train(tiny_recipe, [training_pack], tmp_path / "run", resume=True)
    assert_same_end(tmp_path / "run", trained_run)


# `mien train` that kills itself with kill -9 while the third epoch's checkpoint is being written.
KILLED_WHILE_WRITING = """
import os, signal, sys, threading
from pathlib import Path
from mien.cli import main
from mien.train.lightning_adapter import FaceModule

def state_of(folder):
    status = os.stat(folder / "last.ckpt")
    return sorted(os.listdir(folder)), status.st_ino, status.st_size

def watch(folder):
    sys.setswitchinterval(1e-5)
    before = state_of(folder)
    while state_of(folder) == before:
        pass
    os.kill(os.getpid(), signal.SIGKILL)

def on_train_epoch_start(self):
    if self.current_epoch == 2:
        threading.Thread(target=watch, args=(Path(sys.argv[-1]) / "checkpoints",), daemon=True).start()

FaceModule.on_train_epoch_start = on_train_epoch_start
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    memory = Path("/dev/shm")  # noqa: S108 - a file system, not a file
    if not (
        memory.is_dir() and os.access(memory, os.W_OK) and memory.stat().st_dev != tmp_path.stat().st_dev
    ):
        pytest.skip("this machine has no second file system that can be written to")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_a_kill_while_the_checkpoint_is_written_costs_an_epoch_at_most(
    trained_run: Path, training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, other_file_system: Path
) -> None:
    """The previous one stays until the new one is complete, wherever TMPDIR is; no partial file stays."""
    out = tmp_path / "run"
    words = [
        "train",
        "--recipe",
        str(trained_run / "recipe.yaml"),
        "--pack",
        str(training_pack),
        "--out",
        str(out),
    ]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(other_file_system)},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(rows_of(out)) == 3
    train(tiny_recipe, [training_pack], out, resume=True)
    assert_same_end(out, trained_run)
    assert not list(out.rglob("*.partial"))
    assert not list(other_file_system.rglob("last*"))


def test_a_full_disk_leaves_the_earlier_checkpoint(
    trained_run: Path,
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line says so, and once there is space the run resumes to the same end."""
    write_bytes = Path.write_bytes

    def write_half(self: Path, content: Any) -> int:
        if self.name.startswith("last.ckpt") and len(rows_of(tmp_path / "run")) == 3:
            write_bytes(self, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_half)
        with pytest.raises(ArtifactError, match=r"disk is full.*--resume"):
            train(tiny_recipe, [training_pack], tmp_path / "run")
    train(tiny_recipe, [training_pack], tmp_path / "run", resume=True)
    assert_same_end(tmp_path / "run", trained_run)


@pytest.fixture(scope="module")
def uneven_pack(make_training_pack: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose second class keeps a third of its faces, since the others are near-duplicates of another split."""
    n_train, n_val = 144, 12
    groups = np.arange(n_train + n_val)
    groups[[face for face in range(n_train) if face % 3 == 1 and face % 9 != 1]] = n_train
    folder = tmp_path_factory.mktemp("packs") / "uneven.pack"
    return make_training_pack(folder, n_train=n_train, n_val=n_val, n_missing=18, groups=groups)


CHANGES = {
    "moving average": {"schedule__ema_decay": 0.9},
    "sharpness-aware": {"schedule__sam_rho": 0.05, "schedule__optimizer": "sgd", "model__drop_rate": 0.2},
    "mixup and cutmix": {"data__augment__mixup_prob": 0.4, "data__augment__cutmix_prob": 0.4},
    "inverse sampling": {"data__sampling": "inverse", "data__sampling_max_repeats": 2.0},
    "learned task weights": {
        "schedule__loss__task_weights": "learned", "schedule__loss__valence_arousal": "ccc_mse",
        "schedule__loss__landmarks": "wing",
    },
    "head epochs": {
        "schedule__freeze_backbone_epochs": 0.5, "schedule__freeze_backbone_learning_rate": 0.01, "schedule__layer_decay": 0.8,
        "schedule__grad_clip_norm": 1.0,
    },
    "everything": {
        "schedule__ema_decay": 0.9, "schedule__sam_rho": 0.05, "data__augment__mixup_prob": 0.4,
        "data__sampling": "square_root", "schedule__loss__task_weights": "learned", "model__stem_stride": 1,
        "model__head_hidden_size": 16, "model__condition_on_landmarks": True, "model__drop_rate": 0.2,
        "schedule__loss__label_smoothing": 0.1, "schedule__loss__smoothing_distribution": "inverse",
        "schedule__loss__teacher": "TEACHER",
    },
}  # fmt: skip


@pytest.mark.usefixtures("any_algorithm")
@pytest.mark.parametrize("name", CHANGES)
def test_everything_trained_resumes_bit_for_bit(
    name: str,
    trained_run: Path,
    uneven_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interrupted in the middle of its second epoch, a run of each kind ends like one that was not."""
    recipe = changed(
        tiny_recipe,
        schedule__epochs=2, schedule__batch_size=12, runtime__deterministic=True, data__dev_fraction=0.3,
        **CHANGES[name],
    )  # fmt: skip
    if recipe.schedule.loss.teacher:
        recipe = changed(recipe, schedule__loss__teacher=str(trained_run))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe, [uneven_pack], whole)
    last = torch.load(Run.open(whole).last_checkpoint_path, weights_only=True)
    steps_per_epoch = last["global_step"] // 2
    with monkeypatch.context() as patch:
        step = FaceModule.training_step

        def stop_in_second_epoch(self: FaceModule, batch: Any, batch_index: int) -> torch.Tensor:
            if self.global_step == steps_per_epoch + steps_per_epoch // 2:
                raise ZeroDivisionError
            return step(self, batch, batch_index)

        patch.setattr(FaceModule, "training_step", stop_in_second_epoch)
        with pytest.raises(ZeroDivisionError):
            train(recipe, [uneven_pack], broken)
    assert len(rows_of(broken)) == 1
    train(recipe, [uneven_pack], broken, resume=True)
    assert_same_end(broken, whole)


def test_a_run_killed_before_its_result_is_finished(
    unfinished: Path, trained_run: Path, training_pack: Path, tiny_recipe: Recipe
) -> None:
    """With every epoch done, --resume only evaluates once more."""
    train(tiny_recipe, [training_pack], unfinished, resume=True)
    assert Run.open(unfinished).read_result() == Run.open(trained_run).read_result()


def test_resume_starts_if_there_is_nothing(training_pack: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """The same command starts and resumes."""
    train(changed(tiny_recipe, schedule__epochs=1), [training_pack], tmp_path / "run", resume=True)
    assert Run.open(tmp_path / "run").read_result()["epochs"] == 1


def test_a_run_killed_while_its_folder_is_made_starts_over(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command turns a folder that was only just started into a normal run."""
    recipe = changed(tiny_recipe, schedule__epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "format_recipe", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, [training_pack], tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "recipe.yaml").exists()
    train(recipe, [training_pack], tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "recipe.yaml").exists()
    assert Run.open(tmp_path / "run").read_result()["epochs"] == 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_under_old_keys(
    unfinished: Path, trained_run: Path, training_pack: Path, tiny_recipe: Recipe
) -> None:
    """A run started before recipe keys were renamed, or existed, can be loaded and resumed."""
    old_names = {new: old.rpartition(".")[2] for old, new in RENAMED_KEYS.items()}

    def under_old_keys(part: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        return {
            old_names.get(prefix + name, name): under_old_keys(value, f"{prefix}{name}.")
            if isinstance(value, dict)
            else value
            for name, value in part.items()
        }

    description = json.loads((unfinished / "run.json").read_text())
    description["recipe"] = under_old_keys(description["recipe"])
    description["recipe"]["schedule"]["loss"]["smoothing_to"] = "all"
    assert "clip_gradient" in description["recipe"]["schedule"]
    # Keys of a task that the earlier release did not have.
    del description["recipe"]["model"]["action_units"]
    del description["recipe"]["schedule"]["loss"]["action_units_weight"]
    (unfinished / "run.json").write_text(json.dumps(description))
    assert_same(*(load_network(Run.open(run)).state_dict() for run in (unfinished, trained_run)))
    train(tiny_recipe, [training_pack], unfinished, resume=True)
    assert_same_end(unfinished, trained_run)


@pytest.mark.parametrize(
    ("part", "change", "expected"),
    [
        pytest.param("schedule", {"epochs": 9}, "`schedule.epochs` was 6, is 9", id="schedule"),
        pytest.param("model", {"drop_rate": 0.5}, "`model.drop_rate` was 0.0, is 0.5", id="model"),
        pytest.param("data", {"input_size": 64}, "`data.input_size` was 32, is 64", id="data"),
        pytest.param("data", {"classes": ["Sad", "Happy"]}, "`data.classes` was null, is", id="classes"),
        pytest.param(
            "schedule",
            {"loss": LossConfig(landmarks="wing")},
            "`schedule.loss.landmarks` was smooth_l1, is wing",
            id="loss",
        ),
        pytest.param(
            "data",
            {"augment": AugmentConfig(hflip_prob=0.1)},
            r"`data\.augment\.hflip_prob` was .*rotation_deg` was .*erase_prob` was",
            id="augment",
        ),
        pytest.param(
            "runtime", {"seed": 5}, "`runtime.seed` was 0, is 5", id="seed, which cuts the dev split"
        ),
    ],
)
def test_resume_with_another_recipe_is_refused(
    unfinished: Path, training_pack: Path, tiny_recipe: Recipe, part: str, change: dict, expected: str
) -> None:
    """What affects training cannot change halfway; the error names the key."""
    recipe = replace(tiny_recipe, **{part: replace(getattr(tiny_recipe, part), **change)})
    with pytest.raises(
        ArtifactError, match=rf"another recipe: {expected}.*recipe\.yaml, or .*--model\.weights"
    ):
        train(recipe, [training_pack], unfinished, resume=True)


def test_resume_on_another_pack_is_refused(
    unfinished: Path, make_training_pack: Callable[..., Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """The pack is identified by its content, not its name."""
    other = make_training_pack(tmp_path / "other.pack", n_train=180)
    with pytest.raises(ArtifactError, match="started on another pack"):
        train(tiny_recipe, [other], unfinished, resume=True)


def test_nothing_is_left_of_a_finished_run(
    trained_run: Path, training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, caplog: Any
) -> None:
    """A script that resumes until it succeeds can repeat it; the earlier run that a kill left is removed."""
    out = tmp_path / "run"
    shutil.copytree(trained_run, out)
    shutil.copytree(trained_run, tmp_path / "run.replaced")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with caplog.at_level("INFO"):
        summary = train(tiny_recipe, [training_pack], out, resume=True)
    assert f"Run {out} is finished, and nothing is left to do." in caplog.text
    assert str(summary).splitlines()[-1] == f"run: {out}"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert not (tmp_path / "run.replaced").exists()


def test_a_finished_run_is_not_that_of_another_recipe(
    trained_run: Path, training_pack: Path, tiny_recipe: Recipe
) -> None:
    """More epochs than it was started with are left to do, but cannot be added."""
    with pytest.raises(ArtifactError, match=r"`schedule.epochs` was 6, is 9.*--model\.weights"):
        train(changed(tiny_recipe, schedule__epochs=9), [training_pack], trained_run, resume=True)


def test_a_run_of_another_format_is_refused(
    unfinished: Path, training_pack: Path, tiny_recipe: Recipe
) -> None:
    """A run started by an incompatible release is not resumed."""
    value = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(json.dumps(value | {"format_version": 99}))
    with pytest.raises(
        ArtifactError, match=r"run format version 99, this release reads 1 and 2\. Train again"
    ) as caught:
        train(tiny_recipe, [training_pack], unfinished, resume=True)
    assert "\n" not in str(caught.value)


class _Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("damage", ["truncated", "text", "pickle", "torch file with code", "empty", "bit"])
def test_a_damaged_checkpoint_is_one_error(
    unfinished: Path, training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, damage: str
) -> None:
    """Whatever last.ckpt holds, it is one line that says what to do, and no code of it runs."""
    path, proof = Run.open(unfinished).last_checkpoint_path, tmp_path / "proof"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-5000])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(_Bomb(proof)))
    elif damage == "torch file with code":
        torch.save({"state_dict": _Bomb(proof)}, path)
    elif damage == "bit":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1  # within the weights: torch would load it
        torch.load(io.BytesIO(content), map_location="meta", weights_only=True)
        path.write_bytes(content)
    else:
        path.write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"last\.ckpt cannot be read.*Remove it to start") as caught:
        train(tiny_recipe, [training_pack], unfinished, resume=True)
    assert "\n" not in str(caught.value)
    assert not proof.exists()


def test_lightning_runs_no_code_of_a_checkpoint(
    unfinished: Path,
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file may have changed by the time that Lightning reads it: Lightning too loads only data."""
    path, proof = Run.open(unfinished).last_checkpoint_path, tmp_path / "proof"
    monkeypatch.setattr(run_folder, "require_readable", lambda _: None)
    torch.save({**torch.load(path, weights_only=True), "bomb": _Bomb(proof)}, path)
    with pytest.raises(pickle.UnpicklingError):
        train(tiny_recipe, [training_pack], unfinished, resume=True)
    assert not proof.exists()
