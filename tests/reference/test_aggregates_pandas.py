"""Aggregated rows, compared with those that pandas groups."""

import numpy as np
import pytest

import mien
from mien.inference.results import FacePrediction, ImagePrediction, to_pandas

CLASSES = ("Neutral", "Happy", "Sad")
KEYS = {"file": ["source"], "track": ["source", "track"], "second": ["source", "second"]}
MEANS = ("confidence", *(f"p_{name}" for name in CLASSES), "valence", "arousal", "AU12")


def make_video(source: str, seed: int) -> list[ImagePrediction]:
    """Return 90 frames at 30 per second with up to three people, none of whom is visible for the first second."""
    random = np.random.default_rng(seed)
    frames = []
    for number in range(90):
        tracks = [int(track) for track in random.permutation(3) if number >= 30 and random.random() < 0.7]
        rows = []
        for face, track in enumerate(tracks):
            probabilities = random.dirichlet(np.ones(3))
            expression = "unsure" if random.random() < 0.2 else CLASSES[int(probabilities.argmax())]
            rows.append(
                FacePrediction(
                    source,
                    frame=number,
                    seconds=sum([1 / 30] * number),
                    face=face,
                    track=track,
                    expression=expression,
                    confidence=float(probabilities.max()),
                    probabilities=dict(zip(CLASSES, probabilities.tolist(), strict=True)),
                    # 68 points on ellipses, whose eyes and mouth open and close.
                    landmarks=random.uniform(0, 100, (68, 2)),
                    valence=float(random.uniform(-1, 1)),
                    arousal=float(random.uniform(-1, 1)),
                    action_units={"AU12": float(random.uniform(0, 1))},
                )
            )
        empty = FacePrediction(source, frame=number, seconds=number / 30, status="no_face")
        frames.append(ImagePrediction(source, tuple(rows) or (empty,)))
    return frames


@pytest.mark.parametrize("by", ["file", "track", "second", ["track", "second"]])
def test_the_same_as_a_groupby(by: str | list[str]) -> None:
    predictions = [*make_video("a.mp4", 1), *make_video("b.mp4", 2)]
    keys = KEYS[by] if isinstance(by, str) else ["source", "track", "second"]
    rows = to_pandas(predictions)
    rows["second"] = np.floor(rows["seconds"]).astype(int)
    groups = rows[rows["status"] == "ok"].groupby(keys)
    every = to_pandas(predictions, by=by)
    table = every[every["n_faces"] > 0].set_index(keys).sort_index()
    assert len(table) == groups.ngroups
    assert (table["n_faces"] == groups.size()).all()
    assert (table["n_frames"] >= groups["frame"].nunique()).all()
    assert (table["n_unsure"] == groups["expression"].agg(lambda names: (names == "unsure").sum())).all()
    assert np.allclose(table[[*MEANS]], groups[[*MEANS]].mean(), atol=2e-6)
    assert np.allclose(table[["valence_sd", "arousal_sd"]], groups[["valence", "arousal"]].std(), atol=2e-6)
    for name, statistic in (("eye_aspect_ratio", "min"), ("mouth_aspect_ratio", "max")):
        assert np.allclose(table[name], groups[name].mean(), atol=2e-6)
        assert np.allclose(table[f"{name}_{statistic}"], groups[name].agg(statistic), atol=2e-6)
    counts = groups["expression"].value_counts(normalize=True)
    assert np.allclose(table["expression_share"], counts.groupby(level=keys).max(), atol=2e-6)
    found = list(zip(*(table.reset_index()[name] for name in [*keys, "expression"]), strict=True))
    assert np.allclose(counts.loc[found].to_numpy(), table["expression_share"], atol=2e-6)
    # Frames without a face are counted where no person is asked for, and are a row of their own if there is nobody.
    readable = rows.drop_duplicates(["source", "frame"])
    if by == "file":
        assert (table["n_frames"] == readable.groupby("source").size()).all()
    elif by == "second":
        assert every["n_frames"].tolist() == [30] * 6
    without = every[every["n_faces"] == 0]
    assert len(without) == (0 if by in ("file", "track") else 2)
    assert set(without["status"]) <= {"no_face"}


def test_rows_come_as_soon_as_they_are_complete() -> None:
    """For a camera that never ends."""
    frames = iter(make_video("camera 0", 3))
    rows = mien.aggregate(frames, by="second")
    assert next(rows)["second"] == 0
    assert len([*frames]) == 59


def test_arrow_has_the_same_table() -> None:
    table = mien.to_arrow(make_video("a.mp4", 1), by="track")
    frame = to_pandas(make_video("a.mp4", 1), by="track")
    assert table.column_names == [*frame.columns]
    assert table.to_pylist() == frame.to_dict("records")
    assert {str(table.schema.field(name).type) for name in ("track", "n_frames", "n_faces")} == {"int64"}
