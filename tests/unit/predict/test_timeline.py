"""Timelines: what is collected and drawn, in bounded memory."""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from mien.drawing.fonts import fit_text
from mien.drawing.label_card import class_color
from mien.errors import ArtifactError
from mien.faces.action_units import ActionUnits
from mien.inference.results import FacePrediction, ImagePrediction, row_without_face
from mien.predict.timeline import FIRST_BIN_S, MAX_BINS, MAX_DRAWN, Timeline, claim_timeline

CLASSES = ("Happy", "Sad")


def frame(seconds: float, *tracks: int, happy: float = 0.75, affect: float | None = 0.5) -> ImagePrediction:
    """Return a frame in which these tracks are visible."""
    rows = [
        FacePrediction(
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
    return ImagePrediction("a", tuple(rows) or (row_without_face("a"),))


def test_a_gap_splits_a_track_into_segments() -> None:
    timeline = Timeline(CLASSES)
    for index in range(100):
        seconds = index / 25
        timeline.add(frame(seconds, 0) if not 1 <= seconds < 2 else frame(seconds))
    first, second = timeline.segments(0)
    assert first[:, 0].max() < 1
    assert second[:, 0].min() == pytest.approx(2)
    np.testing.assert_allclose(first[:, 1:], np.tile([0.5, -0.5, 0.75, 0.25], (len(first), 1)))


@pytest.mark.parametrize("rate", [5, 25, 240])
def test_frames_of_any_rate_are_one_segment(rate: int) -> None:
    timeline = Timeline(CLASSES)
    for index in range(3 * rate):
        timeline.add(frame(index / rate, 0))
    (segment,) = timeline.segments(0)
    assert len(segment) <= min(3 * rate, 3 / FIRST_BIN_S)


def test_memory_does_not_grow_with_the_video() -> None:
    """Ten hours, one frame every two seconds: bins grow, while means and the order of time stay."""
    timeline = Timeline(CLASSES)
    for index in range(18_000):
        timeline.add(frame(index * 2.0, 0, happy=0.25 if index < 9_000 else 0.75))
    assert len(timeline.tracks[0]) <= MAX_BINS
    (segment,) = timeline.segments(0)
    assert (np.diff(segment[:, 0]) > 0).all()
    assert segment[0, 3] == pytest.approx(0.25)
    assert segment[-1, 3] == pytest.approx(0.75)
    assert segment[-1, 0] > 35_900


def colored_fraction(path: Path, name: str) -> float:
    """Return the fraction of an image that has a class's color."""
    pixels = np.round(matplotlib.image.imread(path)[:, :, :3] * 255)
    return float((np.abs(pixels - class_color(name)).max(axis=2) < 3).mean())


def test_areas_are_proportional_to_probabilities(tmp_path: Path) -> None:
    timeline = Timeline(CLASSES)
    for index in range(100):
        timeline.add(frame(index / 25, 0))
    timeline.draw(tmp_path / "t.png", title="a")
    ratio = colored_fraction(tmp_path / "t.png", "Happy") / colored_fraction(tmp_path / "t.png", "Sad")
    assert ratio == pytest.approx(3, rel=0.1)


def test_a_gap_is_empty(tmp_path: Path) -> None:
    full, half = Timeline(CLASSES), Timeline(CLASSES)
    for index in range(100):
        full.add(frame(index / 25, 0))
        half.add(frame(index / 25, 0) if index < 50 else frame(index / 25))
    # time continues while nobody is visible
    half.add(ImagePrediction("a", (FacePrediction("a", seconds=99 / 25, status="no_face"),)))
    for name, timeline in (("full", full), ("half", half)):
        timeline.draw(tmp_path / f"{name}.png", title="a")
    ratio = colored_fraction(tmp_path / "half.png", "Happy") / colored_fraction(
        tmp_path / "full.png", "Happy"
    )
    assert ratio == pytest.approx(0.5, abs=0.05)


def test_only_the_people_seen_longest_are_drawn(tmp_path: Path) -> None:
    timeline = Timeline(CLASSES)
    for index in range(40):
        timeline.add(frame(index / 25, *range(min(40, index + 1))))
    timeline.draw(tmp_path / "t.svg", title="a")
    assert f"({40 - MAX_DRAWN} more, seen" in (tmp_path / "t.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("affect", [None, 0.5])
def test_any_video_can_be_drawn(tmp_path: Path, affect: float | None) -> None:
    """Nobody, a single frame, a model without valence and arousal, more classes than colors."""
    for predictions in ([], [frame(0.0)], [frame(0.0, 3, affect=affect)]):
        timeline = Timeline((*CLASSES, "NoneOfEight", "Uncertain", "NonFace"))
        for prediction in predictions:
            timeline.add(prediction)
        timeline.draw(tmp_path / "t.png", title="a")
        assert (tmp_path / "t.png").stat().st_size > 1000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("title", ["cost $x_{$ 5.mp4", "$5.mp4", "\u65e5\u672c.mp4"])
def test_any_name_can_be_the_title(tmp_path: Path, title: str) -> None:
    """It is not parsed as a formula, and a script that the font lacks causes no warning."""
    timeline = Timeline(CLASSES)
    timeline.add(frame(0.0, 0))
    timeline.draw(tmp_path / "t.png", title=title)
    assert (tmp_path / "t.png").stat().st_size > 0


@pytest.mark.filterwarnings("error")
def test_any_class_is_in_the_legend(tmp_path: Path) -> None:
    """A name is not parsed as a formula, and a leading underscore does not hide it."""
    names = ("$x_{$", "$5$", "_hidden", "two\nlines", "高兴", "\x1b[31mred")
    timeline = Timeline(names)
    row = FacePrediction("a", seconds=0.0, track=0, probabilities=dict.fromkeys(names, 1 / len(names)))
    timeline.add(ImagePrediction("a", (row,)))
    timeline.draw(tmp_path / "t.svg", title="a")
    # matplotlib writes each text as a comment next to its outlines
    drawn = re.findall(r"<!-- (.*?) -->", (tmp_path / "t.svg").read_text(encoding="utf-8"))
    shown = ["$x_{$", "$5$", " _hidden", r"two\nlines", fit_text("高兴").text, r"\x1b[31mred"]
    assert [text for text in drawn if text in shown] == shown


def test_a_folder_that_is_not_writable_is_reported_at_once(tmp_path: Path) -> None:
    """Not at the end of the video."""
    with claim_timeline(tmp_path / "t.png", force=False):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(ArtifactError, match="cannot be written"),
        claim_timeline(tmp_path / "file" / "t.png", force=False),
    ):
        pass


def test_a_replaced_timeline_stays_until_the_new_one_is_complete(
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


UNITS = {"action_units": ActionUnits(("AU01", "AU04", "AU06", "AU12"), "intensity")}


def test_action_units_are_collected_and_drawn_as_strips(tmp_path: Path) -> None:
    """Their means follow valence and arousal; the strip of a strong unit is dark, that of an absent one white."""
    timeline, plain = Timeline(CLASSES, UNITS), Timeline(CLASSES)
    for index in range(50):
        prediction = frame(index / 25, 0)
        units = {"AU01": 0.0, "AU04": 5.0, "AU06": 0.0, "AU12": 5.0 if index < 25 else 0.0}
        timeline.add(ImagePrediction("a", tuple(replace(row, action_units=units) for row in prediction.rows)))
        plain.add(prediction)
    (segment,) = timeline.segments(0)
    np.testing.assert_allclose(segment[0, 1:], [0.5, -0.5, 0, 5, 0, 5, 0.75, 0.25])
    assert segment[-1, 6] == 0
    for name, one in (("units", timeline), ("plain", plain)):
        one.draw(tmp_path / f"{name}.png", title="a")
    dark = {}
    for name in ("units", "plain"):
        pixels = matplotlib.image.imread(tmp_path / f"{name}.png")[:, :, :3]
        dark[name] = (pixels.max(axis=2) < 0.1).sum()
    strip = 12 * 0.2 * 130 * 130  # a figure of 12 inches, a strip of 0.2 of a unit's height
    assert dark["units"] - dark["plain"] > 0.3 * strip


def test_a_model_without_the_task_has_no_panel(tmp_path: Path) -> None:
    """The columns are there, but nothing was seen in them: the plot is the one without them."""
    with_units, without = Timeline(CLASSES, UNITS), Timeline(CLASSES)
    for timeline, name in ((with_units, "a"), (without, "b")):
        timeline.add(frame(0.0, 0))
        timeline.draw(tmp_path / f"{name}.png", title="a")
    images = [matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("a", "b")]
    np.testing.assert_array_equal(*images)
