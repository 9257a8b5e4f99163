"""The verb `predict`: everything checked first, then source by source, written as it comes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Literal, TextIO

from mien.artifacts import remove_partials
from mien.bundle import Bundle
from mien.errors import ArtifactError
from mien.faces.detector import Detector, load_detector
from mien.fonts import tell_missing
from mien.predict.copies import claim_copies_folder, name_copies, write_copy
from mien.predict.film import Film
from mien.predict.gather import Picture, Source, Video, gather_sources
from mien.predict.outputs import claim_rows, open_rows
from mien.predict.tally import Tally
from mien.predict.timeline import Timeline, claim_timeline
from mien.predict.videos import OpenVideo, open_video
from mien.predict.window import Window
from mien.predict.writers import RowWriter, TableWriter
from mien.progress import Progress
from mien.reading.annotate import annotate
from mien.reading.answers import AnswerRule
from mien.reading.model import threads_for_video
from mien.reading.readings import NO_FACE, OK, PictureReading
from mien.reading.recognise import read_pictures, say_how_faces_are_cut
from mien.reading.watch import WatchOptions
from mien.terminal import on_one_line
from mien.zoo import find_model

# Fewer pictures than this are done before a bar says anything.
MIN_PICTURES_FOR_PROGRESS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How to read and where to write.

    Attributes:
        crop: find the faces, or take every picture and frame as one face.
        detector_path: YuNet's file, or None to look where `mien.faces.detector` says.
        rule: how answers are given.
        video: how videos are read; `whole` and `keep_images` of it follow from the rest.
        out: a ``.jsonl``, ``.csv`` or ``.parquet`` file, or None for a table on the stream.
        draw: a folder for annotated copies, or None.
        timeline: a ``.png`` or ``.svg`` file for the timeline of the one video, or None.
        show: open a window and show videos in it.
        force: replace what is there.
    """

    crop: Literal["detect", "whole"] = "detect"
    detector_path: Path | None = None
    rule: AnswerRule = field(default_factory=AnswerRule)
    video: WatchOptions = field(default_factory=WatchOptions)
    out: Path | None = None
    draw: Path | None = None
    timeline: Path | None = None
    show: bool = False
    force: bool = False


@dataclass(slots=True)
class PredictSummary:
    """What was read.

    Attributes:
        n_pictures: in all, unreadable ones too.
        n_videos: likewise, cameras too.
        n_frames: of the videos.
        n_faces: rows with a reading.
        n_without_face: pictures and frames in which none was found.
        n_unreadable: pictures that could not be read, and parts of videos.
    """

    n_pictures: int = 0
    n_videos: int = 0
    n_frames: int = 0
    n_faces: int = 0
    n_without_face: int = 0
    n_unreadable: int = 0

    def count(self, reading: PictureReading, *, is_frame: bool = False) -> None:
        """Add a picture or frame."""
        status = reading.rows[0].status
        self.n_pictures += not is_frame
        self.n_frames += is_frame and status in (OK, NO_FACE)
        self.n_faces += sum(row.status == OK for row in reading.rows)
        self.n_without_face += status == NO_FACE
        self.n_unreadable += status not in (OK, NO_FACE)

    def __str__(self) -> str:
        where = []
        if self.n_pictures or not self.n_videos:
            where.append(_counted(self.n_pictures, "picture"))
        if self.n_videos:
            where.append(f"{_counted(self.n_frames, 'frame')} of {_counted(self.n_videos, 'video')}")
        parts = [f"{_counted(self.n_faces, 'face')} in {' and '.join(where)}"]
        if self.n_without_face:
            parts.append(f"{self.n_without_face:,} with no face")
        if self.n_unreadable:
            parts.append(f"{self.n_unreadable:,} unreadable")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What the reading of every source needs.

    Attributes:
        bundle: the model.
        detector: finds the faces, or None.
        options: of the command.
        classes: that are answered.
        copies: where annotated copies go, by the source's name; empty for none.
        stream: takes the tallies of videos.
        writer: takes the rows of pictures, and of videos where there is a file for them.
        window: shows videos, or None.
        summary: counts.
    """

    bundle: Bundle
    detector: Detector | None
    options: PredictOptions
    classes: tuple[str, ...]
    copies: dict[str, Path]
    stream: TextIO
    writer: RowWriter
    window: Window | None
    summary: PredictSummary

    def write(self, reading: PictureReading) -> None:
        """Write a reading's rows."""
        for row in reading.rows:
            self.writer.write(row)


def run_predict(
    sources: Sequence[str | Path | int],
    model: str | Path | None = None,
    *,
    options: PredictOptions,
    stream: TextIO,
    announce: Callable[[str], None],
    lines: Iterable[str] = (),
) -> PredictSummary:
    """Read the faces of the sources with a model and write them down.

    Args:
        sources: see `gather.gather_sources`.
        model: the name of a model in the box, a file that `mien export` wrote, or None for the default.
        options: see `PredictOptions`.
        stream: takes the table where no file was asked for.
        announce: is told in one line what a person should know, such as a missing detector.
        lines: the list that the source ``-`` stands for.

    Raises:
        SourceError: a source does not exist, a camera cannot be opened, or the detector's file does not exist.
        ArtifactError: the model cannot be used, or an output is in the way or cannot be written.
        ModelError: the detector's file is not one, or the model gives no finite numbers or lacks a class.
        MienError: there is no screen for a window.
    """
    gathered = gather_sources(sources, lines=lines, leave_out=options.draw, announce=announce)
    n_videos = sum(isinstance(source, Video) for source in gathered)
    with ExitStack() as stack:
        _claim_outputs(options, n_videos, stack)
        copies = {} if options.draw is None else name_copies(gathered, options.draw)
        for folder in {copy.parent for copy in copies.values() if copy.parent.is_dir()}:
            remove_partials(folder)
        # While the model reads frames of a video, the next are decoded and searched for faces.
        bundle = Bundle.load(find_model(model), threads=threads_for_video() if n_videos else None)
        classes = options.rule.classes(bundle.info.classes)
        if options.draw is not None or options.timeline is not None or options.show:
            titles = [source.name for source in gathered] if options.timeline is not None else []
            tell_missing([*classes, *titles], announce)
        detector = None
        if options.crop == "detect":
            say_how_faces_are_cut(bundle.info, announce)
            detector = load_detector(options.detector_path, announce=announce)
        names = [source.name for source in gathered if isinstance(source, Picture)]
        writer: RowWriter = TableWriter(stream, classes, names, top=options.rule.top)
        window = stack.enter_context(closing(Window("mien"))) if options.show else None
        if options.out is not None:
            writer = stack.enter_context(
                open_rows(options.out, classes, force=options.force, announce=announce)
            )
        run = _Run(
            bundle=bundle,
            detector=detector,
            options=options,
            classes=classes,
            copies=copies,
            stream=stream,
            writer=writer,
            window=window,
            summary=PredictSummary(),
        )
        _read_sources(gathered, run)
    return run.summary


def _claim_outputs(options: PredictOptions, n_videos: int, stack: ExitStack) -> None:
    if options.out is not None:
        stack.enter_context(claim_rows(options.out, force=options.force))
    if options.draw is not None:
        stack.enter_context(claim_copies_folder(options.draw, force=options.force))
    if options.timeline is not None:
        if n_videos != 1:
            raise ArtifactError(f"--timeline is of one video or camera, and {n_videos:,} were named")
        stack.enter_context(claim_timeline(options.timeline, force=options.force))
    if options.show and not n_videos:
        raise ArtifactError("--show is for videos and cameras, and none was named. Use --draw for pictures")


def _read_sources(sources: Sequence[Source], run: _Run) -> None:
    """Read neighbouring pictures together, and each video alone."""
    for _, group in groupby(sources, key=type):
        together = list(group)
        _read_pictures([source.path for source in together if isinstance(source, Picture)], run)
        for source in together:
            if isinstance(source, Video) and (run.window is None or not run.window.is_closed):
                _read_video(source, run)


def _read_pictures(paths: Sequence[Path], run: _Run) -> None:
    readings = read_pictures(
        paths, run.bundle, detector=run.detector, rule=run.options.rule, keep_images=bool(run.copies)
    )
    for reading in _with_progress(readings, total=len(paths)):
        run.write(reading)
        if run.copies and reading.image_rgb is not None:
            write_copy(run.copies[reading.source], annotate(reading.image_rgb, reading.rows))
        run.summary.count(reading)


def _read_video(video: Video, run: _Run) -> None:
    """Read a video to its end, to the limits of the options, or until a person stops it."""
    options = replace(run.options.video, keep_images=bool(run.copies) or run.window is not None)
    run.summary.n_videos += 1
    with ExitStack() as stack:
        opened = stack.enter_context(
            open_video(video, run.bundle, detector=run.detector, rule=run.options.rule, options=options)
        )
        tally, timeline = Tally(video.name, rate=opened.rate), Timeline(run.classes)
        film = stack.enter_context(_film(video, opened, run)) if run.copies else None
        for reading in opened.readings:
            if run.options.out is None:
                tally.take(reading)
            else:
                run.write(reading)
            run.summary.count(reading, is_frame=True)
            if film is not None:
                film.take(reading)
            if run.options.timeline is not None:
                timeline.take(reading)
            if run.window is not None and run.window.take(reading):
                break
    if run.options.out is None:
        run.stream.writelines(f"{on_one_line(line)}\n" for line in tally.lines())
    if run.options.timeline is not None:
        timeline.draw(run.options.timeline, title=on_one_line(video.name))


def _film(video: Video, opened: OpenVideo, run: _Run) -> Film:
    return Film(run.copies[video.name], rate=opened.rate, is_live=opened.is_live)


def _with_progress(readings: Iterator[PictureReading], *, total: int) -> Iterator[PictureReading]:
    if total < MIN_PICTURES_FOR_PROGRESS:
        yield from readings
        return
    with Progress("Predicting", total=total, unit="picture") as progress:
        for reading in readings:
            yield reading
            progress.advance()


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
