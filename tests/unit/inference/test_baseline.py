"""Changes from a person's own baseline."""

from typing import Any

import numpy as np
import pytest

import mien
from mien.inference.results import FacePrediction, ImagePrediction, to_pandas


def frame(seconds: float | None, *faces: tuple[int | None, float]) -> ImagePrediction:
    """Return a frame with faces (track, probability of Happy); arousal is a tenth of it."""
    rows = [
        FacePrediction(
            source="a",
            frame=0,
            seconds=seconds,
            face=index,
            track=track,
            arousal=happy / 10,
            probabilities={"Happy": happy, "Sad": 1 - happy},
        )
        for index, (track, happy) in enumerate(faces)
    ]
    return ImagePrediction("a", tuple(rows) or (FacePrediction("a", seconds=seconds, status="no_face"),))


def test_each_track_has_the_baseline_of_its_first_seconds() -> None:
    frames = [
        frame(0.0, (0, 0.2)),
        frame(0.5, (0, 0.4), (1, 0.9)),
        frame(1.0, (0, 0.8), (1, 0.7)),
        frame(1.5),
        frame(2.0, (1, 0.5), (0, 0.3)),
    ]
    changed = [
        [row.change for row in prediction.rows] for prediction in mien.subtract_baseline(frames, seconds=1)
    ]
    assert changed[:2] == [[None], [None, None]]
    assert changed[2][0] == pytest.approx({"p_Happy": 0.5, "p_Sad": -0.5, "arousal": 0.05})
    assert changed[2][1] is None
    assert changed[3] == [None]
    assert changed[4][0] == pytest.approx({"p_Happy": -0.3, "p_Sad": 0.3, "arousal": -0.03})
    assert changed[4][1] == pytest.approx({"p_Happy": 0.0, "p_Sad": 0.0, "arousal": 0.0})


def test_a_neutral_image_is_the_baseline_of_images() -> None:
    neutral = mien.measure_baseline(
        [frame(None, (None, 0.1)), frame(None), frame(None, (None, 0.3), (None, 1.0))]
    )
    assert neutral == pytest.approx({"p_Happy": 0.2, "p_Sad": 0.8, "arousal": 0.02})
    table = to_pandas(mien.subtract_baseline([frame(None, (None, 0.7)), frame(None)], neutral=neutral))
    assert table["change_p_Happy"].tolist()[0] == pytest.approx(0.5)
    assert np.isnan(table["change_p_Happy"].tolist()[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either"),
        ({"seconds": 1, "neutral": {}}, "either"),
        ({"seconds": 0}, "more than 0"),
        ({"seconds": 1}, "needs a video"),
        ({"neutral": {"p_Fear": 0.1}}, "lacks p_Fear"),
    ],
)
def test_what_cannot_be_compared(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(mien.subtract_baseline([frame(None, (None, 0.5))], **options))
    with pytest.raises(ValueError, match="no face"):
        mien.measure_baseline([frame(None)])
