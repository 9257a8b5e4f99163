"""A raw dataset of colored images, one of which is labeled wrongly, its pack, and runs that never were."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.datasets.registry import DatasetOptions
from mien.formats.pack import Pack
from mien.formats.run import HASHED_FILES, Run
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare

CLASSES = ("Neutral", "Happy", "Sad")
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])
N_PER_CLASS = 8
# Green, but in the folder of Sad. A comma and quotes in its name have to survive all files.
WRONG = 'train/Sad/odd, "x".png'


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of classes in `train` and `val`."""
    root = tmp_path_factory.mktemp("raw") / "faces"
    rng = np.random.default_rng(0)
    for split, n in (("train", N_PER_CLASS), ("val", 2)):
        for number, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            names = [f"{index}.png" for index in range(n)]
            for file in [*names, *[Path(WRONG).name] * (f"{split}/{name}" == str(Path(WRONG).parent))]:
                color = COLORS[1 if file == Path(WRONG).name else number]
                # Every image has a pattern of its own: no near-duplicates.
                pattern = rng.uniform(0.5, 1, (6, 6)).repeat(10, axis=0).repeat(10, axis=1)
                Image.fromarray((pattern[:, :, None] * color).astype(np.uint8)).save(folder / file)
    return root


@pytest.fixture(scope="session")
def prepare_raw(raw: Path) -> Callable[..., Pack]:
    """Return a function that makes a pack of the set, with corrections if they are given."""

    def make(out: Path, corrections: Path | None = None) -> Pack:
        options = PrepareOptions(size=64, workers=1, corrections=corrections, dataset=DatasetOptions())
        prepare("folder", raw, out, options)
        return Pack.open(out)

    return make


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory, prepare_raw: Callable[..., Pack]) -> Pack:
    """The pack without corrections."""
    return prepare_raw(tmp_path_factory.mktemp("packs") / "faces.pack")


@pytest.fixture
def write_run(pack: Pack) -> Callable[..., Path]:
    """Return a function that writes a finished run whose network says what color some training faces have."""

    def write(
        out: Path, rows: np.ndarray, *, classes: tuple[str, ...] = CLASSES, recipe: dict | None = None
    ) -> Path:
        (out / "checkpoints").mkdir(parents=True)
        train = pack.split("train")
        names = [pack.info.classes[label] for label in train.labels[rows]]
        seen = ["Happy" if train.keys[row] == WRONG else name for row, name in zip(rows, names, strict=True)]
        logits = 4 * np.eye(len(classes), dtype=np.float32)[[classes.index(name) for name in seen]]
        described = {"source": "folder", "members": [pack.info.content_sha256], "path": str(pack.path)}
        run = Run(out, classes, pack.info.crop, recipe or {}, described)
        (out / "run.json").write_text(json.dumps(run.to_dict()))
        run.best_weights_path.write_bytes(b"")
        np.savez(
            out / "dev.npz",
            logits=logits,
            labels=np.array([classes.index(name) for name in names]),
            crops=np.zeros((1, 32, 32, 3), np.uint8),
            pack_numbers=np.zeros(len(rows), np.int64),
            rows=rows,
        )
        assert all((out / name).exists() for name in HASHED_FILES)
        run.write_result(
            {"best_epoch": 1, "epochs": 1, "select_by": "accuracy", "dev": {"n": len(rows), "accuracy": 1.0}}
        )
        return out

    return write


@pytest.fixture
def write_folds(write_run: Callable[..., Path], pack: Pack) -> Callable[..., Path]:
    """Return a function that writes a cross-validation of two such runs, which together hold out every training face."""

    def write(out: Path) -> Path:
        rows = np.arange(len(pack.split("train")))
        folders = [f"fold-{fold}" for fold in range(2)]
        for fold, folder in enumerate(folders):
            write_run(out / folder, rows[rows % 2 == fold])
        (out / "runs.json").write_text(
            json.dumps({"kind": "folds", "runs": [{"folder": one} for one in folders]})
        )
        folds = [{"folder": one, "temperature": 1.0} for one in folders]
        (out / "summary.json").write_text(json.dumps({"kind": "folds", "folds": folds}))
        return out

    return write
