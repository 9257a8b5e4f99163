"""The data sets themselves, where they are available: every row is accounted for, and counts are the published ones."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.affectnet import open_affectnet
from mien.datasets.ferplus import count_votes, open_ferplus

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "data"


def require(path: Path) -> Path:
    """Return the path, or skip the test."""
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared data (MIEN_SHARED)")
    return path


def test_ferplus_counts_are_those_of_the_official_rule() -> None:
    """Microsoft's reader keeps 25,060 and 3,199 faces; the plain argmax keeps 28,389 and 3,553."""
    assert count_votes(require(SHARED / "ferplus" / "fer2013new.csv").parent) == {
        "train": {"rows": 28_709, "majority": 25_060, "plurality": 28_389},
        "val": {"rows": 3_589, "majority": 3_199, "plurality": 3_553},
    }


@pytest.mark.slow
def test_ferplus_rows_are_all_accounted_for(tmp_path: Path, read_set: Callable[..., Any]) -> None:
    """Kept and rejected rows of the real list add up, with landmarks from the list next to it."""
    real = require(SHARED / "ferplus" / "landmarks68.csv.gz").parent
    for name in ("fer2013new.csv", "landmarks68.csv.gz"):
        (tmp_path / name).symlink_to(real / name)
    for folder in ("FER2013Train", "FER2013Valid"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "any.png").touch()
    read = read_set(open_ferplus(tmp_path))
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
