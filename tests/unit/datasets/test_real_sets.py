"""The datasets themselves, where they are available: every row is accounted for, and counts are the published ones."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.affectnet import open_affectnet
from mien.datasets.ferplus import open_ferplus

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "data"


def require(path: Path) -> Path:
    """Return the path, or skip the test."""
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared data (MIEN_SHARED)")
    return path


@pytest.fixture
def ferplus(tmp_path: Path) -> Path:
    """A folder with FER+'s real lists, and one image in each folder."""
    real = require(SHARED / "ferplus" / "landmarks68.csv.gz").parent
    for name in ("fer2013new.csv", "landmarks68.csv.gz"):
        (tmp_path / name).symlink_to(real / name)
    for folder in ("FER2013Train", "FER2013Valid"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "any.png").touch()
    return tmp_path


def test_ferplus_counts_are_those_of_the_official_rule(ferplus: Path) -> None:
    """Microsoft's reader keeps 25,060 and 3,199 faces; the plain argmax keeps 28,389 and 3,553."""
    assert open_ferplus(ferplus).notes[:2] == (
        "Training: 28,709 rows, of which majority keeps 25,060 and plurality 28,389.",
        "PublicTest: 3,589 rows, of which majority keeps 3,199 and plurality 3,553.",
    )


@pytest.mark.slow
def test_ferplus_rows_are_all_accounted_for(ferplus: Path, read_set: Callable[..., Any]) -> None:
    """Kept and rejected rows of the real list add up, with landmarks from the list next to it."""
    read = read_set(open_ferplus(ferplus))
    assert len(read.rows) == 32_298
    assert Counter(read.reasons) == {"no_majority": 3_790, "not_a_face": 249}
    assert sum(record.landmarks is not None for record in read.records.values()) > 27_000


def test_affectnet_layout_of_real_photographs_is_read_whole(
    tmp_path: Path, read_set: Callable[..., Any]
) -> None:
    """All 3,864 + 450 rows of the real lists become faces, and classes count as its notes say."""
    real = require(SHARED / "lfw-affectnet" / "training.csv").parent
    for name in ("training.csv", "validation.csv"):
        (tmp_path / name).symlink_to(real / name)
    (tmp_path / "Manually_Annotated_Images").mkdir()
    source = open_affectnet(tmp_path)
    read = read_set(source)
    assert Counter(row.split for row in read.rows) == {"train": 3_864, "val": 450}
    assert read.rejects == {}
    counts = Counter(source.class_of(row) for row in read.rows if row.split == "train")
    assert (counts["Neutral"], counts["Contempt"], counts["NonFace"]) == (1500, 5, 150)
