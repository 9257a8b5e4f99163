"""Timelines: what is collected, and that memory does not grow with the video."""

import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.fonts import fit_text
from mien.predict.timeline import FIRST_PLACE_S, MAX_DRAWN, MAX_PLACES, Timeline, claim_timeline
from mien.reading.card import class_color
from mien.reading.readings import FaceReading, PictureReading, without_face

CLASSES = ("Happy", "Sad")


def frame(seconds: float, *tracks: int, happy: float = 0.75, affect: float | None = 0.5) -> PictureReading:
    """Return a frame in which these tracks are seen."""
    rows = [
        FaceReading(
            "a",
            seconds=seconds,
            track=track,
            expression="Happy",
            confidence=happy,
            probabilities={"Happy": happy, "Sad": 1 - happy},
            valence=affect,
            arousal=None if affect is None else -affect,
        )
        for track in tracks
    ]
    return PictureReading("a", tuple(rows) or (without_face("a"),))


def test_a_gap_parts_a_persons_time() -> None:
    timeline = Timeline(CLASSES)
    for index in range(100):
        seconds = index / 25
        timeline.take(frame(seconds, 0) if not 1 <= seconds < 2 else frame(seconds))
    first, second = timeline.stretches(0)
    assert first[:, 0].max() < 1
    assert second[:, 0].min() == pytest.approx(2)
    np.testing.assert_allclose(first[:, 1:], np.tile([0.5, -0.5, 0.75, 0.25], (len(first), 1)))


@pytest.mark.parametrize("rate", [5, 25, 240])
def test_frames_of_any_rate_are_one_stretch(rate: int) -> None:
    timeline = Timeline(CLASSES)
    for index in range(3 * rate):
        timeline.take(frame(index / rate, 0))
    (stretch,) = timeline.stretches(0)
    assert len(stretch) <= min(3 * rate, 3 / FIRST_PLACE_S)


def test_a_long_video_takes_no_more_memory_than_a_short_one() -> None:
    """Ten hours, a frame in two seconds: places grow, means stay, the order of time too."""
    timeline = Timeline(CLASSES)
    for index in range(18_000):
        timeline.take(frame(index * 2.0, 0, happy=0.25 if index < 9_000 else 0.75))
    assert len(timeline.people[0]) <= MAX_PLACES
    (stretch,) = timeline.stretches(0)
    assert (np.diff(stretch[:, 0]) > 0).all()
    assert stretch[0, 3] == pytest.approx(0.25)
    assert stretch[-1, 3] == pytest.approx(0.75)
    assert stretch[-1, 0] > 35_900


def colored_share(path: Path, name: str) -> float:
    """Return the part of a picture that has a class's color."""
    pixels = np.round(matplotlib.image.imread(path)[:, :, :3] * 255)
    return float((np.abs(pixels - class_color(name)).max(axis=2) < 3).mean())


def test_areas_are_as_large_as_the_probabilities(tmp_path: Path) -> None:
    timeline = Timeline(CLASSES)
    for index in range(100):
        timeline.take(frame(index / 25, 0))
    timeline.draw(tmp_path / "t.png", title="a")
    ratio = colored_share(tmp_path / "t.png", "Happy") / colored_share(tmp_path / "t.png", "Sad")
    assert ratio == pytest.approx(3, rel=0.1)


def test_a_gap_is_empty(tmp_path: Path) -> None:
    whole, half = Timeline(CLASSES), Timeline(CLASSES)
    for index in range(100):
        whole.take(frame(index / 25, 0))
        half.take(frame(index / 25, 0) if index < 50 else frame(index / 25))
    # the timeline's time goes on while nobody is seen
    half.take(PictureReading("a", (FaceReading("a", seconds=99 / 25, status="no_face"),)))
    for name, timeline in (("whole", whole), ("half", half)):
        timeline.draw(tmp_path / f"{name}.png", title="a")
    ratio = colored_share(tmp_path / "half.png", "Happy") / colored_share(tmp_path / "whole.png", "Happy")
    assert ratio == pytest.approx(0.5, abs=0.05)


def test_a_crowd_is_drawn_by_those_seen_longest(tmp_path: Path) -> None:
    timeline = Timeline(CLASSES)
    for index in range(40):
        timeline.take(frame(index / 25, *range(min(40, index + 1))))
    timeline.draw(tmp_path / "t.svg", title="a")
    assert f"({40 - MAX_DRAWN} more, seen" in (tmp_path / "t.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("affect", [None, 0.5])
def test_any_video_can_be_drawn(tmp_path: Path, affect: float | None) -> None:
    """Nobody, one frame, a model without affect, more classes than colors."""
    for readings in ([], [frame(0.0)], [frame(0.0, 3, affect=affect)]):
        timeline = Timeline((*CLASSES, "NoneOfEight", "Uncertain", "NonFace"))
        for reading in readings:
            timeline.take(reading)
        timeline.draw(tmp_path / "t.png", title="a")
        assert (tmp_path / "t.png").stat().st_size > 1000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("title", ["cost $x_{$ 5.mp4", "$5.mp4", "\u65e5\u672c.mp4"])
def test_any_name_can_be_the_title(tmp_path: Path, title: str) -> None:
    """It is no formula, and a script that the font lacks is no matter for the user."""
    timeline = Timeline(CLASSES)
    timeline.take(frame(0.0, 0))
    timeline.draw(tmp_path / "t.png", title=title)
    assert (tmp_path / "t.png").stat().st_size > 0


@pytest.mark.filterwarnings("error")
def test_any_class_is_in_the_legend(tmp_path: Path) -> None:
    """A name is no formula, and an underscore before it hides nothing."""
    names = ("$x_{$", "$5$", "_hidden", "two\nlines", "高兴", "\x1b[31mred")
    timeline = Timeline(names)
    row = FaceReading("a", seconds=0.0, track=0, probabilities=dict.fromkeys(names, 1 / len(names)))
    timeline.take(PictureReading("a", (row,)))
    timeline.draw(tmp_path / "t.svg", title="a")
    # matplotlib writes each text beside its outlines as a comment
    drawn = re.findall(r"<!-- (.*?) -->", (tmp_path / "t.svg").read_text(encoding="utf-8"))
    shown = ["$x_{$", "$5$", " _hidden", r"two\nlines", fit_text("高兴").text, r"\x1b[31mred"]
    assert [text for text in drawn if text in shown] == shown


def test_a_folder_that_cannot_be_written_into_is_told_at_once(tmp_path: Path) -> None:
    """Not after the whole video was read."""
    with claim_timeline(tmp_path / "t.png", force=False):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(ArtifactError, match="cannot be written"),
        claim_timeline(tmp_path / "file" / "t.png", force=False),
    ):
        pass


def test_a_timeline_that_is_replaced_stays_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing may fail."""
    from matplotlib.figure import Figure

    out = tmp_path / "t.png"
    out.write_text("old")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", stop)
    with pytest.raises(KeyboardInterrupt):
        Timeline(("Happy",)).draw(out, title="a")
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]
