"""A sample set on disk."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.faces.images import UnreadableImage, decode_image
from mien.sample.write import SampleSummary, write_sample

N_FACES = 44
HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleSummary]:
    out = tmp_path_factory.mktemp("sample") / "faces"
    return out, write_sample(out, n_faces=N_FACES, seed=5, workers=1)


def rows_of(out: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for split in ("training", "validation"):
        with (out / f"{split}.csv").open(newline="") as file:
            rows += [{**row, "split": split} for row in csv.DictReader(file)]
    return rows


def digest(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("split", ["training", "validation"])
def test_the_header_is_affectnets(sample: tuple[Path, SampleSummary], split: str) -> None:
    """The first line is that of the 2017 release, letter for letter."""
    assert (sample[0] / f"{split}.csv").read_bytes().split(b"\n")[0].decode() == HEADER


def test_landmarks_are_136_numbers_with_two_decimals(sample: tuple[Path, SampleSummary]) -> None:
    """Faces have 136 numbers as AffectNet writes them, NonFace rows 136 times -1."""
    for row in rows_of(sample[0]):
        cells = row["facial_landmarks"].split(";")
        assert len(cells) == 136
        if row["expression"] == "10":
            assert set(cells) == {"-1"}
        else:
            assert all(len(cell.split(".")[1]) == 2 for cell in cells)


def test_classes_without_affect_have_minus_two(sample: tuple[Path, SampleSummary]) -> None:
    """None, Uncertain and NonFace carry -2 for valence and arousal; the expressions carry numbers in [-1, 1]."""
    for row in rows_of(sample[0]):
        if row["expression"] in ("8", "9", "10"):
            assert (row["valence"], row["arousal"]) == ("-2", "-2")
        else:
            assert abs(float(row["valence"])) <= 1
            assert abs(float(row["arousal"])) <= 1


def test_all_images_decode_but_the_planted_ones(sample: tuple[Path, SampleSummary]) -> None:
    """One file is empty, one cut off, one a web page, one missing; all others are images."""
    found: Counter[str] = Counter()
    for row in rows_of(sample[0]):
        path = sample[0] / "Manually_Annotated_Images" / row["subDirectory_filePath"]
        if not path.exists():
            found["missing_file"] += 1
            continue
        try:
            decode_image(path.read_bytes())
        except UnreadableImage as refusal:
            found[refusal.reason] += 1
    assert found == {"missing_file": 1, "empty_file": 1, "truncated_image": 1, "not_an_image": 1}


def test_one_expression_is_no_number(sample: tuple[Path, SampleSummary]) -> None:
    """One row has a label that nothing can be made of."""
    assert sum(not row["expression"].isdigit() for row in rows_of(sample[0])) == 1


def test_two_images_stand_in_both_splits(sample: tuple[Path, SampleSummary]) -> None:
    """Two validation files repeat training files byte for byte, under other names."""
    contents: dict[str, set[bytes]] = {"training": set(), "validation": set()}
    for row in rows_of(sample[0]):
        path = sample[0] / "Manually_Annotated_Images" / row["subDirectory_filePath"]
        if path.exists():
            contents[row["split"]].add(path.read_bytes())
    assert len(contents["training"] & contents["validation"]) == 2


def test_the_summary_counts_what_is_there(sample: tuple[Path, SampleSummary]) -> None:
    """Its counts are those of the lists, the unusable rows apart, and its text names them."""
    out, summary = sample
    assert sum(sum(classes.values()) for classes in summary.counts.values()) == N_FACES
    assert len(rows_of(out)) == N_FACES + summary.n_unusable
    assert summary.counts["validation"] == dict.fromkeys(AFFECTNET_CLASSES, 1)
    assert f"{N_FACES} drawn images" in str(summary)
    assert "Contempt" in str(summary)


def test_processes_and_repetition_change_nothing(sample: tuple[Path, SampleSummary], tmp_path: Path) -> None:
    """The same seed gives the same bytes, drawn by one process or by two, OpenCV's own threads running or not."""
    cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (31, 31), 0)
    for workers in (1, 2):
        write_sample(tmp_path / str(workers), n_faces=104, seed=5, workers=workers)
    assert digest(tmp_path / "1") == digest(tmp_path / "2")


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    """Without force a folder with something in it is an error, and nothing is written."""
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ArtifactError, match="already exists"):
        write_sample(tmp_path, n_faces=22, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_force_does_not_replace_a_real_set(tmp_path: Path) -> None:
    """A folder of AffectNet's layout that mien did not draw stays, force or not."""
    out = tmp_path / "affectnet"
    out.mkdir()
    (out / "training.csv").write_text(HEADER)
    with pytest.raises(ArtifactError, match="mien did not make it"):
        write_sample(out, n_faces=22, workers=1, force=True)
    assert (out / "training.csv").read_text() == HEADER


def test_force_replaces_a_sample(tmp_path: Path) -> None:
    """With force an earlier sample set gives way."""
    out = tmp_path / "faces"
    write_sample(out, n_faces=22, seed=1, workers=1)
    before = digest(out)
    write_sample(out, n_faces=22, seed=2, workers=1, force=True)
    assert digest(out) != before
    assert not (tmp_path / "faces.partial").exists()
