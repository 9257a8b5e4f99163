"""Builders for tests that need a pack, written with the pack's own writer."""

import gc
import hashlib
import os
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Networks this small gain nothing from threads, and threads that spin while they wait starve the other tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from mien.faces.crop import CropContract
from mien.faces.images import encode_jpeg
from mien.faces.quality import QUALITY
from mien.formats.pack import PackSplit
from mien.formats.pack.schema import FORMAT_VERSION, PackedFace, PackInfo
from mien.formats.pack.writer import close_pack, compute_content_sha256, write_shard
from mien.runtime import onnx_session
from mien.tasks import NO_ANNOTATIONS, Annotations

if TYPE_CHECKING:
    from mien.recipe import Recipe

# The same for OpenCV, and for sessions of onnxruntime whose test asks for no number of threads.
cv2.setNumThreads(1)
onnx_session.cpu_quota = onnx_session.usable_cpu_cores = lambda: 1  # type: ignore[assignment]

# No test fails because a machine is busy.
settings.register_profile("mien", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mien")

CLASSES = ("Neutral", "Happy", "Sad")
COLORS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])
SIDE = 40


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from imported modules, which stay to the end: looking through them takes long."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    if (stage := sys.modules.get("mien.export.stage")) is not None:
        stage.to_onnx = once_for_each_network(stage.to_onnx)
    return result


def pytest_sessionfinish() -> None:
    """Let Python take the modules apart as it always does at its end."""
    gc.unfreeze()


def once_for_each_network(to_onnx: Callable[..., Any]) -> Callable[..., Any]:
    """Let tests that export a network again take the same graph: torch needs seconds for the smallest."""
    exported: dict[str, bytes] = {}

    def take_or_export(graph: Any, info: Any) -> Any:
        import onnx

        # Structure, settings and weights; a pickle of the same network differs each time.
        plain = (bool, int, float, str, tuple, type(None))
        settings = [
            {name: value for name, value in vars(module).items() if isinstance(value, plain)}
            for module in graph.modules()
        ]
        digest = hashlib.sha256(
            repr((graph, graph.annotations, settings, info.input_size, info.tasks)).encode()
        )
        for name, value in [*graph.named_parameters(), *graph.named_buffers()]:
            digest.update(name.encode() + value.detach().numpy().tobytes())
        key = digest.hexdigest()
        if key not in exported:
            exported[key] = to_onnx(graph, info).SerializeToString()
        return onnx.load_from_string(exported[key])

    return take_or_export


def make_colored_face(
    key: str, label: int, random: np.random.Generator, *, landmarks: bool = True, votes: bool = False
) -> PackedFace:
    """A noisy gray square in which a disk of the label's color stands at a random place.

    The 68 landmarks ring the disk, valence follows its height, arousal its side.
    """
    center = random.uniform(0.35, 0.65, 2)
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    disk = np.hypot(columns - center[0], rows - center[1]) < 0.25
    pixels = random.integers(60, 160, (SIDE, SIDE, 1)).repeat(3, axis=2)
    pixels[disk] = COLORS[label] + random.integers(-40, 40, (int(disk.sum()), 3))
    jpeg = encode_jpeg(pixels.astype(np.uint8))
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = center + 0.25 * np.column_stack([np.cos(angles), np.sin(angles)])
    shares = np.full(len(CLASSES), 0.1)
    shares[label] = 0.8
    return PackedFace(
        key=key,
        row=1,
        jpeg=jpeg,
        image_sha256=hashlib.sha256(jpeg).digest(),
        perceptual_hash=bytes(32),
        label=label,
        crop_method="whole",
        distribution=tuple(shares) if votes else None,
        landmarks=ring.astype(np.float32) if landmarks else None,
        valence=float(1 - 2 * center[1]) if landmarks else None,
        arousal=float(2 * center[0] - 1) if landmarks else None,
    )


@cache
def draw_training_faces(
    n_train: int, n_val: int, n_missing: int, *, votes: bool
) -> dict[str, tuple[PackedFace, ...]]:
    """Return the colored faces of each split, in turn of class; see `write_training_pack`."""
    random = np.random.default_rng(0)
    return {
        split: tuple(
            make_colored_face(
                f"{split}/{number}.jpg",
                number % len(CLASSES),
                random,
                landmarks=split == "val" or number >= n_missing,
                votes=votes,
            )
            for number in range(n_faces)
        )
        for split, n_faces in (("train", n_train), ("val", n_val))
    }


def write_training_pack(
    folder: Path,
    *,
    n_train: int = 192,
    n_val: int = 24,
    n_missing: int = 24,
    votes: bool = False,
    groups: np.ndarray | None = None,
    hashes: np.ndarray | None = None,
    stated: Callable[[int], dict[str, Any]] | None = None,
    annotations: Annotations = NO_ANNOTATIONS,
) -> Path:
    """Write a pack of colored faces in turn of class; the first ``n_missing`` lack all but their label.

    ``hashes`` are the perceptual hashes of train, then val, ``(N, 32)`` uint8; zeros where not given. ``stated`` returns
    further fields of each face by its number, such as ``person``, in the same order; ``annotations`` are the columns of
    optional tasks among them.
    """
    folder.mkdir(parents=True)
    counts, unlabeled, shards = {}, {}, []
    for split, drawn in draw_training_faces(n_train, n_val, n_missing, votes=votes).items():
        faces = list(drawn)
        if hashes is not None:
            own = hashes[:n_train] if split == "train" else hashes[n_train:]
            faces = [
                replace(face, perceptual_hash=row.tobytes()) for face, row in zip(faces, own, strict=True)
            ]
        if stated is not None:
            first = 0 if split == "train" else n_train
            faces = [replace(face, **stated(first + number)) for number, face in enumerate(faces)]
        name = f"{split}-00000.arrow"
        shards.append(write_shard(folder / name, split, faces, len(CLASSES), annotations))
        found = np.bincount([face.label + 1 for face in faces], minlength=4).tolist()
        counts[split] = dict(zip(CLASSES, found[1:], strict=True))
        unlabeled |= {split: found[0]} if found[0] else {}
    n = n_train + n_val
    info = PackInfo(
        format_version=FORMAT_VERSION, mien_version="0", source="test", classes=CLASSES,
        crop=CropContract(method="whole", size=SIDE), counts=counts, rejected={}, rejected_by_reason={},
        warnings={}, crop_methods={"whole": n}, duplicates={}, n_rows=n, n_kept=n, n_rejected=0,
        content_sha256=compute_content_sha256(folder, shards, CLASSES, annotations), shards=tuple(shards),
        unlabeled=unlabeled, annotations=annotations,
    )  # fmt: skip
    close_pack(folder, info, np.arange(n, dtype=np.int64) if groups is None else groups)
    return folder


@pytest.fixture(scope="session")
def make_training_pack() -> Callable[..., Path]:
    """Return the writer of packs that a small network learns in seconds."""
    return write_training_pack


@pytest.fixture(scope="session")
def training_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of 192 training and 24 val faces, an eighth of the former without landmarks."""
    return write_training_pack(tmp_path_factory.mktemp("packs") / "colors.pack")


@pytest.fixture(scope="session")
def tiny_recipe() -> "Recipe":
    """A recipe that learns the colored faces in seconds on a CPU, with all three heads."""
    pytest.importorskip("torch", reason="training needs the train extra")
    from mien.recipe import AugmentConfig, DataConfig, ModelConfig, Recipe, RuntimeConfig, ScheduleConfig

    return Recipe(
        ModelConfig(backbone="mobilenetv3_small_050", pretrained=False, action_units=False, drop_rate=0.0),
        DataConfig(input_size=32, dev_fraction=0.2, augment=AugmentConfig(rotation_deg=5.0, erase_prob=0.1)),
        ScheduleConfig(epochs=6, batch_size=16, learning_rate=0.005, weight_decay=0.01),
        RuntimeConfig(accelerator="cpu", workers=0),
    )


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, training_pack: Path, tiny_recipe: "Recipe") -> Path:
    """A finished run on the colored faces. Do not write into it."""
    from mien.train import stage
    from mien.train.logs import draw_curves

    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:  # see `no_plots`
        patch.setattr(stage, "draw_curves", draw_curves)
        stage.train(tiny_recipe, [training_pack], out)
    return out


@pytest.fixture(autouse=True)
def no_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out a run's curves, and draw the plots of a report empty: they take longer than the rest of a small one.

    What a session's or a module's fixtures train and evaluate is drawn, since these come before the fixtures of a test;
    so is that of a test with `real_plots`.
    """
    if "real_plots" in request.fixturenames:
        return
    if (stage := sys.modules.get("mien.train.stage")) is not None:
        monkeypatch.setattr(stage, "draw_curves", lambda *_: None)
    if (figures := sys.modules.get("mien.evaluate.figures")) is not None:
        empty = '<svg role="img" aria-label="{}"></svg>'
        monkeypatch.setattr(figures, "_to_svg", lambda _figure, _name, label: empty.format(label))


@pytest.fixture
def unlike_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the faces of `write_training_pack`, whose hashes are alike, unlike each other and those of other packs."""

    def different_hashes(split: PackSplit) -> np.ndarray:
        return np.random.default_rng(len(split)).integers(0, 256, (len(split), 32), dtype=np.uint8)

    monkeypatch.setattr(PackSplit, "read_perceptual_hashes", different_hashes)
    monkeypatch.setattr(PackSplit, "read_thumbnails", lambda split: np.zeros((len(split), 32, 32), np.uint8))


@pytest.fixture
def real_plots() -> None:
    """Let runs and reports of the test have their plots."""


@pytest.fixture(autouse=True)
def plain_squares_can_be_faces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift the limits on the quality of faces, for tests whose faces are plain squares; `quality_limits` keeps them."""
    if "quality_limits" not in request.fixturenames:
        limits = {"least_face_px": 0, "least_brightness": 0, "least_sharpness": 0, "most_covered": 1}
        monkeypatch.setitem(QUALITY, "limits", limits)


@pytest.fixture
def quality_limits() -> dict[str, float]:
    """Return the limits on the quality of faces, which then hold in the test."""
    limits: dict[str, float] = QUALITY["limits"]
    return limits
