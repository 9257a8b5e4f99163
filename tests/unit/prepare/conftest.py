"""A builder of raw datasets in AffectNet's 2017 layout, with images that can be recognized."""

import csv
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 120, 96
BOX = (30.0, 24.0, 54.0, 54.0)
HEADER = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip


def draw_image(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """A smooth image of random colors."""
    random = np.random.default_rng(seed)
    small = random.integers(20, 236, (6, 7, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def draw_photo(seed: int = 0, width: int = 2 * WIDTH, height: int = 2 * HEIGHT) -> Pixels:
    """A random image with as much detail at every size as photographs have (amplitude 1 / frequency)."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height)))
    frequency[0, 0] = np.inf
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / frequency).real
    return np.clip((128 + 45 * noise / noise.std())[:, :, None] + (10, 0, -10), 0, 255).astype(np.uint8)


def face_points(box_xywh: tuple[float, float, float, float] = BOX, seed: int = 0) -> NDArray[np.float64]:
    """68 points in a box, eyes and mouth where a face has them."""
    points = np.random.default_rng(seed).uniform(0.1, 0.9, (68, 2))
    points[36:42] = np.random.default_rng(1).uniform(-0.05, 0.05, (6, 2)) + np.array([0.3, 0.4])
    points[42:48] = np.random.default_rng(2).uniform(-0.05, 0.05, (6, 2)) + np.array([0.7, 0.42])
    points[48], points[54] = (0.35, 0.75), (0.66, 0.78)
    return points * box_xywh[2:] + box_xywh[:2]


def write_points(points: NDArray[np.float64]) -> str:
    return ";".join(f"{value:.3f}" for value in points.ravel())


def encode(pixels: Pixels, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}) | options)
    return file.getvalue()


@dataclass
class RawSet:
    """A folder that becomes an AffectNet 2017 set."""

    root: Path
    rows: dict[str, list[tuple[str, ...]]] = field(default_factory=lambda: {"training": [], "validation": []})

    @property
    def images(self) -> Path:
        """The folder of images."""
        return self.root / "Manually_Annotated_Images"

    def put(self, name: str, data: bytes) -> Path:
        """Write an image's file."""
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def add(
        self,
        name: str,
        data: bytes | None = None,
        *,
        box: tuple[object, ...] = BOX,
        points: str | None = None,
        expression: object = 1,
        affect: tuple[object, object] = (0.25, -0.5),
        split: str = "training",
    ) -> None:
        """Add a row, and the file where its data are given. Landmarks are a face's where not given."""
        if data is not None:
            self.put(name, data)
        text = write_points(face_points()) if points is None else points
        cells = (name, *box, text, expression, *affect)
        self.rows[split].append(tuple(str(cell) for cell in cells))

    def write(self, *, begin: str = "", end: str = "\n") -> Path:
        """Write the lists and return the set's folder."""
        self.images.mkdir(parents=True, exist_ok=True)
        for split, rows in self.rows.items():
            text = io.StringIO()
            writer = csv.writer(text, lineterminator=end)
            writer.writerows([HEADER, *rows])
            (self.root / f"{split}.csv").write_bytes((begin + text.getvalue()).encode())
        return self.root


@pytest.fixture
def raw_set(tmp_path: Path) -> RawSet:
    """A set without rows, to be filled."""
    return RawSet(tmp_path / "raw")


@pytest.fixture(scope="module")
def shared_raw_set(tmp_path_factory: pytest.TempPathFactory) -> RawSet:
    """A set without rows for all tests of a module."""
    return RawSet(tmp_path_factory.mktemp("shared") / "raw")


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The builders of this file, for tests to call."""
    return SimpleNamespace(
        draw_image=draw_image,
        draw_photo=draw_photo,
        face_points=face_points,
        write_points=write_points,
        encode=encode,
        box=BOX,
    )


def tree_hash(root: Path) -> str:
    """Return a hash of all names, contents and times below a folder."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_mode}\0".encode())
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def hash_tree() -> Any:
    """Return `tree_hash`."""
    return tree_hash
