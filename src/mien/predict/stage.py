"""The command `predict`: everything is checked first, then each source is predicted and written as it comes."""

import logging
import math
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TextIO

from mien.artifacts import remove_partials
from mien.assets.bundled_models import find_model
from mien.drawing.fonts import warn_of_missing_characters
from mien.errors import ArtifactError, SourceError
from mien.faces.detector import load_detector
from mien.faces.detector_file import require_detection
from mien.faces.images import UnreadableImage
from mien.formats.onnx_model import OnnxModel
from mien.inference.baseline import subtract_baseline
from mien.inference.given_faces import GivenFaces
from mien.inference.media_sources import MediaSource, find_sources
from mien.inference.pipeline import warn_if_trained_on_crops
from mien.inference.results import ImagePrediction
from mien.inference.video.capture import open_frames
from mien.inference.video.frames import DEFAULT_FRAME_RATE, FrameSource
from mien.inference.video.options import VideoOptions
from mien.inference.video.stream import predict_frames, unreadable_prediction
from mien.predict.aggregated_rows import open_output, require_aggregate_fits
from mien.predict.annotated_output import (
    AnnotatedVideoWriter,
    assign_annotated_paths,
    claim_annotation_folder,
)
from mien.predict.baseline_file import read_baseline, require_baseline_fits
from mien.predict.face_list import read_faces
from mien.predict.image_rows import FacePredictor, PredictSummary
from mien.predict.options import PredictOptions
from mien.predict.parts import (
    has_parts,
    is_finished,
    is_in_parts,
    parts_removed_at_end,
    predict_in_parts,
    require_no_parts,
)
from mien.predict.prediction_files import RowWriter, claim_prediction_file
from mien.predict.preview_window import PreviewWindow
from mien.predict.terminal_output import TableWriter, VideoSummary
from mien.predict.timeline import Timeline, claim_timeline
from mien.runtime.cpu import threads_for_video
from mien.runtime.options import given_options, option_flag
from mien.runtime.progress import Progress
from mien.runtime.terminal import on_one_line

_log = logging.getLogger(__name__)

# Fewer images than this are done before a progress bar would be useful.
MIN_IMAGES_FOR_PROGRESS = 8


def run_predict(
    sources: Sequence[str | Path | int],
    model: str | Path | None = None,
    *,
    options: PredictOptions,
    stream: TextIO,
    lines: Iterable[str] = (),
) -> PredictSummary | None:
    """Predict the faces of the sources and write the results.

    Args:
        sources: see `media_sources.find_sources`.
        model: the name of a bundled model, a file written by `mien export`, or None for the default.
        options: see `PredictOptions`.
        stream: receives the table if there is no output file.
        lines: the list that the source ``-`` stands for.

    Returns:
        The counts; None if `options.resume` finds nothing left to do.

    Raises:
        SourceError: a source or the detector's file does not exist, or a camera cannot be opened; an address that cannot be read
            has a row instead.
        ArtifactError: the model cannot be used, or an output exists or cannot be written.
        ModelError: the detector's file is not a detector, or the model's output is not finite or lacks a class.
        MienError: there is no display for a window.
    """
    summary = PredictSummary(min_face_px=options.min_face_px)
    found = find_sources(sources, lines=lines, leave_out=options.draw, passed_over=summary.passed_over)
    n_videos = sum(source.is_video for source in found)
    if not n_videos and (flags := [option_flag(field) for field, _ in given_options(options.video)]):
        _log.warning("No source is a video or camera: %s has no effect on images", " and ".join(flags))
    in_parts = is_in_parts(found, options)
    if options.resume and is_finished([Path(source.name) for source in found], options):
        _log.info(
            "%s is finished: it has the rows of all %s images, and nothing is left to do. To predict them again, add --force",
            options.out,
            f"{len(found):,}",
        )
        return None
    given = _read_faces(found, options)
    with ExitStack() as stack:
        copies = _claim_outputs(options, found, stack)
        # While the model predicts frames of a video, other threads decode the next ones and detect their faces.
        onnx_model = OnnxModel.load(find_model(model), threads=threads_for_video() if n_videos else None)
        options = _with_label_sets(options, onnx_model, has_videos=n_videos > 0)
        classes = options.rule.classes(onnx_model.info.classes)
        if options.draw is not None or options.timeline is not None or options.show:
            titles = [source.name for source in found] if options.timeline is not None else []
            warn_of_missing_characters([*classes, *titles])
        detector = None
        if options.crop == "detect":
            warn_if_trained_on_crops(onnx_model.info)
            detector = load_detector(options.detector_path, min_face_px=options.min_face_px)
        names = [source.name for source in found if not source.is_video]
        writer: RowWriter = TableWriter(
            stream,
            classes,
            names,
            top=options.rule.top,
            annotations=onnx_model.info.annotations,
            has_affect="valence_arousal" in onnx_model.info.tasks,
        )
        window = stack.enter_context(closing(PreviewWindow("mien"))) if options.show else None
        if options.out is not None:
            if in_parts:
                stack.enter_context(parts_removed_at_end(options.out))
            writer = stack.enter_context(open_output(options.out, options, classes, onnx_model.info))
        images = FacePredictor(
            onnx_model, detector, options.rule, options.blur, None, options.max_pixels, given
        )
        if in_parts:
            paths = [Path(source.name) for source in found]
            done = predict_in_parts(paths, copies, images, writer, options, model)
            done.passed_over.update(summary.passed_over)
            return done
        if isinstance(options.baseline, Path):
            neutral = read_baseline(options.baseline, onnx_model, detector=detector, options=options)
            images = replace(images, neutral=neutral)
        run = _Run(options, classes, copies, stream, writer, window, summary, images)
        run.predict_sources(found)
    return summary


def _with_label_sets(options: PredictOptions, model: OnnxModel, *, has_videos: bool) -> PredictOptions:
    """Return the options with the prediction sets that were asked for, and check the rule.

    Raises:
        ModelError: the model lacks what the rule needs.
        ArtifactError: the promise cannot be kept.
    """
    if has_videos and options.sets.coverage is not None:
        raise ArtifactError(
            "--coverage is for images: the frames of a video repeat each other, so the coverage would not hold"
        )
    rule = options.sets.add_to(options.rule, model)
    rule.require_supported_by(model.info)
    return replace(options, rule=rule)


def _read_faces(sources: Sequence[MediaSource], options: PredictOptions) -> dict[str, GivenFaces] | None:
    """Return the faces of the images from a list, if there is one, and warn of what it does not cover."""
    path = options.faces
    require_detection(options.detector_path, options.crop)
    if options.min_face_px and (path is not None or options.crop == "whole"):
        raise ArtifactError(
            "--min-face-px is for faces that are detected: leave it out with --faces and --crop whole"
        )
    if path is None:
        return None
    if options.crop == "whole":
        raise ArtifactError("--faces and --crop whole both say where the face is: leave one of them out")
    if any(source.is_video or isinstance(source.location, str) for source in sources):
        raise ArtifactError("--faces is for image files, but a video, camera or address was given")
    given, n_others = read_faces(path, [source.name for source in sources])
    if len(given) < len(sources):
        _log.warning(
            "%s has no row for %s of %s images: they have no face",
            path,
            f"{len(sources) - len(given):,}",
            f"{len(sources):,}",
        )
    if n_others:
        _log.warning("%s rows of %s name none of the images and are not used", f"{n_others:,}", path)
    return given


def _claim_outputs(
    options: PredictOptions, sources: Sequence[MediaSource], stack: ExitStack
) -> dict[str, Path]:
    """Check and reserve all outputs, and return the paths of annotated copies by source name."""
    n_videos = sum(source.is_video for source in sources)
    if options.out is not None:
        stack.enter_context(
            claim_prediction_file(
                options.out, force=options.force, resume=options.resume, layout=options.layout
            )
        )
        if not options.resume:
            require_no_parts(options.out, force=options.force)
    require_baseline_fits(options, n_images=len(sources) - n_videos)
    require_aggregate_fits(options, n_images=len(sources) - n_videos)
    if options.blur and options.draw is None:
        raise ArtifactError("--blur is for annotated copies: add --draw")
    if options.layout is not None and options.out is None:
        raise ArtifactError(f"--format {options.layout} is for files: add --out")
    if options.layout == "label-studio" and n_videos:
        raise ArtifactError("--format label-studio is for images, but a video or camera was given")
    if options.draw is not None:
        is_resumed = options.resume and options.out is not None and has_parts(options.out)
        stack.enter_context(claim_annotation_folder(options.draw, force=options.force or is_resumed))
    if options.timeline is not None:
        if n_videos != 1:
            raise ArtifactError(f"--timeline needs exactly one video or camera, got {n_videos:,}")
        stack.enter_context(claim_timeline(options.timeline, force=options.force))
    if options.show and not n_videos:
        raise ArtifactError("--show is for videos and cameras, but none was given. Use --draw for images")
    copies = {} if options.draw is None else assign_annotated_paths(sources, options.draw)
    for folder in {copy.parent for copy in copies.values() if copy.parent.is_dir()}:
        remove_partials(folder)
    return copies


@dataclass(frozen=True, slots=True)
class _Run:
    """What every source of a run needs.

    Attributes:
        options: of the command.
        classes: the expressions that can be predicted.
        copies: paths of annotated copies, by source name; empty for none.
        stream: receives the summaries of videos.
        writer: receives the rows of images, and those of videos if there is an output file.
        window: shows videos, or None.
        summary: the counts.
        images: predicts images, and holds the model and the detector.
    """

    options: PredictOptions
    classes: tuple[str, ...]
    copies: dict[str, Path]
    stream: TextIO
    writer: RowWriter
    window: PreviewWindow | None
    summary: PredictSummary
    images: FacePredictor

    def predict_sources(self, sources: Iterable[MediaSource]) -> None:
        """Predict the sources in their order: consecutive images are batched, each video is predicted on its own."""
        for (is_video, is_at_url), group in groupby(
            sources, key=lambda source: (source.is_video, isinstance(source.location, str))
        ):
            if not is_video and not is_at_url:
                self.predict_images([Path(source.name) for source in group])
            elif not is_video:
                self.predict_images_at_urls(group)
            else:
                for source in group:
                    if self.window is None or not self.window.is_closed:
                        self.predict_video(source)

    def predict_images(self, paths: Sequence[Path]) -> None:
        """Predict images in batches, and write rows and annotated copies."""
        with ExitStack() as stack:
            progress = None
            # On a terminal the rows of the table show the progress, and a bar would break them.
            is_table_visible = self.options.out is None and self.stream.isatty()
            if len(paths) >= MIN_IMAGES_FOR_PROGRESS and not is_table_visible:
                progress = stack.enter_context(Progress("Predicting", total=len(paths), unit="image"))
            for prediction in self.images.write_images(paths, self.writer, self.copies):
                self.summary.add(prediction)
                if progress is not None:
                    progress.advance()

    def predict_images_at_urls(self, photos: Iterable[MediaSource]) -> None:
        """Download and predict photos one by one, and write rows and annotated copies."""
        for photo in photos:
            url = str(photo.location)
            for prediction in self.images.write_image_at_url(photo.name, url, self.writer, self.copies):
                self.summary.add(prediction)

    def predict_video(self, video: MediaSource) -> None:
        """Predict a video until it ends, a limit is reached, or a person stops it; write all of its outputs."""
        self.summary.n_videos += 1
        with ExitStack() as stack:
            predictions, frame_rate, is_live = self._open_video(video, stack)
            video_summary = VideoSummary(
                video.name, frame_rate=frame_rate, min_face_px=self.options.min_face_px
            )
            timeline = Timeline(self.classes, self.images.model.info.annotations)
            annotated: AnnotatedVideoWriter | None = None
            if self.copies:
                annotated = stack.enter_context(
                    AnnotatedVideoWriter(
                        self.copies[video.name],
                        frame_rate=frame_rate,
                        is_live=is_live,
                        blur=self.options.blur,
                    )
                )
            for prediction in self._with_change(predictions):
                video_summary.add(prediction)
                if self.options.out is not None:
                    for row in prediction.rows:
                        self.writer.write(row, prediction.size_wh)
                self.summary.add(prediction, is_frame=True)
                if annotated is not None:
                    annotated.add(prediction)
                if self.options.timeline is not None:
                    timeline.add(prediction)
                if self.window is not None and self.window.add(prediction):
                    break
        self.stream.writelines(f"{on_one_line(line)}\n" for line in video_summary.lines())
        if self.options.timeline is not None:
            timeline.draw(self.options.timeline, title=on_one_line(video.name))

    def _with_change(self, predictions: Iterable[ImagePrediction]) -> Iterable[ImagePrediction]:
        """Yield predictions with the change from the baseline, if there is one."""
        if isinstance(self.options.baseline, float):
            return subtract_baseline(predictions, seconds=self.options.baseline)
        neutral = self.images.neutral
        return predictions if neutral is None else subtract_baseline(predictions, neutral=neutral)

    def _open_video(
        self, video: MediaSource, stack: ExitStack
    ) -> tuple[Iterable[ImagePrediction], float, bool]:
        """Open a video, and close it when the stack does.

        Returns:
            One prediction per frame, the frame rate, and whether it is a camera or live stream.

        Raises:
            SourceError: the camera does not exist.
        """
        try:
            frames = open_frames(video.location, start_seconds=self.options.video.start_seconds)
        except (UnreadableImage, SourceError) as error:
            if isinstance(error, SourceError):
                if not isinstance(video.location, str):
                    raise
                # One address among many is down: the others are still to be read.
                error = UnreadableImage("unreadable_url", str(error))
            return [unreadable_prediction(video.name, error)], DEFAULT_FRAME_RATE, False
        frames.name = video.name
        options = replace(self.options.video, keep_images=bool(self.copies) or self.window is not None)
        predictions = stack.enter_context(
            closing(
                predict_frames(
                    frames,
                    self.images.model,
                    detector=self.images.detector,
                    rule=self.options.rule,
                    options=options,
                )
            )
        )
        is_stopped = stack.enter_context(_stop_on_signal()) if frames.is_live else None
        return _with_progress(predictions, frames, options, is_stopped), frames.frame_rate, frames.is_live


def _with_progress(
    predictions: Iterable[ImagePrediction],
    frames: FrameSource,
    options: VideoOptions,
    is_stopped: threading.Event | None,
) -> Iterator[ImagePrediction]:
    """Yield the predictions for a video with a progress bar, until they end or the event is set."""
    # How many frames come before the start is not known beforehand: the first frame may be later than 0.
    n_frames = None if options.start_seconds else frames.n_frames
    spans_s = [options.end_seconds and options.end_seconds - options.start_seconds, options.max_seconds]
    for span_s in filter(None, spans_s):
        n_most = max(1, round(span_s * frames.frame_rate))
        n_frames = min(n_frames or frames.n_frames or n_most, n_most)
    if options.per_second is not None and n_frames is not None:
        n_frames = math.ceil(n_frames * min(1.0, options.per_second / frames.frame_rate))
    if options.max_frames is not None:
        n_frames = min(n_frames or options.max_frames, options.max_frames)
    with Progress(f"Predicting {frames.name}", total=n_frames, unit="frame") as progress:
        for prediction in predictions:
            yield prediction
            progress.advance()
            if is_stopped is not None and is_stopped.is_set():
                return


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; a second one interrupts as usual.

    An interrupt is the usual end of a camera, and SIGTERM that of a service: the current frame is still written. Signals
    are handled in the main thread only; in another one the event is never set.
    """
    is_stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield is_stopped
        return

    def stop(_number: int, _frame: object) -> None:
        is_stopped.set()
        restore_handlers()

    def restore_handlers() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield is_stopped
    finally:
        restore_handlers()
