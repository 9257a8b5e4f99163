"""The terms of use that are recorded of a raw dataset."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.datasets.registry import DATASETS, DatasetOptions, open_dataset
from mien.datasets.terms import DRAWN, IF_IT_IS, find_terms
from mien.sample.write import write_sample

AFFECTNET = f"{DATASETS['affectnet'].terms}{IF_IT_IS}"


def terms_of(kind: str, raw: Path, **options: str) -> str | None:
    chosen = DatasetOptions(**options)  # type: ignore[arg-type]
    return find_terms(kind, raw, open_dataset(kind, raw, chosen), chosen)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set drawn by `mien sample`."""
    folder = tmp_path_factory.mktemp("terms") / "drawn"
    write_sample(folder, n_faces=22, workers=1)
    return folder


def test_a_drawn_set_has_none_of_affectnet(drawn: Path, tmp_path: Path) -> None:
    """The layout is AffectNet's, the faces are not; another file of that name proves nothing."""
    assert terms_of("affectnet", drawn) == DRAWN
    for text in ("{}", "not JSON", '{"made_by": "me"}'):
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        for name in ("training.csv", "validation.csv", "Manually_Annotated_Images"):
            if not (other / name).exists():
                (other / name).symlink_to(drawn / name)
        (other / "sample.json").write_text(text)
        assert terms_of("affectnet", other) == AFFECTNET


def test_a_users_terms_come_first(drawn: Path) -> None:
    """Every kind takes them, on the command line or in a file that describes sets."""
    assert terms_of("affectnet", drawn, terms="CC0") == "CC0"


def test_terms_of_merged_sets(drawn: Path, tmp_path: Path) -> None:
    """All of them, once each; a set without known terms adds none."""
    for name in ("a", "b"):
        for place in ("happy", "sad"):
            (tmp_path / name / place).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / name / place / "1.png"), np.zeros((8, 8, 3), np.uint8))
    file = tmp_path / "sets.yaml"
    file.write_text(
        f"crop: whole\nsources:\n  - {{name: d, kind: affectnet, raw: {drawn}}}\n"
        "  - {name: a, kind: folder, raw: a, terms: my own}\n  - {name: b, kind: folder, raw: b}\n"
    )
    assert terms_of("yaml", file) == f"{DRAWN}; my own"
    file.write_text("kind: folder\nraw: a\nterms: my own")
    assert terms_of("yaml", file) == "my own"
    assert terms_of("yaml", file, terms="CC BY 4.0") == "CC BY 4.0"
    file.write_text("kind: folder\nraw: b")
    assert terms_of("yaml", file) is None


def test_names_without_a_limit_keep_it_so(tmp_path: Path) -> None:
    """Nothing is added where no terms were found."""
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n0," + " ".join(["9"] * 2304) + ",Training\n")
    assert terms_of("fer2013", tmp_path) == "none found"
