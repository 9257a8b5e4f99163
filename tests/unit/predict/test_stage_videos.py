"""The complete command on videos and cameras."""

import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import ArtifactError, MienError, SourceError
from mien.faces.detector import Detector
from mien.inference.results import ImagePrediction
from mien.inference.video import capture as capture_module
from mien.inference.video.capture import LiveStream
from mien.inference.video.options import VideoOptions
from mien.predict import stage
from mien.predict.options import PredictOptions
from mien.predict.stage import PredictSummary, run_predict

N_FRAMES = 20
COLORS = {"Happy": (0, 255, 0), "Sad": (0, 0, 255)}
MakeVideo = Callable[..., Path]


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    """Detect colored squares as faces."""
    monkeypatch.setattr(stage, "load_detector", lambda path, min_face_px=0: detector)


def draw(index: int, *, is_empty: bool = False) -> NDArray[np.uint8]:
    """Return an RGB frame with a moving green square and a blue one."""
    frame = np.full((120, 160, 3), 100, np.uint8)
    if not is_empty:
        frame[20:60, 10 + index : 50 + index] = COLORS["Happy"]
        frame[70:100, 110:140] = COLORS["Sad"]
    return frame


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Return a function that writes a lossless video whose frames 5 to 7 are empty."""

    def make(name: str = "a.avi", n_frames: int = N_FRAMES) -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 25, (160, 120))
        if not writer.isOpened():
            pytest.skip("this OpenCV cannot write lossless video")
        for index in range(n_frames):
            writer.write(np.ascontiguousarray(draw(index, is_empty=5 <= index < 8)[:, :, ::-1]))
        writer.release()
        return path

    return make


class Camera:
    """A camera that delivers a number of frames and is then unplugged."""

    def __init__(self, n_frames: int, before_read: Callable[[int], None] = lambda _index: None) -> None:
        self.n_frames, self.before_read = n_frames, before_read
        self.n_read = 0
        self.is_released = False

    def read(self) -> tuple[bool, Any]:
        """Return the next frame."""
        self.before_read(self.n_read)
        self.n_read += 1
        return self.n_read <= self.n_frames, np.ascontiguousarray(draw(0)[:, :, ::-1])

    def get(self, what: int) -> float:
        """Return the frame rate."""
        return 25.0 if what == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        """Record the call."""
        self.is_released = True


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Camera], Camera]:
    """Return a function that makes `open_frames` open a camera."""
    monkeypatch.setattr(capture_module, "LIVE_TIMEOUT_S", 0.05)

    def plug(camera: Camera) -> Camera:
        monkeypatch.setattr(stage, "open_frames", lambda _source, **_: LiveStream("camera 0", camera))
        return camera

    return plug


def run(*sources: Path | str | int, model: Path, **options: Any) -> tuple[PredictSummary, str]:
    """Run the command and return its summary and its output on the stream."""
    stream = io.StringIO()
    summary = run_predict(sources, model, options=PredictOptions(**options), stream=stream)
    return summary, stream.getvalue()


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_of_a_video_among_images_are_in_order(
    tmp_path: Path, model_path: Path, make_video: MakeVideo, make_image: Callable[..., Path]
) -> None:
    image = make_image("p.png", ("Happy", 10, 10, 40))
    out = tmp_path / "rows.jsonl"
    summary, output = run(image, make_video(), image.parent / "p.png", model=model_path, out=out)
    rows = read_rows(out)
    assert [row["frame"] for row in rows] == [
        None,
        *(frame for frame in range(N_FRAMES) for _ in range(1 if 5 <= frame < 8 else 2)),
    ]
    assert [row["seconds"] for row in rows[1:3]] == [0.0, 0.0]
    assert rows[-1]["seconds"] == pytest.approx(19 / 25)
    assert {row["track"] for row in rows if row["status"] == "ok"} == {None, 0, 1}
    assert [row["frame"] for row in rows if row["status"] == "no_face"] == [5, 6, 7]
    assert str(summary) == "35 faces in 1 image and 20 frames of 1 video, 3 with no face"
    # The summary by person is printed with a file, too.
    assert output.splitlines()[0].endswith("a.avi: 20 frames, 0.8 s, a face in 85% of them")


def test_without_a_file_a_video_is_summarized(model_path: Path, make_video: MakeVideo) -> None:
    """By person, with time seen and expressions, not a line per frame."""
    path = make_video()
    _, output = run(path, model=model_path)
    lines = output.splitlines()
    assert lines[0] == f"{path}: 20 frames, 0.8 s, a face in 85% of them"
    assert lines[1].split() == ["track", "seen", "valence", "arousal", "expressions"]
    happy, sad = (line.split() for line in lines[2:])
    assert [happy[0], happy[1], *happy[5:]] == ["0", "0.7", "Happy", "100%"]
    assert [sad[0], sad[1], *sad[5:]] == ["1", "0.7", "Sad", "100%"]
    assert float(sad[4]) == pytest.approx(1, abs=0.02)


def test_limits_are_passed_on(tmp_path: Path, model_path: Path, make_video: MakeVideo) -> None:
    path = make_video()
    out = tmp_path / "rows.jsonl"
    run(path, model=model_path, out=out, video=VideoOptions(max_frames=3))
    assert {row["frame"] for row in read_rows(out)} == {0, 1, 2}
    run(path, model=model_path, out=out, video=VideoOptions(max_seconds=0.2), force=True)
    assert {row["frame"] for row in read_rows(out)} == {0, 1, 2, 3, 4}


def test_an_annotated_video_has_all_frames(tmp_path: Path, model_path: Path, make_video: MakeVideo) -> None:
    """As a readable MP4, with something drawn on it."""
    run(make_video(), model=model_path, draw=tmp_path / "drawn")
    capture = cv2.VideoCapture(str(tmp_path / "drawn" / "a.avi.mp4"))
    drawn = []
    while True:
        is_there, frame = capture.read()
        if not is_there:
            break
        drawn.append(frame)
    assert len(drawn) == N_FRAMES
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    plain = cv2.resize(draw(3)[:, :, ::-1], drawn[3].shape[1::-1], interpolation=cv2.INTER_CUBIC)
    assert np.abs(drawn[3].astype(int) - plain).max() > 100
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["a.avi.mp4"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_timeline_is_drawn(tmp_path: Path, model_path: Path, make_video: MakeVideo, suffix: str) -> None:
    timeline = tmp_path / "new" / f"t{suffix}"
    run(make_video(), model=model_path, timeline=timeline)
    beginning = timeline.read_bytes()[:5]
    assert beginning == (b"\x89PNG\r" if suffix == ".png" else b"<?xml")


def test_a_timeline_needs_exactly_one_video(
    tmp_path: Path, model_path: Path, make_video: MakeVideo, make_image: Callable[..., Path]
) -> None:
    with pytest.raises(ArtifactError, match="needs exactly one video or camera, got 0"):
        run(make_image("p.png"), model=model_path, timeline=tmp_path / "t.png")
    with pytest.raises(ArtifactError, match="got 2"):
        run(make_video(), make_video("b.avi"), model=model_path, timeline=tmp_path / "t.png")


def test_an_existing_timeline_is_not_replaced(
    tmp_path: Path, model_path: Path, make_video: MakeVideo
) -> None:
    timeline = tmp_path / "t.png"
    timeline.write_text("precious")
    with pytest.raises(ArtifactError, match="--force"):
        run(make_video(), model=model_path, timeline=timeline)
    with pytest.raises(ArtifactError, match=r"must end in \.png or \.svg"):
        run(make_video(), model=model_path, timeline=tmp_path / "t.jpg")
    assert timeline.read_text() == "precious"


def test_a_truncated_video_keeps_its_rows_and_the_next_is_predicted(
    tmp_path: Path, model_path: Path, make_video: MakeVideo
) -> None:
    broken = make_video("broken.avi", 40)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    (tmp_path / "empty.mp4").touch()
    out = tmp_path / "rows.jsonl"
    summary, _ = run(broken, tmp_path / "empty.mp4", make_video("b.avi", 4), model=model_path, out=out)
    status_of = {Path(row["source"]).name: row["status"] for row in read_rows(out)}
    assert status_of == {"broken.avi": "truncated_video", "empty.mp4": "empty_file", "b.avi": "ok"}
    assert summary.n_unreadable == 2
    assert summary.n_frames > 14


def test_an_unplugged_camera_ends_with_a_row(
    tmp_path: Path, model_path: Path, plug_in: Callable[[Camera], Camera]
) -> None:
    camera = plug_in(Camera(10))
    out = tmp_path / "rows.jsonl"
    run(0, model=model_path, out=out)
    *rows, last = read_rows(out)
    assert rows
    assert {row["expression"] for row in rows} == {"Happy", "Sad"}
    assert (last["status"], last["source"]) == ("stream_ended", "camera 0")
    assert camera.is_released
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_camera_and_its_files_are_complete(
    tmp_path: Path, model_path: Path, plug_in: Callable[[Camera], Camera], number: signal.Signals
) -> None:
    def interrupt(index: int) -> None:
        if index == 5:
            signal.raise_signal(number)

    camera = plug_in(Camera(10_000_000, interrupt))
    out = tmp_path / "rows.jsonl"
    before = signal.getsignal(number)
    run(0, model=model_path, out=out, draw=tmp_path / "drawn")
    assert read_rows(out)
    assert (tmp_path / "drawn" / "camera-0.mp4").stat().st_size > 0
    assert camera.is_released
    assert signal.getsignal(number) is before


def test_a_missing_camera_is_an_error(model_path: Path) -> None:
    with pytest.raises(SourceError, match="Camera 93 cannot be opened"):
        run(93, model=model_path)


def test_an_interrupted_run_leaves_partial_files(
    tmp_path: Path,
    model_path: Path,
    make_video: MakeVideo,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "rows.jsonl"
    path = make_video()
    n_added: list[int] = []
    real = stage.PredictSummary.add

    def stop(self: Any, prediction: Any, *, is_frame: bool) -> None:
        n_added.append(1)
        if len(n_added) == 10:
            raise KeyboardInterrupt
        real(self, prediction, is_frame=is_frame)

    with monkeypatch.context() as patch:
        patch.setattr(stage.PredictSummary, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            run(path, model=model_path, out=out, draw=tmp_path / "drawn")
    partial = tmp_path / "rows.jsonl.partial"
    assert {row["frame"] for row in read_rows(partial)} == set(range(10))
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["a.avi.partial.mp4"]
    rows = partial.read_bytes()
    with pytest.raises(ArtifactError, match=r"rows\.jsonl\.partial holds the rows of an interrupted run"):
        run(path, model=model_path, out=out)
    assert partial.read_bytes() == rows
    run(path, model=model_path, out=out, force=True)
    assert caplog.messages == [f"{partial} is left over from an interrupted run, and is replaced"]
    assert {row["frame"] for row in read_rows(out)} == set(range(N_FRAMES))
    assert not partial.exists()


def test_a_window_needs_a_screen(
    model_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(MienError, match=r"--show needs a screen: .* use --draw"):
        run(make_video(), model=model_path, show=True)


def test_a_window_is_for_videos(model_path: Path, make_image: Callable[..., Path]) -> None:
    with pytest.raises(ArtifactError, match="--show is for videos"):
        run(make_image("p.png"), model=model_path, show=True)


def test_closing_the_window_ends_the_run(
    tmp_path: Path, model_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows up to then are kept; further videos are not started."""

    class ClosedAfterThree:
        n_shown, is_closed = 0, False

        def __init__(self, title: str) -> None:
            pass

        def add(self, prediction: ImagePrediction) -> bool:
            assert prediction.image_rgb is not None
            type(self).n_shown += 1
            self.is_closed = self.n_shown == 3
            return self.is_closed

        def close(self) -> None:
            type(self).n_shown += 100

    monkeypatch.setattr(stage, "PreviewWindow", ClosedAfterThree)
    out = tmp_path / "rows.jsonl"
    run(make_video(), make_video("b.avi"), model=model_path, show=True, out=out)
    assert {row["frame"] for row in read_rows(out)} == {0, 1, 2}
    assert ClosedAfterThree.n_shown == 103


def test_a_name_that_is_not_valid_unicode(tmp_path: Path, model_path: Path, make_video: MakeVideo) -> None:
    """Invalid bytes, and control characters."""
    name = "a\udcff\n.avi"
    try:
        path = make_video().rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system has no such names")
    summary, output = run(path, model=model_path, draw=tmp_path / "drawn", timeline=tmp_path / "t.png")
    assert summary.n_frames == N_FRAMES
    assert "a\\udcff\\n.avi: 20 frames" in output
    assert [copy.name for copy in (tmp_path / "drawn").iterdir()] == [f"{name}.mp4"]
