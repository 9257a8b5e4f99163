"""Aff-Wild2: annotations of every frame of a video, for several tasks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.aff_wild2 import open_aff_wild2
from mien.errors import DatasetError
from mien.formats.pack.schema import NO_LABEL

EXPRESSIONS = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
AFFECT = "valence,arousal"


@pytest.fixture
def annotate(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a video's annotation for one task, and images of the given frames."""

    def write(
        video: str,
        lines: Sequence[object],
        *,
        task: str = "EXPR_Classification_Challenge",
        folder: str = "Train_Set",
        header: str = EXPRESSIONS,
        frames: Sequence[int] | None = None,
    ) -> Path:
        put(
            tmp_path / "annotations" / task / folder / f"{video}.txt",
            "\n".join([header, *map(str, lines)]) + "\n",
        )
        for number in range(1, len(lines) + 1) if frames is None else frames:
            put(tmp_path / "cropped_aligned" / video / f"{number:05d}.jpg")
        return tmp_path

    return write


@pytest.fixture
def affect(annotate: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a video's valence and arousal."""

    def write(video: str, lines: Sequence[str], **options: Any) -> Path:
        return annotate(video, lines, **({"task": "VA_Estimation_Challenge", "header": AFFECT} | options))

    return write


def test_tasks_are_joined_by_frame(
    annotate: Callable[..., Path], affect: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Line i + 1 is frame i; -1 and -5 mean none; a frame without any label is left out and counted."""
    annotate("a", [4, -1, 7, -1])
    affect("a", ["0.5,-0.25", "0.1,0.2", "-5,-5", "-5,-5"])
    raw = annotate("b", [0], folder="Validation_Set")
    source = open_aff_wild2(raw)
    assert (source.name, source.natural_crop) == ("aff-wild2", "whole")
    assert source.classes == (
        "Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Other",
    )  # fmt: skip
    read = read_set(source)
    found = {
        key: (None if r.label == NO_LABEL else source.classes[r.label], r.valence, r.arousal, r.clip)
        for key, r in read.records.items()
    }
    assert found == {
        "cropped_aligned/a/00001.jpg": ("Happy", 0.5, -0.25, "a"),
        "cropped_aligned/a/00002.jpg": (None, 0.1, 0.2, "a"),
        "cropped_aligned/a/00003.jpg": ("Other", None, None, "a"),
        "cropped_aligned/b/00001.jpg": ("Neutral", None, None, "b"),
    }
    assert [row.split for row in read.rows] == ["train"] * 3 + ["val"]
    assert "1 of 5 annotated frames have no label (-1, -5) in any task, and are left out." in source.notes


def test_missing_crops_do_not_shift_labels(
    annotate: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """A frame without a detected face has no image: the next one keeps its own label."""
    source = open_aff_wild2(annotate("a", [0, 1, 4, 5], frames=[1, 3]))
    read = read_set(source)
    assert {row.key[-9:]: source.class_of(row) for row in read.rows} == {
        "00001.jpg": "Neutral",
        "00003.jpg": "Happy",
    }
    assert "2 labeled frames have no image in `cropped_aligned`, and are left out." in source.notes


def test_order_of_the_names_is_that_of_the_file(
    annotate: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """The first line says what the numbers mean: an earlier release has no Other, another file another order."""
    annotate("a", [1], task="EXPR_Set", folder="Training_Set", header="Neutral,Anger,Disgust,Fear,Happiness")
    raw = annotate("b", [1], task="EXPR_Set", folder="Training_Set", header="Happiness,Sadness, ")
    source = open_aff_wild2(raw)
    assert [source.class_of(row) for row in source.rows()] == ["Anger", "Sad"]


def test_video_of_both_sets_is_validated_on(
    annotate: Callable[..., Path], affect: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """It is val, with the labels of the task whose validation set it is in, so that no clip is on both sides."""
    annotate("a", [4, -1], folder="Validation_Set")
    source = open_aff_wild2(affect("a", ["0.5,0.5", "0.5,0.5"]))
    read = read_set(source)
    assert [(row.split, row.key) for row in read.rows] == [("val", "cropped_aligned/a/00001.jpg")]
    (record,) = read.records.values()
    assert (source.classes[record.label], record.valence) == ("Happy", None)
    assert source.notes[2].startswith("1 videos are in the training set of one task")


def test_second_person_shares_the_clip(annotate: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Two faces of a video belong to one clip."""
    for video in ("v1", "v1_left", "v2_right"):
        raw = annotate(video, [0])
    assert [record.clip for record in read_set(open_aff_wild2(raw)).records.values()] == ["v1", "v1", "v2"]


def test_affect_alone_has_no_classes(affect: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Other tasks and videos without annotations are named."""
    raw = affect("a", ["0.5,0.5"] * 4)
    for name in ("AU_Detection_Challenge/Train_Set/a.txt", "Other_Videos/x.txt"):
        path = raw / "annotations" / name
        path.parent.mkdir(parents=True)
        path.write_text("AU1\n0\n")
    (raw / "cropped_aligned" / "z").mkdir()
    source = open_aff_wild2(raw, every=3)
    assert source.classes == ()
    assert [row.key[-9:] for row in source.rows()] == ["00001.jpg", "00004.jpg"]
    assert "Tasks that are not read: `AU_Detection_Challenge`." in source.notes
    assert "1 videos have no annotation, and are left out: `z`." in source.notes


@pytest.mark.parametrize(
    ("task", "lines", "message"),
    [
        ("EXPR_Set", ["9"], r"line 2 must be -1 or a number below 8, got '9'"),
        ("EXPR_Set", ["0.1,0.2"], r"must be -1 or a number below 8"),
        ("VA_Set", ["0.1"], r"must be two numbers"),
        ("VA_Set", ["a,b"], r"must be two numbers"),
    ],
)
def test_damaged_annotations_are_refused(
    annotate: Callable[..., Path], task: str, lines: list[str], message: str
) -> None:
    """A file of another task or with lost cells is one error with its line."""
    with pytest.raises(DatasetError, match=message):
        open_aff_wild2(annotate("a", lines, task=task))


def test_missing_parts_are_named(annotate: Callable[..., Path], tmp_path: Path) -> None:
    """The error says whether images or annotations are missing, and names a file without its first line."""
    with pytest.raises(DatasetError, match="there are no such annotations"):
        open_aff_wild2(tmp_path)
    annotate("a", [0], frames=[])
    with pytest.raises(DatasetError, match="there is no `cropped_aligned/`"):
        open_aff_wild2(tmp_path)
    with pytest.raises(DatasetError, match="must begin with a line of names"):
        open_aff_wild2(annotate("a", [0], header="0"))
