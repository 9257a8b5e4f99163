"""A video predicted frame by frame: decoded, faces tracked and cropped, inferred in small batches, smoothed over time.

For a video file, frames are decoded and their faces cropped in threads that run ahead of the model. A live source is
processed one newest frame at a time, so that every prediction is current.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from mien.faces.detector import DetectedFace, Detector
from mien.faces.images import UnreadableImage
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.pipeline import CroppedImage, crop_faces, infer, postprocess_face
from mien.inference.results import ImagePrediction, row_without_face
from mien.inference.video.cuts import CutDetector
from mien.inference.video.frames import DAMAGED, Frame, FrameSource
from mien.inference.video.options import VideoOptions
from mien.inference.video.prefetch import prefetch
from mien.inference.video.smoothing import VideoSmoother
from mien.inference.video.tracking import FaceTracker
from mien.tasks import TASKS

# For a video file: frames decoded ahead, frames cropped ahead, and frames per model call.
PREFETCH_FRAMES = 3
BATCH_FRAMES = 4
TIME_TOLERANCE_S = 1e-3
# Faces move too far to be tracked between frames that are further apart.
MAX_TRACKED_GAP_S = 0.2


class _TrackedFrame(NamedTuple):
    """A frame with its faces: the track number of each, and where it is; None if the frame is the face."""

    frame: Frame
    faces: Sequence[tuple[int, DetectedFace | None]]


def predict_frames(
    source: FrameSource,
    model: OnnxModel,
    *,
    detector: Detector | None,
    rule: DecisionRule | None = None,
    options: VideoOptions | None = None,
) -> Generator[ImagePrediction, None, None]:
    """Yield the prediction for each frame, in order; closing the generator closes the camera or file.

    Args:
        source: opened by `capture.open_frames`, with the same `start_seconds` as the options.
        model: the ONNX model.
        detector: finds the faces; None if every frame already is one cropped face.
        rule: how probabilities become an expression.
        options: how the video is predicted.

    Raises:
        ModelError: the model's output is not finite, or it lacks a class that the rule requires.
    """
    options, rule = options or VideoOptions(), rule or DecisionRule()
    is_sparse = options.per_second is not None and options.per_second * MAX_TRACKED_GAP_S < 1
    detect_every = 1 if is_sparse else options.detect_every
    tracker = None if detector is None else FaceTracker(detector, detect_every=detect_every)
    smoother = VideoSmoother(options.smoothing_s)
    frames, batch_size = _select_frames(source, options), 1
    if not source.is_live:
        frames, batch_size = prefetch(frames, PREFETCH_FRAMES), BATCH_FRAMES
    tracked = _track_frames(frames, tracker)
    if not source.is_live:
        tracked = prefetch(tracked, PREFETCH_FRAMES)
    try:
        while batch := list(islice(tracked, batch_size)):
            yield from _predict_batch(
                batch, source.name, model, rule, smoother, keep_images=options.keep_images
            )
    finally:
        tracked.close()


def _select_frames(source: FrameSource, options: VideoOptions) -> Generator[Frame, None, None]:
    """Yield a source's frames within the limits of the options, and as many per second as they say, with the cuts between them.

    A placeholder gives the reason if there are none.
    """
    frames, cuts = iter(source), CutDetector()
    count, end_s = 0, math.inf if options.end_seconds is None else options.end_seconds
    due_s = options.start_seconds
    try:
        for frame in frames:
            is_early = frame.seconds < options.start_seconds
            if is_early and (frame.problem is None or frame.problem[0] == DAMAGED):
                continue
            if count == 0 and options.max_seconds is not None:
                end_s = min(end_s, frame.seconds + options.max_seconds)
            if frame.seconds >= end_s:
                break
            if options.per_second is not None and frame.image_rgb is not None:
                # Times are sums of frame durations, which are not exact.
                if frame.seconds < due_s - TIME_TOLERANCE_S:
                    continue
                due_s = (math.floor(frame.seconds * options.per_second + 1e-6) + 1) / options.per_second
            yield frame if frame.image_rgb is None else frame._replace(is_cut=cuts.is_cut(frame.image_rgb))
            count += 1
            if count == options.max_frames:
                break
        if count == 0:
            end = "" if math.isinf(end_s) else f" and before {end_s:g} s"
            detail = f"the video has no frame from {options.start_seconds:g} s on{end}"
            yield Frame(0, options.start_seconds, None, ("no_frames", detail))
    finally:
        if isinstance(frames, Generator):
            frames.close()


def _track_frames(
    frames: Generator[Frame, None, None], tracker: FaceTracker | None
) -> Generator[_TrackedFrame, None, None]:
    """Track the faces of each frame; without a tracker a frame is one face, and a cut starts a track."""
    n_cuts = 0
    try:
        for frame in frames:
            n_cuts += frame.is_cut
            if frame.image_rgb is None:
                yield _TrackedFrame(frame, ())
            elif tracker is None:
                yield _TrackedFrame(frame, [(n_cuts, None)])
            else:
                if frame.is_cut:
                    tracker.end_tracks()
                yield _TrackedFrame(frame, tracker.track(frame.image_rgb, frame.seconds))
    finally:
        frames.close()


def _predict_batch(
    batch: Sequence[_TrackedFrame],
    name: str,
    model: OnnxModel,
    rule: DecisionRule,
    smoother: VideoSmoother,
    *,
    keep_images: bool,
) -> Iterator[ImagePrediction]:
    """Crop the faces of several frames, infer them in one model call, smooth the outputs by track, and postprocess them."""
    images = [
        CroppedImage(name, (), problem=frame.problem)
        if frame.image_rgb is None
        else crop_faces(
            name, frame.image_rgb, [face for _, face in tracked], model.info, keep_image=keep_images
        )
        for frame, tracked in batch
    ]
    outputs = infer([face.crop for image in images for face in image.faces], model)
    for (frame, tracked), image in zip(batch, images, strict=True):
        rows = []
        for index, (face, (track, _)) in enumerate(zip(image.faces, tracked, strict=True)):
            filters = smoother.for_track(track, frame.seconds)
            output = {
                # Points are smoothed below, in pixels of the image, in which the crop's own movement is left out.
                task: values
                if TASKS[task].is_geometric
                else filters.average(task, values, frame.seconds).astype(np.float32)
                for task, values in next(outputs).items()
            }
            row = postprocess_face(image.source, index, face, output, model.info, rule)
            if row.landmarks is not None:
                box_xyxy = face.detection.box_xyxy
                side = float((box_xyxy[2:] - box_xyxy[:2]).max())
                row = replace(row, landmarks=filters.landmarks(row.landmarks, frame.seconds, side=side))
            rows.append(replace(row, track=track))
        if not rows:
            # What the decoder made up over damage is no frame without a face.
            made_up = (DAMAGED, frame.caveat) if frame.caveat else None
            rows = [row_without_face(image.source, image.problem or made_up)]
        rows = [
            replace(row, frame=frame.number, seconds=frame.seconds, detail=row.detail or frame.caveat)
            for row in rows
        ]
        yield ImagePrediction(image.source, tuple(rows), image.image_rgb, image.size_wh)


def unreadable_prediction(name: str, error: UnreadableImage) -> ImagePrediction:
    """Return the prediction for a video file that cannot be opened: one row that gives the reason."""
    return ImagePrediction(name, (row_without_face(name, (error.reason, error.detail)),))
