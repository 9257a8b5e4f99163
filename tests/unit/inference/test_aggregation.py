"""Aggregated rows: what belongs to one, and what cannot be aggregated. Their means are compared with pandas elsewhere."""

from typing import Any

import pytest

import mien
from mien.inference.aggregation import FURTHER_STATISTICS, aggregate_columns, parse_by
from mien.inference.results import FacePrediction, ImagePrediction


def face(source: str = "a", happy: float = 0.9, **fields: Any) -> FacePrediction:
    expression = "Happy" if happy > 0.5 else "Sad"
    probabilities = {"Happy": happy, "Sad": 1 - happy}
    values: dict[str, Any] = {"face": 0, "expression": expression, "confidence": max(happy, 1 - happy)}
    return FacePrediction(source, **values | {"probabilities": probabilities} | fields)


def frames(*rows: FacePrediction | tuple[FacePrediction, ...]) -> list[ImagePrediction]:
    several = [row if isinstance(row, tuple) else (row,) for row in rows]
    return [ImagePrediction(row[0].source, row) for row in several]


def at(seconds: float, *, frame: int | None = None, **fields: Any) -> FacePrediction:
    return face(
        **{"seconds": seconds, "frame": round(seconds * 10) if frame is None else frame, "track": 0} | fields
    )


def test_each_image_is_a_file() -> None:
    """Also where images have no name, as arrays have none."""
    missing = FacePrediction("b", status="not_an_image", detail="it is text")
    rows = [
        *mien.aggregate(
            frames(
                (face(), face(happy=0.7, face=1)),
                face(""),
                face(""),
                FacePrediction("c", status="no_face"),
                missing,
            )
        )
    ]
    assert [(row["source"], row["status"], row["n_frames"], row["n_faces"]) for row in rows] == [
        ("a", "ok", 1, 2),
        ("", "ok", 1, 1),
        ("", "ok", 1, 1),
        ("c", "no_face", 1, 0),
        ("b", "not_an_image", 0, 0),
    ]
    assert rows[0]["p_Happy"] == pytest.approx(0.8)
    assert rows[0]["start_seconds"] is rows[3]["expression"] is rows[3]["expression_share"] is None
    assert rows[4]["detail"] == "it is text"
    assert rows[4]["n_unreadable"] == 1


def test_what_cannot_be_read_is_counted() -> None:
    """In a row of its own where it belongs to no person."""
    damaged = FacePrediction("a", frame=2, seconds=0.2, status="damaged_frame", detail="lost")
    video = frames(at(0.0), at(0.1, happy=0.1), damaged, at(0.3, happy=0.2))
    (row,) = mien.aggregate(video, by="file")
    assert (row["status"], row["n_frames"], row["n_unreadable"], row["detail"]) == ("ok", 3, 1, "lost")
    assert (row["expression"], row["expression_share"]) == ("Sad", pytest.approx(2 / 3, abs=1e-6))
    assert (row["start_seconds"], row["end_seconds"]) == (0.0, 0.3)
    person, rest = mien.aggregate(video, by="track")
    assert (person["track"], person["n_frames"], person["n_unreadable"]) == (0, 3, 0)
    assert (rest["track"], rest["status"], rest["n_frames"]) == (None, "damaged_frame", 0)
    unopened = FacePrediction("b", status="not_a_video", detail="it is text")
    (row,) = mien.aggregate(frames(unopened), by=["second", "track"])
    assert (row["track"], row["second"], row["status"]) == (None, None, "not_a_video")


def test_a_frame_without_a_face_is_a_row_only_where_there_is_no_person() -> None:
    empty = FacePrediction("a", frame=5, seconds=0.5, status="no_face")
    later = FacePrediction("a", frame=15, seconds=1.5, status="no_face")
    video = frames(at(0.0), empty, later)
    assert [row["track"] for row in mien.aggregate(video, by="track")] == [0]
    both = [*mien.aggregate(video, by="track, second")]
    assert [(row["track"], row["second"], row["n_frames"]) for row in both] == [(0, 0, 1), (None, 1, 1)]
    (row,) = mien.aggregate(frames(empty, later), by="track")
    assert (row["track"], row["status"], row["n_frames"]) == (None, "no_face", 2)


def test_a_second_begins_with_the_frame_at_its_time() -> None:
    """Although sums of frame durations fall short of it."""
    just_below = sum([0.1] * 10)
    assert just_below < 1
    rows = mien.aggregate(frames(at(0.9), at(just_below)), by="second")
    assert [row["second"] for row in rows] == [0, 1]


def test_equally_frequent_expressions() -> None:
    """The one with the higher mean probability."""
    for order in (1, -1):
        video = [at(0.0, happy=0.9), at(0.1, happy=0.4)][::order]
        (row,) = mien.aggregate(
            frames(
                *(
                    at(i / 10, happy=face.probabilities["Happy"])
                    for i, face in enumerate(video)
                    if face.probabilities
                )
            )
        )
        assert (row["expression"], row["expression_share"]) == ("Happy", 0.5)


def test_videos_without_a_name_follow_each_other() -> None:
    """Frames of a program have no source; numbers that start again are another video."""
    rows = mien.aggregate(frames(at(0.0, source=""), at(0.1, source=""), at(0.0, source="")))
    assert [row["n_frames"] for row in rows] == [2, 1]


@pytest.mark.parametrize(
    ("rows", "by", "message"),
    [
        ([face()], "second", "an image has no second: aggregate images by file"),
        ([face()], "track", "an image has no track"),
        ([at(0.0), at(0.0, source="b"), at(0.1)], "file", "frames of a come again after others"),
        ([face(probabilities={"Happy": 0.9})], "file", "predict without `top`"),
        ([], "minute", "must be file, track, second, or track,second; got 'minute'"),
        ([], "file,second", "must be file"),
        ([], [], "must be file"),
    ],
)
def test_what_cannot_be_aggregated(rows: list[FacePrediction], by: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(mien.aggregate(frames(*rows), by))


def test_the_columns_are_those_of_the_rows() -> None:
    (row,) = mien.aggregate(frames(at(0.0, valence=0.5, arousal=0.1)), by=["track", "second"])
    measures = ["p_Happy", "p_Sad", "valence", "arousal"]
    assert aggregate_columns(parse_by("second,track"), measures) == tuple(row)
    assert set(FURTHER_STATISTICS) >= {"valence", "arousal"}
