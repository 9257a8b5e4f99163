"""Builders of tiny raw datasets, and the one way these tests read a dataset."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.base import REMEDIES, FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.formats.pack.schema import NO_LABEL


@dataclass
class ReadSet:
    """The result of reading a whole dataset."""

    rows: list[RawRow] = field(default_factory=list)
    records: dict[str, FaceRecord] = field(default_factory=dict)
    rejects: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        """The rejected rows' reasons, in order."""
        return [reason for reason, _ in self.rejects.values()]


@pytest.fixture
def read_set() -> Callable[[FaceDataset], ReadSet]:
    """Return a function that parses every row, in a copy of the dataset that went through pickle."""

    def read(dataset: FaceDataset) -> ReadSet:
        worker: FaceDataset = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own bytes
        result = ReadSet(rows=list(dataset.rows()))
        for row in result.rows:
            assert row.split in ("train", "val", "test")
            try:
                record = worker.parse(row)
            except RejectedRow as rejected:
                result.rejects[row.split, row.number] = (rejected.reason, rejected.detail)
            else:
                name = "?" if record.label == NO_LABEL else dataset.classes[record.label]
                assert worker.class_of(row) == name
                result.records[row.key] = record
        assert set(result.reasons) <= set(REMEDIES)
        return result

    return read


@pytest.fixture
def points() -> NDArray[np.float64]:
    """Return 68 points."""
    return np.arange(136, dtype=np.float64).reshape(68, 2) + 0.5


@pytest.fixture
def points_text(points: NDArray[np.float64]) -> str:
    """Return the 68 points as AffectNet's lists write them."""
    return ";".join(f"{value:.2f}" for value in points.ravel())


@pytest.fixture
def put() -> Callable[..., Path]:
    """Return a function that writes a file, making its folders."""

    def write(path: Path, content: str | bytes = b"image") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
