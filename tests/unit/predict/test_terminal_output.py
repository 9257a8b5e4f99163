"""The table of images and the summary of a video."""

import io
from dataclasses import replace

import numpy as np
import pytest

from mien.inference.results import FacePrediction, ImagePrediction, row_without_face
from mien.predict.terminal_output import MAX_TRACKS, TableWriter, VideoSummary

CLASSES = ("Neutral", "Happy")
FACE = FacePrediction(
    "in/ä, b.jpg",
    face=0,
    box_xyxy=np.array([1.234, 2, 3, 4]),
    score=0.987654321,
    expression="Happy",
    confidence=0.75,
    probabilities={"Neutral": 0.25, "Happy": 0.75},
    landmarks=np.arange(136, dtype=np.float64).reshape(68, 2) / 3,
    valence=0.5,
    arousal=-0.25,
)
EMPTY = FacePrediction("empty.jpg", status="no_face")
UNREADABLE = FacePrediction("bad.jpg", status="not_an_image", detail='begins with b"<html>\n"')


EXPRESSION_ONLY = FacePrediction("a", face=0, expression="Happy", confidence=0.9)


def row(seconds: float, track: int, expression: str = "Happy", valence: float | None = 0.5) -> FacePrediction:
    return FacePrediction(
        "a",
        seconds=seconds,
        track=track,
        expression=expression,
        confidence=0.9,
        valence=valence,
        arousal=valence,
    )


def add_frame(summary: VideoSummary, seconds: float, *rows: FacePrediction) -> None:
    """Add a frame with these faces."""
    empty = FacePrediction("a", seconds=seconds, status="no_face")
    summary.add(ImagePrediction("a", rows or (empty,)))


def test_fractions_and_means_are_weighted_by_time() -> None:
    """Each frame counts for the time until the next one, the last for that of the frame rate."""
    summary = VideoSummary("a.mp4", frame_rate=10)
    add_frame(summary, 0.0, row(0.0, 0, "Happy", 0.0))
    add_frame(summary, 0.1, row(0.1, 0, "Happy", 0.0))
    add_frame(summary, 0.9, row(0.9, 0, "Sad", -1.0))
    header, _, line = summary.lines()
    assert header == "a.mp4: 3 frames, 1.0 s, a face in 100% of them"
    assert line.split() == ["0", "1.0", "s", "-0.10", "-0.10", "Happy", "90%,", "Sad", "10%"]


def test_a_pause_belongs_to_the_frame_that_is_shown_and_damage_to_nobody() -> None:
    summary = VideoSummary("a.mkv", frame_rate=10)
    add_frame(summary, 0.0, row(0.0, 0, "Happy"))
    add_frame(summary, 60.0, row(60.0, 1, "Sad"))
    damaged = replace(row_without_face("a", ("damaged_frame", "lost")), seconds=60.1)
    summary.add(ImagePrediction("a", (damaged,)))
    add_frame(summary, 70.0, row(70.0, 1, "Sad"))
    seen = [line.split()[:2] for line in [*summary.lines()][2:4]]
    assert seen == [["0", "60.0"], ["1", "0.2"]]


def test_a_model_without_affect_has_no_columns_for_it() -> None:
    summary = VideoSummary("a", frame_rate=10)
    add_frame(summary, 0.0, row(0.0, 0, "Happy", valence=None))
    _, header, line = summary.lines()
    assert header.split() == ["track", "seen", "expressions"]
    assert line.split() == ["0", "0.1", "s", "Happy", "100%"]
    stream = io.StringIO()
    TableWriter(stream, CLASSES, ["a"], has_affect=False).write(EXPRESSION_ONLY)
    assert [line.split() for line in stream.getvalue().splitlines()] == [
        ["image", "face", "expression", "conf."],
        ["a", "0", "Happy", "90%"],
    ]


def test_a_person_without_affect_among_others_has_dashes() -> None:
    summary = VideoSummary("a", frame_rate=10)
    add_frame(summary, 0.0, row(0.0, 0, valence=0.5), row(0.0, 1, valence=None))
    assert [*summary.lines()][3].split()[3:5] == ["-", "-"]


def test_a_crowd_is_summarized_by_the_people_seen_longest() -> None:
    summary = VideoSummary("a", frame_rate=1)
    for second in range(30):
        add_frame(summary, float(second), *(row(float(second), track) for track in range(second, 30)))
    lines = [*summary.lines()]
    assert [line.split()[0] for line in lines[2:5]] == ["29", "28", "27"]
    assert len(lines) == 2 + MAX_TRACKS + 1
    assert lines[-1] == "  and 10 more, each seen 10.0 s or less"


@pytest.mark.parametrize(("min_face_px", "size"), [(0, ""), (60, " of at least 60 px")])
def test_a_video_without_a_face(min_face_px: int, size: str) -> None:
    summary = VideoSummary("a", frame_rate=10, min_face_px=min_face_px)
    add_frame(summary, 0.0)
    assert [*summary.lines()] == [f"a: 1 frame, 0.1 s, a face{size} in 0% of them"]


@pytest.mark.parametrize("n_frames", [0, 2])
def test_problems_are_reported(n_frames: int) -> None:
    summary = VideoSummary("a", frame_rate=10)
    for index in range(n_frames):
        add_frame(summary, index / 10, row(index / 10, 0))
    summary.add(ImagePrediction("a", (row_without_face("a", ("truncated_video", "it ends")),)))
    lines = [*summary.lines()]
    assert lines[-1] == "a: truncated_video: it ends"
    assert len(lines) == (1 if n_frames == 0 else 4)


def table_lines(*rows: FacePrediction) -> list[str]:
    """Write and split into lines."""
    stream = io.StringIO()
    writer = TableWriter(stream, CLASSES, [row.source for row in rows])
    for row in rows:
        writer.write(row)
    return stream.getvalue().splitlines()


def test_the_table_is_aligned() -> None:
    """The expressions start in one column, whatever the names' lengths and widths."""
    wide = FacePrediction(
        "中文照片.jpg", face=0, expression="Happy", confidence=0.5, valence=0.1, arousal=0.2
    )
    header, first, second = table_lines(FACE, wide)
    assert header.index("expression") == first.index("Happy")
    # four characters take two columns each, so the line has four characters less
    assert second.index("Happy") == first.index("Happy") - 4
    assert first.split() == ["in/ä,", "b.jpg", "0", "Happy", "75%", "+0.50", "-0.25"]


def test_the_table_reports_problems_in_one_line() -> None:
    """A line break in a detail does not break the table."""
    lines = table_lines(EMPTY, UNREADABLE)
    assert len(lines) == 3
    assert lines[1].endswith("no face found")
    assert "not_an_image: begins with" in lines[2]


def test_a_long_name_keeps_its_end_in_the_table() -> None:
    """It is shortened at its start."""
    deep = FacePrediction("folder/" * 30 + "photo.jpg", status="no_face")
    line = table_lines(deep)[1]
    assert line.startswith("…")
    assert "folder/photo.jpg" in line
    assert len(line) < 90


def test_a_name_that_is_not_valid_unicode_is_written() -> None:
    """It does not break the table."""
    table_lines(FacePrediction("photo\udcff.jpg", status="no_face"))[1].encode("utf-8")
