"""The verb `predict`: everything checked first, then picture by picture, written as it comes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from mien.artifacts import claim_output, disk_errors
from mien.bundle import Bundle
from mien.errors import ArtifactError
from mien.faces.detector import load_detector
from mien.predict.copies import claim_copies_folder, name_copies, write_copy
from mien.predict.gather import gather_pictures
from mien.predict.writers import CsvWriter, JsonLinesWriter, ParquetWriter, RowWriter, TableWriter
from mien.progress import Progress
from mien.reading.annotate import annotate
from mien.reading.answers import AnswerRule
from mien.reading.readings import NO_FACE, OK, PictureReading
from mien.reading.recognise import read_pictures
from mien.zoo import find_model

SUFFIXES = (".jsonl", ".csv", ".parquet")
# Fewer pictures than this are done before a bar says anything.
MIN_PICTURES_FOR_PROGRESS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How to read pictures and where to write.

    Attributes:
        crop: find the faces, or take every picture as one face.
        detector_path: YuNet's file, or None to look where `mien.faces.detector` says.
        rule: how answers are given.
        out: a ``.jsonl``, ``.csv`` or ``.parquet`` file, or None for a table on the stream.
        draw: a folder for annotated copies, or None.
        force: replace what is there.
    """

    crop: Literal["detect", "whole"] = "detect"
    detector_path: Path | None = None
    rule: AnswerRule = field(default_factory=AnswerRule)
    out: Path | None = None
    draw: Path | None = None
    force: bool = False


@dataclass(slots=True)
class PredictSummary:
    """What was read.

    Attributes:
        n_pictures: in all.
        n_faces: rows with a reading.
        n_without_face: pictures in which none was found.
        n_unreadable: pictures that could not be read.
    """

    n_pictures: int = 0
    n_faces: int = 0
    n_without_face: int = 0
    n_unreadable: int = 0

    def count(self, picture: PictureReading) -> None:
        """Add a picture."""
        self.n_pictures += 1
        self.n_faces += sum(row.status == OK for row in picture.rows)
        self.n_without_face += picture.rows[0].status == NO_FACE
        self.n_unreadable += picture.rows[0].status not in (OK, NO_FACE)

    def __str__(self) -> str:
        parts = [f"{_counted(self.n_faces, 'face')} in {_counted(self.n_pictures, 'picture')}"]
        if self.n_without_face:
            parts.append(f"{self.n_without_face:,} with no face")
        if self.n_unreadable:
            parts.append(f"{self.n_unreadable:,} unreadable")
        return ", ".join(parts)


def run_predict(
    sources: Sequence[Path],
    model: str | Path | None = None,
    *,
    options: PredictOptions,
    stream: TextIO,
    announce: Callable[[str], None],
) -> PredictSummary:
    """Read the faces of the sources with a model and write them down.

    Args:
        sources: picture files and folders of them.
        model: the name of a model in the box, a file that `mien export` wrote, or None for the default.
        options: see `PredictOptions`.
        stream: takes the table where no file was asked for.
        announce: is told in one line what a person should know, such as a missing detector.

    Raises:
        SourceError: a source does not exist, or the detector's file does not.
        ArtifactError: the model cannot be used, or an output is in the way or cannot be written.
        ModelError: the detector's file is not one, or the model gives no finite numbers or lacks a class.
    """
    pictures = gather_pictures(sources, leave_out=options.draw)
    _claim_outputs(options)
    bundle = Bundle.load(find_model(model))
    classes = options.rule.classes(bundle.info.classes)
    detector = load_detector(options.detector_path, announce=announce) if options.crop == "detect" else None
    copies = {} if options.draw is None else name_copies(pictures, options.draw)
    paths = [picture.path for picture in pictures]
    summary = PredictSummary()
    readings = read_pictures(paths, bundle, detector=detector, rule=options.rule, keep_images=bool(copies))
    names = [str(path) for path in paths]
    table = TableWriter(stream, classes, names, top=options.rule.top)
    with _open_writer(options.out, classes, otherwise=table) as writer:
        for picture in _with_progress(readings, total=len(paths)):
            for row in picture.rows:
                writer.write(row)
            if copies and picture.image_rgb is not None:
                write_copy(copies[Path(picture.source)], annotate(picture.image_rgb, picture.rows))
            summary.count(picture)
    return summary


def _claim_outputs(options: PredictOptions) -> None:
    if options.out is not None:
        if options.out.suffix.lower() not in SUFFIXES:
            raise ArtifactError(
                f"--out {options.out} must end in {' or '.join(SUFFIXES)}, which says what is written"
            )
        _claim_file(options.out, force=options.force)
    if options.draw is not None:
        claim_copies_folder(options.draw, force=options.force)


def _claim_file(out: Path, *, force: bool) -> None:
    """As `claim_output`, but a file to be replaced stays until the new one is whole."""
    if not force:
        claim_output(out, force=False)
    elif out.is_dir():
        raise ArtifactError(f"--out {out} is a folder, and the predictions need a file. Choose another path")
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _open_writer(out: Path | None, classes: Sequence[str], *, otherwise: RowWriter) -> Iterator[RowWriter]:
    """Give a writer. A file takes its name when all is written; until then, and after a stop, it is a partial."""
    if out is None:
        yield otherwise
        return
    partial = out.with_name(out.name + ".partial")
    with disk_errors(out):
        if out.suffix.lower() == ".parquet":
            with closing(ParquetWriter(partial, classes)) as writer:
                yield writer
        else:
            # A file name that is no text is written in the notation that JSON reads back.
            with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                is_csv = out.suffix.lower() == ".csv"
                yield CsvWriter(file, classes) if is_csv else JsonLinesWriter(file)
        partial.replace(out)


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
