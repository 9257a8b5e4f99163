"""A video read frame by frame: decoded, faces found and followed, read in small batches, smoothed over time.

Of a recording the frames are decoded and their faces cut in threads that work ahead of the model. What is live is read
one newest frame at a time: a reading is of now, or it is not made.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.faces.detector import Detector
from mien.faces.images import UnreadableImage
from mien.formats.onnx_model import OnnxModel, Outputs
from mien.inference.decision_rule import DecisionRule
from mien.inference.pipeline import CroppedFace, CroppedImage, crop_face, infer, postprocess_face
from mien.inference.results import FacePrediction, ImagePrediction, row_without_face
from mien.inference.video.capture import Frame, FrameSource
from mien.inference.video.options import VideoOptions
from mien.inference.video.prefetch import ahead
from mien.inference.video.smoothing import Smoother, Smoothers
from mien.inference.video.tracking import Follower

# Frames of a recording that are decoded ahead, cut ahead, and read in one call of the model.
FRAMES_AHEAD = 3
BATCH_FRAMES = 4


@dataclass(frozen=True, slots=True, eq=False)
class _CroppedFrame:
    """A frame whose faces wait for the model.

    Attributes:
        frame: without its pixels.
        image: the faces.
        tracks: the number of each face's track.
    """

    frame: Frame
    image: CroppedImage
    tracks: tuple[int, ...]


def watch(
    source: FrameSource,
    bundle: OnnxModel,
    *,
    detector: Detector | None,
    rule: DecisionRule | None = None,
    options: VideoOptions | None = None,
) -> Generator[ImagePrediction, None, None]:
    """Yield the reading of each frame, in order; closing the generator lets go of the camera or file.

    Args:
        source: of `frames.open_frames`.
        bundle: the model.
        detector: finds the faces, or None where every frame is a face.
        rule: how answers are given.
        options: how the video is read.

    Raises:
        ModelError: the model gives values that are not finite, or lacks a class that the rule asks for.
    """
    options, rule = options or VideoOptions(), rule or DecisionRule()
    follower = None if detector is None else Follower(detector, detect_every=options.detect_every)
    smoothers = Smoothers(options.smoothing_s)
    frames = _limited(source, options)
    if source.is_live:
        cuts, n_together = _cut_frames(frames, source.name, bundle, follower, options), 1
    else:
        decoded = ahead(frames, FRAMES_AHEAD)
        cuts = ahead(_cut_frames(decoded, source.name, bundle, follower, options), FRAMES_AHEAD)
        n_together = BATCH_FRAMES
    try:
        for batch in _batches(cuts, n_together):
            yield from _read_batch(batch, bundle, rule, smoothers)
    finally:
        cuts.close()


def unreadable_prediction(name: str, error: UnreadableImage) -> ImagePrediction:
    """Return the reading of a video file that cannot be opened: one row that says why."""
    return ImagePrediction(name, (row_without_face(name, (error.reason, error.detail)),))


def _limited(source: FrameSource, options: VideoOptions) -> Generator[Frame, None, None]:
    """Yield a source's frames up to what the options allow."""
    frames = iter(source)
    try:
        for n_given, frame in enumerate(frames, start=1):
            if options.max_seconds is not None and frame.seconds >= options.max_seconds:
                return
            yield frame
            if n_given == options.max_frames:
                return
    finally:
        if isinstance(frames, Generator):
            frames.close()


def _cut_frames(
    frames: Generator[Frame, None, None],
    name: str,
    bundle: OnnxModel,
    follower: Follower | None,
    options: VideoOptions,
) -> Generator[_CroppedFrame, None, None]:
    try:
        for frame in frames:
            yield _cut_frame(frame, name, bundle, follower, options)
    finally:
        frames.close()


def _cut_frame(
    frame: Frame, name: str, bundle: OnnxModel, follower: Follower | None, options: VideoOptions
) -> _CroppedFrame:
    image_rgb = frame.image_rgb
    if image_rgb is None:
        return _CroppedFrame(frame, CroppedImage(name, (), problem=frame.problem), ())
    faces: list[CroppedFace] = []
    tracks: list[int] = []
    for track, face in [(0, None)] if follower is None else follower.follow(image_rgb, frame.seconds):
        tracks.append(track)
        faces.append(crop_face(image_rgb, face, bundle.info))
    image = CroppedImage(name, tuple(faces), image_rgb if options.keep_images else None)
    return _CroppedFrame(replace(frame, image_rgb=None), image, tuple(tracks))


def _batches(cuts: Iterator[_CroppedFrame], n_together: int) -> Iterator[list[_CroppedFrame]]:
    batch: list[_CroppedFrame] = []
    for cut in cuts:
        batch.append(cut)
        if len(batch) == n_together:
            yield batch
            batch = []
    if batch:
        yield batch


def _read_batch(
    batch: Sequence[_CroppedFrame], bundle: OnnxModel, rule: DecisionRule, smoothers: Smoothers
) -> Iterator[ImagePrediction]:
    outputs = infer([face.crop for cut in batch for face in cut.image.faces], bundle)
    for cut in batch:
        name, frame = cut.image.source, cut.frame
        rows = []
        for number, (face, track) in enumerate(zip(cut.image.faces, cut.tracks, strict=True)):
            smoother = smoothers.of(track, frame.seconds)
            output = _smoothed(next(outputs), smoother, frame.seconds)
            row = postprocess_face(name, number, face, output, bundle.info, rule)
            rows.append(_with_smooth_landmarks(replace(row, track=track), smoother, frame.seconds))
        rows = rows or [row_without_face(name, cut.image.problem)]
        rows = [replace(row, frame=frame.number, seconds=frame.seconds) for row in rows]
        yield ImagePrediction(name, tuple(rows), cut.image.image_rgb)


def _smoothed(output: Outputs, smoother: Smoother, seconds: float) -> Outputs:
    affect = output.valence_arousal
    return replace(
        output,
        probabilities=smoother.probabilities(output.probabilities, seconds).astype(np.float32),
        valence_arousal=None if affect is None else smoother.affect(affect, seconds).astype(np.float32),
    )


def _with_smooth_landmarks(row: FacePrediction, smoother: Smoother, seconds: float) -> FacePrediction:
    if row.landmarks is None or row.box_xyxy is None:
        return row
    side = float((row.box_xyxy[2:] - row.box_xyxy[:2]).max())
    return replace(row, landmarks=smoother.landmarks(row.landmarks, seconds, side=side))
