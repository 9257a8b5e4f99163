"""Sample sets on disk."""

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


def read_rows(out: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for split in ("training", "validation"):
        with (out / f"{split}.csv").open(newline="") as file:
            rows += [{**row, "split": split} for row in csv.DictReader(file)]
    return rows


def digest(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("split", ["training", "validation"])
def test_header_is_that_of_affectnet(sample: tuple[Path, SampleSummary], split: str) -> None:
    """The first line is identical to that of the 2017 release."""
    assert (sample[0] / f"{split}.csv").read_bytes().split(b"\n")[0].decode() == HEADER


def test_landmarks_are_136_numbers_with_two_decimals(sample: tuple[Path, SampleSummary]) -> None:
    """Faces have 136 numbers in AffectNet's format, NonFace rows 136 times -1."""
    for row in read_rows(sample[0]):
        cells = row["facial_landmarks"].split(";")
        assert len(cells) == 136
        if row["expression"] == "10":
            assert set(cells) == {"-1"}
        else:
            assert all(len(cell.split(".")[1]) == 2 for cell in cells)


def test_classes_without_affect_have_minus_two(sample: tuple[Path, SampleSummary]) -> None:
    """None, Uncertain and NonFace have -2 for valence and arousal; expressions have numbers in [-1, 1]."""
    for row in read_rows(sample[0]):
        if row["expression"] in ("8", "9", "10"):
            assert (row["valence"], row["arousal"]) == ("-2", "-2")
        else:
            assert abs(float(row["valence"])) <= 1
            assert abs(float(row["arousal"])) <= 1


def test_all_images_decode_except_the_faulty_ones(sample: tuple[Path, SampleSummary]) -> None:
    """One file is empty, one truncated, one a web page, one missing; all others are images."""
    found: Counter[str] = Counter()
    for row in read_rows(sample[0]):
        path = sample[0] / "Manually_Annotated_Images" / row["subDirectory_filePath"]
        if not path.exists():
            found["missing_file"] += 1
            continue
        try:
            decode_image(path.read_bytes())
        except UnreadableImage as error:
            found[error.reason] += 1
    assert found == {"missing_file": 1, "empty_file": 1, "truncated_image": 1, "not_an_image": 1}


def test_one_expression_is_not_a_number(sample: tuple[Path, SampleSummary]) -> None:
    """One row has an invalid label."""
    assert sum(not row["expression"].isdigit() for row in read_rows(sample[0])) == 1


def test_two_images_are_in_both_splits(sample: tuple[Path, SampleSummary]) -> None:
    """Two validation files are identical to training files, under other names."""
    contents: dict[str, set[bytes]] = {"training": set(), "validation": set()}
    for row in read_rows(sample[0]):
        path = sample[0] / "Manually_Annotated_Images" / row["subDirectory_filePath"]
        if path.exists():
            contents[row["split"]].add(path.read_bytes())
    assert len(contents["training"] & contents["validation"]) == 2


def test_summary_counts_the_rows(sample: tuple[Path, SampleSummary]) -> None:
    """Its counts are those of the lists without the unusable rows, and its text shows them."""
    out, summary = sample
    assert sum(sum(classes.values()) for classes in summary.counts.values()) == N_FACES
    assert len(read_rows(out)) == N_FACES + summary.n_unusable
    assert summary.counts["validation"] == dict.fromkeys(AFFECTNET_CLASSES, 1)
    assert f"{N_FACES} drawn images" in str(summary)
    assert "Contempt" in str(summary)


def test_set_does_not_depend_on_the_number_of_processes(
    sample: tuple[Path, SampleSummary], tmp_path: Path
) -> None:
    """One process and two draw the same bytes, even if OpenCV has threads."""
    cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (31, 31), 0)
    for workers in (1, 2):
        write_sample(tmp_path / str(workers), n_faces=104, seed=5, workers=workers)
    assert digest(tmp_path / "1") == digest(tmp_path / "2")


def test_existing_folder_is_not_changed(tmp_path: Path) -> None:
    """Without force, a folder with content is an error, and nothing is written."""
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ArtifactError, match="already exists"):
        write_sample(tmp_path, n_faces=22, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_force_does_not_replace_a_real_set(tmp_path: Path) -> None:
    """A folder in AffectNet's layout that mien did not draw is never replaced."""
    out = tmp_path / "affectnet"
    out.mkdir()
    (out / "training.csv").write_text(HEADER)
    with pytest.raises(ArtifactError, match="mien did not make it"):
        write_sample(out, n_faces=22, workers=1, force=True)
    assert (out / "training.csv").read_text() == HEADER


def test_force_replaces_a_sample(tmp_path: Path) -> None:
    """With force, an earlier sample set is replaced."""
    out = tmp_path / "faces"
    write_sample(out, n_faces=22, seed=1, workers=1)
    before = digest(out)
    write_sample(out, n_faces=22, seed=2, workers=1, force=True)
    assert digest(out) != before
    assert not (tmp_path / "faces.partial").exists()
