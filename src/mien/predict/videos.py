"""A video or camera opened for reading: its readings, with progress, until it ends or a person stops it."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from mien.faces.detector import Detector
from mien.faces.images import UnreadableImage
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.results import ImagePrediction
from mien.inference.video.capture import DEFAULT_FRAME_RATE, FrameSource, open_frames
from mien.inference.video.stream import VideoOptions, predict_frames, unreadable_prediction
from mien.predict.inputs import Video
from mien.runtime.progress import Progress


@dataclass(frozen=True, slots=True)
class OpenVideo:
    """A video that is being read.

    Attributes:
        readings: one a frame.
        rate: frames a second, as the video tells.
        is_live: it is a camera or stream.
    """

    readings: Iterable[ImagePrediction]
    rate: float
    is_live: bool


@contextmanager
def open_video(
    video: Video, bundle: OnnxModel, *, detector: Detector | None, rule: DecisionRule, options: VideoOptions
) -> Iterator[OpenVideo]:
    """Open a video, and let go of it at the end.

    Of a camera an interrupt (Ctrl-C) is the usual end, or a SIGTERM where it is read as a service: the frame at hand is
    still given. A second one interrupts what is under way.

    Raises:
        SourceError: there is no such camera, or an address gives no video.
    """
    try:
        frames = open_frames(video.source)
    except UnreadableImage as error:
        yield OpenVideo([unreadable_prediction(video.name, error)], DEFAULT_FRAME_RATE, is_live=False)
        return
    with closing(predict_frames(frames, bundle, detector=detector, rule=rule, options=options)) as watched:
        if not frames.is_live:
            yield OpenVideo(_with_progress(watched, frames, options), frames.frame_rate, is_live=False)
            return
        with _polite_interrupts() as is_stopped:
            readings = _with_progress(_until(is_stopped, watched), frames, options)
            yield OpenVideo(readings, frames.frame_rate, is_live=True)


def _with_progress(
    readings: Iterable[ImagePrediction], frames: FrameSource, options: VideoOptions
) -> Iterator[ImagePrediction]:
    n_frames = frames.n_frames
    if n_frames is not None and options.max_seconds is not None:
        n_frames = min(n_frames, round(options.max_seconds * frames.frame_rate))
    if options.max_frames is not None:
        n_frames = min(n_frames or options.max_frames, options.max_frames)
    with Progress(f"Reading {frames.name}", total=n_frames, unit="frame") as progress:
        for reading in readings:
            yield reading
            progress.advance()


def _until(is_stopped: threading.Event, readings: Iterable[ImagePrediction]) -> Iterator[ImagePrediction]:
    for reading in readings:
        yield reading
        if is_stopped.is_set():
            return


@contextmanager
def _polite_interrupts() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C or SIGTERM sets. Only the main thread can listen for signals."""
    is_stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield is_stopped
        return

    def stop(_number: int, _frame: object) -> None:
        is_stopped.set()
        listen_as_before()

    def listen_as_before() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield is_stopped
    finally:
        listen_as_before()
