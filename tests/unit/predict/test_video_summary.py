"""What a video comes to."""

import pytest

from mien.inference.results import FacePrediction, ImagePrediction, row_without_face
from mien.predict.video_summary import MAX_TRACKS, VideoSummary


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


def take(tally: VideoSummary, seconds: float, *rows: FacePrediction) -> None:
    """Count a frame with these faces."""
    empty = FacePrediction("a", seconds=seconds, status="no_face")
    tally.take(ImagePrediction("a", rows or (empty,)))


def test_shares_and_means_are_of_time() -> None:
    """A frame stands for the time since the one before: of uneven frames the long ones count more."""
    tally = VideoSummary("a.mp4", rate=10)
    take(tally, 0.0, row(0.0, 0, "Happy", 0.0))
    take(tally, 0.1, row(0.1, 0, "Happy", 0.0))
    take(tally, 0.9, row(0.9, 0, "Sad", -1.0))
    head, _, line = tally.lines()
    assert head == "a.mp4: 3 frames, 1.0 s, a face in 100% of them"
    assert line.split() == ["0", "1.0", "s", "-0.80", "-0.80", "Sad", "80%,", "Happy", "20%"]


def test_a_model_without_affect_has_dashes() -> None:
    tally = VideoSummary("a", rate=10)
    take(tally, 0.0, row(0.0, 0, valence=None))
    assert [*tally.lines()][2].split()[3:5] == ["-", "-"]


def test_those_seen_longest_stand_for_a_crowd() -> None:
    tally = VideoSummary("a", rate=1)
    for second in range(30):
        take(tally, float(second), *(row(float(second), track) for track in range(second, 30)))
    lines = [*tally.lines()]
    assert [line.split()[0] for line in lines[2:5]] == ["29", "28", "27"]
    assert len(lines) == 2 + MAX_TRACKS + 1
    assert lines[-1] == "  and 10 more, each seen 10.0 s or less"


def test_a_video_without_a_face_says_so() -> None:
    tally = VideoSummary("a", rate=10)
    take(tally, 0.0)
    assert [*tally.lines()] == ["a: 1 frames, 0.1 s, a face in 0% of them"]


@pytest.mark.parametrize("n_frames", [0, 2])
def test_what_could_not_be_read_is_told(n_frames: int) -> None:
    tally = VideoSummary("a", rate=10)
    for index in range(n_frames):
        take(tally, index / 10, row(index / 10, 0))
    tally.take(ImagePrediction("a", (row_without_face("a", ("truncated_video", "it ends")),)))
    lines = [*tally.lines()]
    assert lines[-1] == "a: truncated_video: it ends"
    assert len(lines) == (1 if n_frames == 0 else 4)
