"""Videos predicted frame by frame, from the file to the rows."""

import copy
import gc
import os
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import mien
from mien.faces.crop import invert_matrix, transform_points
from mien.faces.detector import Detector
from mien.faces.landmarks import anchors_from_landmarks
from mien.inference import model as model_module
from mien.inference.decision_rule import DecisionRule
from mien.inference.model import Model
from mien.inference.results import ImagePrediction
from mien.inference.video import capture as capture_module
from mien.inference.video.capture import Frame, LiveStream
from mien.inference.video.options import VideoOptions
from mien.inference.video.stream import BATCH_FRAMES, PREFETCH_FRAMES, predict_frames
from mien.runtime import cpu
from mien.sample.image import draw_image

RATE = 30.0


@pytest.fixture
def model(model_path: Path, detector: Detector) -> Model:
    """Return the tiny model with the detector of colored squares."""
    return Model(mien.load(model_path).onnx_model, detector=detector)


@pytest.fixture
def video(tmp_path: Path, tools: Any) -> Path:
    """Return 30 frames of two moving squares; frames 10 to 14 are empty."""
    drawn = [
        tools.draw_frame(("Happy", 10 + index, 20, 40), ("Sad", 100, 30 + index, 30)) for index in range(30)
    ]
    drawn[10:15] = [tools.draw_frame()] * 5
    return tools.write_video(tmp_path / "a.avi", drawn)  # type: ignore[no-any-return]


def rows_of(predictions: Iterator[ImagePrediction]) -> list[Any]:
    """Return the rows of all frames."""
    return [row for prediction in predictions for row in prediction.rows]


@pytest.mark.parametrize(
    ("per_second", "frames"),
    [
        (10, [*range(0, 30, 3)]),
        (2, [0, 15]),
        (12, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]),
        (99, [*range(30)]),
    ],
)
def test_a_number_of_frames_per_second(
    model: Model, video: Path, per_second: float, frames: list[int]
) -> None:
    """The first frame at or after each multiple of the interval."""
    rows = rows_of(model.watch(video, per_second=per_second))
    assert sorted({row.frame for row in rows}) == frames


@pytest.mark.parametrize("detect_every", [1, 4])
def test_every_frame_has_its_rows(model: Model, video: Path, detect_every: int) -> None:
    """Frame, seconds, track and expression; a row for each frame without a face."""
    rows = rows_of(model.watch(video, detect_every=detect_every))
    assert sorted({row.frame for row in rows}) == list(range(30))
    assert all(row.source == str(video) for row in rows)
    assert all(row.seconds == pytest.approx(row.frame / RATE) for row in rows)
    empty = [row for row in rows if row.status == "no_face"]
    assert [row.frame for row in empty] == list(range(10, 15))
    assert all(row.track is None and row.box_xyxy is None for row in empty)
    by_track = {0: "Happy", 1: "Sad"}
    assert all(row.expression == by_track[row.track] for row in rows if row.status == "ok")
    assert sum(row.status == "ok" for row in rows) == 50


def test_without_smoothing_and_tracking_a_frame_is_predicted_like_an_image(model: Model, video: Path) -> None:
    predictions = list(model.watch(video, detect_every=1, smoothing=0, keep_images=True))
    for prediction in predictions[::7]:
        assert prediction.image_rgb is not None
        alone = model.predict(prediction.image_rgb)
        for row, other in zip(prediction.rows, alone.rows, strict=True):
            of_video = ("source", "frame", "seconds", "track")
            given = {name: value for name, value in row.to_dict().items() if name not in of_video}
            assert given == {name: other.to_dict()[name] for name in given}
        assert prediction.draw().shape[2] == 3


def test_smoothing_delays_a_change(tmp_path: Path, model: Model, tools: Any) -> None:
    """After an abrupt change the probabilities move gradually from Happy to Neutral."""
    drawn = [tools.draw_frame(("Happy" if index < 15 else "Neutral", 40, 30, 50)) for index in range(40)]
    video = tools.write_video(tmp_path / "a.avi", drawn)
    raw = [row.probabilities["Neutral"] for row in rows_of(model.watch(video, smoothing=0))]
    rows = rows_of(model.watch(video, smoothing=0.2))
    smooth = [row.probabilities["Neutral"] for row in rows]
    assert raw[14] < 0.2
    assert raw[15] > 0.8
    assert smooth[15] < 0.3
    assert (np.diff(smooth[15:]) > 0).all()
    assert smooth[39] > 0.9
    assert {row.track for row in rows} == {0}
    assert all(sum(row.probabilities.values()) == pytest.approx(1, abs=1e-6) for row in rows)
    assert [row.expression for row in rows][-1] == "Neutral"


def test_a_cropped_frame_is_one_face(model: Model, video: Path) -> None:
    rows = rows_of(model.watch(video, cropped=True))
    assert len(rows) == 30
    assert {(row.track, row.status, row.score) for row in rows} == {(0, "ok", None)}
    assert rows[0].box_xyxy.tolist() == [0, 0, 160, 120]


def test_limits_on_frames_and_seconds(model: Model, video: Path) -> None:
    assert len(list(model.watch(video, max_frames=7))) == 7
    assert len(list(model.watch(video, max_seconds=0.5))) == 15


def test_the_decision_rule_of_the_model_is_applied(model_path: Path, detector: Detector, video: Path) -> None:
    strict = Model(
        mien.load(model_path).onnx_model, rule=DecisionRule(min_confidence=1.0, top=1), detector=detector
    )
    row = next(strict.watch(video)).rows[0]
    assert row.expression == "unsure"
    assert len(row.probabilities or {}) == 1


def test_the_prior_comes_after_the_smoothing(model: Model, detector: Detector, video: Path) -> None:
    """What is smoothed are the model's probabilities; each smoothed row is then divided by the class fractions."""
    counts = [1, 98, 1]
    info = replace(model.info, training={"pack": {"train_counts": counts}})
    counted = copy.copy(model.onnx_model)
    counted.info = info
    counted.with_threads = lambda _threads: counted  # type: ignore[method-assign]
    balanced = Model(counted, rule=DecisionRule(prior="balanced"), detector=detector)
    pairs = zip(model.watch(video), balanced.watch(video), strict=True)
    rows = [
        (a, b)
        for plain, other in pairs
        for a, b in zip(plain.rows, other.rows, strict=True)
        if a.probabilities
    ]
    assert len(rows) == 50
    for plain_row, balanced_row in rows:
        divided = np.array(list(plain_row.probabilities.values())) / counts
        found = list(balanced_row.probabilities.values())
        np.testing.assert_allclose(found, divided / divided.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [("no.mp4", None, "missing_file"), ("a.mp4", b"", "empty_file"), ("a.mp4", b"text", "not_a_video")],
)
def test_a_file_that_is_not_a_video_has_one_row(
    tmp_path: Path, model: Model, name: str, content: bytes | None, status: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (prediction,) = model.watch(tmp_path / name)
    (row,) = prediction.rows
    assert (row.status, row.source, row.frame) == (status, str(tmp_path / name), None)
    assert row.detail


def test_the_readable_part_of_a_truncated_video_is_predicted(
    tmp_path: Path, model: Model, video: Path
) -> None:
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    *read, last = rows_of(model.watch(video))
    assert last.status == "truncated_video"
    assert len(read) > 10
    assert all(row.status in ("ok", "no_face") for row in read)
    assert last.frame == read[-1].frame + 1


@pytest.mark.parametrize(
    "option",
    [
        {"detect_every": 0},
        {"smoothing": -1},
        {"smoothing": float("nan")},
        {"max_frames": 0},
        {"max_frames": 2.5},
        {"detect_every": 1.5},
        {"per_second": 0},
        {"max_seconds": 0},
    ],
)
def test_invalid_options_are_rejected(model: Model, video: Path, option: dict[str, Any]) -> None:
    """Before the first frame is requested."""
    with pytest.raises(
        ValueError, match=r"`(detect_every|smoothing_s|max_frames|max_seconds|per_second)` must be"
    ):
        model.watch(video, **option)


def camera(tools: Any, n_frames: int) -> tuple[LiveStream, Any]:
    """Return a camera that shows a green square and is then unplugged."""
    frame = np.ascontiguousarray(tools.draw_frame(("Happy", 40, 30, 50))[:, :, ::-1])
    capture = tools.FakeCapture([frame] * n_frames, FPS=30)
    return LiveStream("camera 0", capture), capture


def test_a_camera_is_read_until_it_is_unplugged(
    model: Model, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "LIVE_TIMEOUT_S", 0.05)
    source, capture = camera(tools, 20)
    monkeypatch.setattr(model_module, "open_frames", lambda _source, **_: source)
    *read, last = rows_of(model.watch(0))
    assert read
    assert {(row.status, row.expression, row.track, row.source) for row in read} == {
        ("ok", "Happy", 0, "camera 0")
    }
    assert [row.frame for row in read] == sorted({row.frame for row in read})
    assert last.status == "stream_ended"
    assert capture.is_released


def test_closing_the_generator_releases_the_camera(
    model: Model, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, capture = camera(tools, 100_000)
    monkeypatch.setattr(model_module, "open_frames", lambda _source, **_: source)
    predictions = model.watch(0)
    assert next(predictions).rows[0].expression == "Happy"
    predictions.close()
    assert capture.is_released


class CountedSource:
    """A generated video that counts which of its frames are still referenced."""

    name, is_live, frame_rate, n_frames = "generated", False, RATE, None

    def __init__(self, n: int, image_rgb: NDArray[np.uint8]) -> None:
        self.n, self.image_rgb = n, image_rgb
        self.n_given = 0
        self.held: weakref.WeakSet[Any] = weakref.WeakSet()

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self.n):
            counted = self.image_rgb.copy().view(_Counted)
            self.held.add(counted)
            self.n_given += 1
            yield Frame(number, number / RATE, counted)


class _Counted(np.ndarray):  # type: ignore[type-arg]
    """Pixels that support weak references and can be counted."""

    __hash__ = object.__hash__  # type: ignore[assignment]


@pytest.mark.parametrize("keep_images", [False, True])
def test_memory_does_not_grow_with_the_video(
    model: Model, detector: Detector, tools: Any, keep_images: bool
) -> None:
    """Only prefetched frames and a batch are held, however long the video is."""
    source = CountedSource(120, tools.draw_frame(("Happy", 40, 30, 50)))
    options = VideoOptions(keep_images=keep_images, detect_every=10)
    most = 0
    for prediction in predict_frames(source, model.onnx_model, detector=detector, options=options):
        if prediction.rows[0].frame % 40 == 39:
            del prediction
            gc.collect()
            most = max(most, len(source.held))
    assert 0 < most <= 2 * PREFETCH_FRAMES + 2 * BATCH_FRAMES + 4


def test_frames_are_not_decoded_far_ahead(model: Model, detector: Detector, tools: Any) -> None:
    source = CountedSource(300, tools.draw_frame(("Happy", 40, 30, 50)))
    predictions = predict_frames(source, model.onnx_model, detector=detector)
    next(predictions)
    predictions.close()
    assert source.n_given <= 2 * PREFETCH_FRAMES + 2 * BATCH_FRAMES + 4


def yunet() -> Path:
    """Return YuNet's file in the shared data."""
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    return shared / "models" / "face_detection_yunet_2023mar.onnx"


def test_a_drawn_face_is_detected_tracked_and_predicted(tmp_path: Path, model_path: Path, tools: Any) -> None:
    """The real detector, decoder and model on a drawn face that moves and rotates: one track, at the known position."""
    if not yunet().is_file():
        pytest.skip("needs YuNet in the shared data (MIEN_SHARED)")
    image = draw_image("Happy", seed=3, index=2)
    assert image.landmarks is not None
    height, width = image.pixels.shape[:2]
    motions = []
    for index in range(40):
        motion = cv2.getRotationMatrix2D((width / 2, height / 2), 6 * np.sin(index / 8), 1 + index / 200)
        motion[:, 2] += (60 + 2 * index, 20 + index)
        motions.append(motion)
    drawn = [cv2.warpAffine(image.pixels, motion, (640, 480)) for motion in motions]
    model = mien.load(model_path, detector=yunet())
    video = tools.write_video(tmp_path / "a.avi", drawn)
    rows = rows_of(model.watch(video, detect_every=8, smoothing=0))
    assert [(row.frame, row.status, row.track) for row in rows] == [(index, "ok", 0) for index in range(40)]
    assert sum(row.score is None for row in rows) > 20
    anchors = anchors_from_landmarks(image.landmarks)
    eyes = np.linalg.norm(anchors[0] - anchors[1])
    for row, motion in zip(rows, motions, strict=True):
        # the tiny model's landmarks put the eyes and mouth at the crop's anchors
        seen = anchors_from_landmarks(row.landmarks)
        if row.score is not None:
            in_face = transform_points(invert_matrix(motion), seen)
            assert np.linalg.norm(in_face - anchors, axis=1).mean() < 0.3 * eyes
        apart = np.linalg.norm(transform_points(motion, in_face) - seen, axis=1)
        assert apart.mean() < 0.05 * eyes


def test_the_models_threads(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a model uses half of the cores for a video; an explicit number is respected."""
    monkeypatch.setattr(cpu, "usable_cpu_cores", lambda: 6)
    for threads in (None, 5):
        model = mien.load(model_path, threads=threads)
        assert model.onnx_model.threads == threads
        assert model._video_model.threads == (threads or 3)


def room(seed: int, *squares: Any, tools: Any) -> NDArray[np.uint8]:
    """Return a frame with squares before a background of random stripes."""
    frame = np.asarray(tools.draw_frame(*squares), dtype=np.uint8)
    stripes = np.random.default_rng(seed).integers(0, 255, 10).repeat(16).astype(np.uint8)
    is_background = (frame == 100).all(axis=2)
    frame[is_background] = np.broadcast_to(stripes[None, :, None], frame.shape)[is_background]
    return frame


@pytest.mark.parametrize("cropped", [False, True])
def test_a_cut_starts_new_tracks_and_new_averages(
    tmp_path: Path, model: Model, tools: Any, cropped: bool
) -> None:
    """Nothing of the first shot is left in the second."""
    shots = [
        room(index // 15, ("Happy" if index < 15 else "Sad", 50, 40, 50), tools=tools) for index in range(30)
    ]
    video = tools.write_video(tmp_path / "a.avi", shots)
    smooth = rows_of(model.watch(video, cropped=cropped))
    raw = rows_of(model.watch(video, cropped=cropped, smoothing=0))
    assert [row.track for row in smooth] == [0] * 15 + [1] * 15
    assert smooth[15].probabilities == raw[15].probabilities


def test_a_part_of_a_video(model: Model, video: Path) -> None:
    """Numbers and times stay those of the file, and the seconds of `max_seconds` count from the start."""
    predictions = list(model.watch(video, start_seconds=0.5, end_seconds=0.7))
    assert [prediction.rows[0].frame for prediction in predictions] == list(range(15, 21))
    limited = list(model.watch(video, start_seconds=0.5, max_seconds=0.1))
    assert [prediction.rows[0].frame for prediction in limited] == [15, 16, 17]


def test_a_start_after_the_end_is_reported(model: Model, video: Path) -> None:
    (row,) = rows_of(model.watch(video, start_seconds=60))
    assert (row.status, row.detail) == ("no_frames", "the video has no frame from 60 s on")


def test_frames_made_up_over_damage_say_so(model: Model, tools: Any) -> None:
    """With a face they name the damage; without one they are not `no_face`."""

    class Damaged:
        name, is_live, frame_rate, n_frames = "a", False, 25.0, 3

        def __iter__(self) -> Iterator[Frame]:
            for index, drawn in enumerate((tools.draw_frame(("Happy", 20, 30, 40)), tools.draw_frame())):
                yield Frame(index, index / 25, drawn, caveat="frame 0 is damaged")

    rows = rows_of(predict_frames(Damaged(), model.onnx_model, detector=model.detector))
    assert [(row.status, row.detail) for row in rows] == [
        ("ok", "frame 0 is damaged"),
        ("damaged_frame", "frame 0 is damaged"),
    ]
