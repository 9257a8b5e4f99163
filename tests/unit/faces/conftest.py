"""The official YuNet file and real photographs, each if it is available; and a cache of their own for the tests."""

import csv
import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces import detector_file
from mien.faces.detector import YuNetDetector
from mien.faces.images import decode_image

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared"))


@pytest.fixture
def official_file() -> bytes:
    """Return the content that stands in for the official file."""
    return b"stands in for the official file"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, official_file: bytes) -> Path:
    """Give each test a cache of its own, where `official_file` is the official one and there is no network."""
    monkeypatch.delenv("MIEN_DETECTOR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(detector_file, "YUNET_SHA256", hashlib.sha256(official_file).hexdigest())
    monkeypatch.setattr(detector_file, "YUNET_URL", "http://127.0.0.1:9/nobody-listens")
    return tmp_path / "cache" / "mien" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture(scope="module")
def yunet_path() -> Path:
    """Return YuNet's file, or skip the test."""
    path = SHARED / "models" / "face_detection_yunet_2023mar.onnx"
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared models (MIEN_SHARED)")
    return path


@pytest.fixture(scope="module")
def yunet(yunet_path: Path) -> YuNetDetector:
    """Return YuNet."""
    return YuNetDetector(yunet_path)


@pytest.fixture(scope="module")
def photographs() -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Return LFW photographs with their 68 landmarks, or skip the test."""
    folder = SHARED / "data" / "lfw-affectnet"
    if not folder.exists():
        pytest.skip("needs lfw-affectnet of the shared data (MIEN_SHARED)")
    with (folder / "validation.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["expression"]) < 8][::10]
    faces = []
    with zipfile.ZipFile(folder / "Manually_Annotated_Images.zip") as archive:
        for row in rows:
            landmarks = np.array(row["facial_landmarks"].split(";"), dtype=np.float64)
            if landmarks.min() >= 0:
                data = archive.read(f"Manually_Annotated_Images/{row['subDirectory_filePath']}")
                faces.append((decode_image(data), landmarks.reshape(-1, 2)))
    return faces
