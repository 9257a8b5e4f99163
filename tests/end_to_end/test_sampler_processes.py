"""Which faces the processes of a distributed run draw: watched where they reach the network, so slow."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from mien.formats.pack import Pack
from mien.recipe import DataConfig, Recipe, format_recipe
from mien.train.dataset import TrainingFaces, read_training_faces
from mien.train.imbalance import class_quotas

pytestmark = pytest.mark.slow

TORCHRUN = Path(sys.executable).with_name("torchrun")
N_EPOCHS, BATCH, CAP = 2, 16, 2.5

# Trains as `mien train` does, and writes down the faces of each step with a digest of their pixels. Valence and
# arousal tell the faces of the pack apart, and no random change touches them.
PROGRAM = """
import json, sys, zlib
from pathlib import Path
from mien.formats.pack import Pack
from mien.recipe import read_recipe
from mien.train.dataset import read_training_faces
from mien.train.lightning_adapter import FaceModule, build_trainer, fit
from mien.train.weights import build_network

class Watched(FaceModule):
    def training_step(self, batch, batch_index):
        drawn = [numbers[pair.numpy().tobytes()] for pair in batch.targets["valence_arousal"]]
        digests = [zlib.crc32(image.numpy().tobytes()) for image in batch.images_rgb]
        seen.append([self.current_epoch, drawn, digests])
        return super().training_step(batch, batch_index)

if __name__ == "__main__":
    recipe = read_recipe(Path(sys.argv[1]), sys.argv[4:])
    faces = read_training_faces([Pack.open(Path(sys.argv[2]))], recipe.data)
    numbers = {pair.tobytes(): number for number, pair in enumerate(faces.train.targets["valence_arousal"])}
    assert len(numbers) == len(faces.train)
    seen = []
    out = Path(sys.argv[3])
    trainer = build_trainer(recipe, out, lambda network, result: None)
    module = Watched(build_network(recipe, faces.classes), faces, recipe)
    fit(trainer, module, resume_from=None)
    strategy = type(trainer.strategy).__name__
    report = {"strategy": strategy, "world_size": trainer.world_size, "seen": seen}
    (out / f"rank-{module.global_rank}.json").write_text(json.dumps(report))
"""


@pytest.fixture(scope="module")
def pack(make_training_pack: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose three classes have 12, 64 and 38 faces: the others repeat a face of val, and are left out."""
    groups, labels = np.arange(216), np.arange(216) % 3
    last_kept = np.array([36, 192, 114])[labels]
    groups[:192][groups[:192] >= last_kept[:192]] = 192
    folder = tmp_path_factory.mktemp("rare") / "rare.pack"
    return make_training_pack(folder, n_missing=0, groups=groups)


def read_faces(pack: Path) -> TrainingFaces:
    return read_training_faces([Pack.open(pack)], DataConfig(dev_fraction=0.15))


# What each rank saw: for each of its steps the epoch, the faces and the digests of their pixels.
Seen = list[list[list[Any]]]


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Recipe, pack: Path) -> Callable[..., Seen]:
    """Return a function that trains in so many processes, and returns what each of them saw."""
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    recipe.write_text(format_recipe(tiny_recipe), encoding="utf-8")
    program = recipe.with_name("program.py")
    program.write_text(PROGRAM, encoding="utf-8")

    def train(n_processes: int, **options: object) -> Seen:
        out = tmp_path_factory.mktemp("run")
        words = [str(word) for word in (program, recipe, pack, out, "--runtime.devices", n_processes)]
        words += ["--schedule.epochs", str(N_EPOCHS), "--schedule.batch_size", str(BATCH)]
        words += ["--data.dev_fraction", "0.15", "--data.sampling_max_repeats", str(CAP)]
        words += [f"--{part}={value}" for part, value in options.items()]
        start = (
            [sys.executable] if n_processes == 1 else [str(TORCHRUN), "--nproc-per-node", str(n_processes)]
        )
        done = subprocess.run(
            start + words, capture_output=True, text=True, check=False, timeout=500, start_new_session=True
        )
        assert done.returncode == 0, done.stderr
        reports = [json.loads((out / f"rank-{rank}.json").read_text()) for rank in range(n_processes)]
        assert {report["world_size"] for report in reports} == {n_processes}
        if n_processes > 1:
            assert {report["strategy"] for report in reports} == {"DDPStrategy"}
        return [report["seen"] for report in reports]

    return train


def in_turn(shares: Sequence[list[int]]) -> list[int]:
    return [value for turn in zip(*shares, strict=True) for value in turn]


def deal_together(ranks: Seen) -> list[list[Any]]:
    """The steps of all ranks as those of one, a face of each rank in turn."""
    together = []
    for steps in zip(*ranks, strict=True):
        epochs, faces, digests = zip(*steps, strict=True)
        assert len(set(epochs)) == 1
        together.append([epochs[0], in_turn(faces), in_turn(digests)])
    return together


@pytest.mark.parametrize("sampling", ["uniform", "inverse"])
def test_two_processes_draw_as_one(watch: Callable[..., Seen], pack: Path, sampling: str) -> None:
    """Two processes see between them what one sees, step by step and byte by byte, each another half.

    Together they draw the classes by their quotas, and the faces of a class equally often.
    """
    options = {"data.sampling": sampling}
    (alone,) = watch(1, **options)
    ranks = watch(2, **options, **{"runtime.workers": 1})
    assert deal_together(ranks) == alone
    train = read_faces(pack).train
    counts = np.bincount(train.labels)
    assert counts.tolist() == [10, 54, 32]
    assert len(alone) == N_EPOCHS * 96 / BATCH
    quotas = class_quotas(counts, sampling, n_draws=96, cap=CAP)  # type: ignore[arg-type]
    orders = set()
    for epoch in range(N_EPOCHS):
        first, second = ([face for at, faces, _ in rank if at == epoch for face in faces] for rank in ranks)
        assert len(first) == len(second) == 48
        assert first != second
        drawn = np.bincount(first + second, minlength=96)
        assert (np.abs(np.bincount(train.labels, weights=drawn) - quotas) < 1).all()
        for label in range(3):
            assert np.ptp(drawn[train.labels == label]) <= 1
        assert sampling != "uniform" or (drawn == 1).all()
        orders.add(tuple(first + second))
    assert len(orders) == N_EPOCHS


def test_two_processes_draw_the_same_again(watch: Callable[..., Seen]) -> None:
    """Started again, each process sees the very faces and pixels that it saw."""
    options = {"data.sampling": "square_root", "schedule.epochs": 1}
    assert watch(2, **options) == watch(2, **options)
