"""Predicting many images: in parts that are kept when the run is killed, on any engine.

The images are divided into parts of `PART_IMAGES`, each one task. The rows of a part are a JSON Lines file in
``<OUT>.parts``, whose last line identifies the plan and holds counts and a hash: a part that has it is finished. When all are, their rows are copied to the output file in order, so that its bytes depend neither on the engine
nor on how often the run was killed. What the parts have in common is ``plan.json``; a run with another plan is refused.
"""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import mien
from mien.artifacts import (
    disk_errors,
    file_sha256,
    make_folder,
    new_file,
    read_json,
    remove_folder,
    remove_partials,
    write_json,
)
from mien.assets.bundled_models import find_model
from mien.errors import ArtifactError
from mien.faces.detector import describe_detector, open_detector
from mien.faces.detector_file import find_detector_file
from mien.formats.onnx_model import OnnxModel
from mien.formats.unfinished import PLAN, library_versions, require_plan
from mien.inference.decision_rule import DecisionRule
from mien.inference.given_faces import GivenFaces
from mien.inference.interop import valid_unicode
from mien.inference.media_sources import MediaSource
from mien.inference.results import FacePrediction
from mien.predict.image_rows import FacePredictor, PredictSummary
from mien.predict.options import PredictOptions
from mien.predict.prediction_files import JsonLinesWriter, RowWriter, read_sources
from mien.runtime.engines import open_engine
from mien.runtime.json_text import parse_json
from mien.runtime.progress import Progress

# Few enough to lose only seconds to a minute when killed, and enough to make a million images a few thousand files.
PART_IMAGES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class PartJob:
    """What the parts of a run have in common.

    Attributes:
        folder: absolute path of the folder of the parts.
        plan_sha256: hash of the plan in it.
        working_dir: the folder in which the command was started: names of images are relative to it.
        model: absolute path of the model, name of a bundled one, or None for the default.
        model_sha256: hash of its file.
        detects: whether faces are detected; otherwise every image is one face.
        detector_path: the result of `find_detector_file`; None is the cascade.
        min_face_px: faces with a shorter side are left out.
        rule: how probabilities become an expression.
        max_pixels: larger images cannot be read.
    """

    folder: Path
    plan_sha256: str
    working_dir: Path
    model: str | Path | None
    model_sha256: str
    detects: bool
    detector_path: Path | None
    min_face_px: int
    rule: DecisionRule
    max_pixels: int


@dataclass(frozen=True, slots=True)
class PartTask:
    """The images of one part, in their order, and by name their annotated copies and given faces, if there are any."""

    job: PartJob
    number: int
    paths: tuple[Path, ...]
    copies: Mapping[str, Path]
    given: Mapping[str, GivenFaces] | None = None

    @property
    def path(self) -> Path:
        """The part's file."""
        return self.job.folder / f"{self.number:06d}.jsonl"


def make_part(
    task: PartTask, predictor: FacePredictor | None = None, on_image: Callable[[], None] = lambda: None
) -> None:
    """Predict the images of a part and write its file.

    Args:
        task: the part.
        predictor: None in a worker, which loads what the job names.
        on_image: called after each image.

    Raises:
        ArtifactError: this worker does not see the images and the folder, or has other versions or another model.
    """
    job = task.job
    if predictor is None:
        with disk_errors(job.working_dir):
            os.chdir(job.working_dir)
        predictor = replace(_load_predictor(job), given=task.given)
    seen = next((path for path in task.paths if os.path.lexists(path)), task.paths[0])
    require_plan(job.folder / PLAN, job.plan_sha256, reads=seen, mien_version=mien.__version__)
    rows, summary = io.StringIO(), PredictSummary()
    for prediction in predictor.write_images(task.paths, JsonLinesWriter(rows), task.copies):
        summary.add(prediction)
        on_image()
    data = rows.getvalue().encode("utf-8", "backslashreplace")
    last_line = {
        "part": task.number,
        "plan": job.plan_sha256,
        "sha256": hashlib.sha256(data).hexdigest(),
        "summary": {**asdict(summary), "passed_over": dict(summary.passed_over)},
    }
    # By now, the command that this worker belongs to may be dead, and the parts begun again with other options.
    require_plan(job.folder / PLAN, job.plan_sha256, reads=seen, mien_version=mien.__version__)
    with disk_errors(task.path), new_file(task.path) as partial:
        partial.write_bytes(data + json.dumps(last_line).encode() + b"\n")


@cache
def _load_predictor(job: PartJob) -> FacePredictor:
    """Load model and detector once in each worker, on one thread: there is a worker for each core."""
    path = find_model(job.model)
    if file_sha256(path) != job.model_sha256:
        raise ArtifactError(
            f"{path} is another model for a worker than for the command. Install the same one there"
        )
    detector = open_detector(job.detector_path, min_face_px=job.min_face_px) if job.detects else None
    return FacePredictor(OnnxModel.load(path, threads=1), detector, job.rule, max_pixels=job.max_pixels)


def read_part(task: PartTask) -> tuple[list[dict[str, Any]], PredictSummary] | None:
    """Return the rows and counts of a finished part; None if it does not exist, is damaged or belongs to another plan."""
    try:
        head, _, tail = task.path.read_bytes().removesuffix(b"\n").rpartition(b"\n")
        data = head + b"\n" if head else b""
        last_line = parse_json(tail.decode())
        expected = {
            "part": task.number,
            "plan": task.job.plan_sha256,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        if any(last_line[name] != value for name, value in expected.items()):
            return None
        rows = [json.loads(line) for line in data.splitlines()]
        counts = last_line["summary"]
        return rows, PredictSummary(**{**counts, "passed_over": Counter(counts["passed_over"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parts_folder(out: Path) -> Path:
    """Return the folder that holds the parts of an output file until it is complete."""
    return out.with_name(out.name + ".parts")


def predict_in_parts(
    paths: Sequence[Path],
    copies: Mapping[str, Path],
    predictor: FacePredictor,
    writer: RowWriter,
    options: PredictOptions,
    model: str | Path | None,
) -> PredictSummary:
    """Predict images part by part, and write their rows once all parts are finished.

    Args:
        paths: the images.
        copies: paths of annotated copies, by name of the image.
        predictor: predicts them if there is no engine.
        writer: of the output file, which is claimed.
        options: of the command.
        model: as given to the command.

    Raises:
        ArtifactError: parts of another run are in the way, or do not fit ``--resume``.
        EngineError: the engine cannot be reached, or lost its workers.
    """
    folder = _parts_folder(options.out or Path()).absolute()
    detector_path = None
    if predictor.detector is not None:
        detector_path = find_detector_file(options.detector_path, fetch=False)
    plan = _plan(paths, file_sha256(find_model(model)), detector_path, options)
    with disk_errors(folder, "free some space and run the same command again with --resume"):
        _begin(folder, plan)
        job = PartJob(
            folder=folder,
            plan_sha256=file_sha256(folder / PLAN),
            working_dir=Path.cwd(),
            model=model if model is None or not Path(model).is_file() else Path(model).absolute(),
            model_sha256=plan["model"],
            detects=predictor.detector is not None,
            detector_path=None if detector_path is None else detector_path.absolute(),
            min_face_px=options.min_face_px,
            rule=options.rule,
            max_pixels=options.max_pixels,
        )
        given = predictor.given
        tasks = [
            PartTask(
                job,
                number,
                part,
                {str(path): copies[str(path)].absolute() for path in part if copies},
                None
                if given is None
                else {str(path): given[str(path)] for path in part if str(path) in given},
            )
            for number, part in enumerate(_parts(paths))
        ]
        _make_parts(tasks, predictor, options)
        return _copy_rows(tasks, writer, PredictSummary(min_face_px=options.min_face_px))


def has_parts(out: Path) -> bool:
    """Return whether an interrupted run left parts of an output file."""
    return (_parts_folder(out) / PLAN).exists()


def is_finished(paths: Sequence[Path], options: PredictOptions) -> bool:
    """Return whether the output file is finished, so that nothing is left to resume, and remove parts that a kill left.

    The file does not record the model and the options, so only the images are compared.

    Raises:
        ArtifactError: it has rows of other images than these, or of earlier versions of them.
    """
    out = options.out
    if out is None or options.force or (options.draw is not None and not options.draw.is_dir()):
        return False
    found, plan = read_sources(out), _parts_folder(out) / PLAN
    if found is None or (plan.exists() and plan.stat().st_mtime_ns > out.stat().st_mtime_ns):
        return False  # in the second case, a run with --force was interrupted that is to replace it
    asked = {valid_unicode(str(path)): path for path in paths}
    written_ns = out.stat().st_mtime_ns
    differing = {
        "new": asked.keys() - found,
        "gone": found - asked.keys(),
        "changed": {
            name for name, path in asked.items() if path.exists() and path.stat().st_mtime_ns > written_ns
        },
    }
    if any(differing.values()):
        counts = ", ".join(f"{len(names):,} {kind}" for kind, names in differing.items() if names)
        first = min(name for names in differing.values() for name in names)
        raise ArtifactError(
            f"{out} is finished, but the images differ from those it was made of: {counts}, such as {first}. Give another "
            "--out, or add --force to replace it"
        )
    require_no_parts(out, force=True)
    return True


def is_in_parts(sources: Sequence[MediaSource], options: PredictOptions) -> bool:
    """Return whether a run is divided into parts: many images whose rows go to a file, or any if an option needs parts.

    Raises:
        ArtifactError: an option needs parts, but the sources or options rule them out.
    """
    wanted = {"--engine": options.engine, "--workers": options.workers, "--resume": options.resume}
    named = [name for name, value in wanted.items() if value]
    n_others = sum(source.is_video or isinstance(source.location, str) for source in sources)
    if named and n_others:
        raise ArtifactError(
            f"{named[0]} is for images, and {n_others:,} of {len(sources):,} sources are videos, cameras or addresses. "
            "Predict those by a command of their own"
        )
    if named and options.out is None:
        raise ArtifactError(f"{named[0]} is for rows that go to a file. Add --out FILE")
    unfit = {"--format": options.layout, "--baseline": options.baseline, "--blur": options.blur}
    found = [name for name, value in unfit.items() if value is not None and value is not False]
    if named and found:
        raise ArtifactError(f"{named[0]} does not go together with {found[0]}: leave one of them out")
    is_large = options.out is not None and not n_others and len(sources) > PART_IMAGES
    return bool(named) or (is_large and not found)


@contextmanager
def parts_removed_at_end(out: Path) -> Iterator[None]:
    """Remove the parts of an output file once the block has completed it."""
    yield
    with disk_errors(out):
        remove_folder(_parts_folder(out), last=PLAN)


def require_no_parts(out: Path, *, force: bool) -> None:
    """Reject the parts that an interrupted run left, or remove them.

    Raises:
        ArtifactError: there are some, and ``force`` is not set.
    """
    if not has_parts(out):
        return
    if not force:
        raise ArtifactError(
            f"{_parts_folder(out)} holds the parts of an interrupted run. Add --resume to continue it, or --force to "
            "start over"
        )
    with disk_errors(out):
        remove_folder(_parts_folder(out), last=PLAN)


def _parts(paths: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    for start in range(0, len(paths), PART_IMAGES):
        yield tuple(paths[start : start + PART_IMAGES])


def _plan(
    paths: Sequence[Path], model_sha256: str, detector_path: Path | None, options: PredictOptions
) -> dict[str, Any]:
    """Return everything that determines the rows and copies, which must be equal for one run to resume another."""
    rule = options.rule
    return {
        "mien_version": mien.__version__,
        "libraries": library_versions(),
        "model": model_sha256,
        "detector": None if options.crop == "whole" else describe_detector(detector_path),
        "--crop": options.crop,
        "--classes": rule.n_classes,
        "--min-confidence": rule.min_confidence,
        "--prior": rule.prior,
        "--no-quality-rule": not rule.quality_rule,
        "--top": rule.top,
        "--min-face-px": options.min_face_px,
        "--max-pixels": options.max_pixels,
        "--coverage": None
        if rule.label_sets is None
        else [str(value) for value in rule.label_sets.quantiles],
        "--faces": None if options.faces is None else file_sha256(options.faces),
        "--draw": None if options.draw is None else str(options.draw.absolute()),
        "part_images": PART_IMAGES,
        "images": [_describe_images(part) for part in _parts(paths)],
    }


def _describe_images(paths: Sequence[Path]) -> str:
    """Return a hash of the names of images, and of their sizes and times of change."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"{path}\0{state}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Make the folder of the parts, or check that those in it are of the same run."""
    if (folder / PLAN).exists():
        found = read_json(folder / PLAN, what="interrupted run")
        if found != plan:
            raise ArtifactError(
                f"{folder} holds the parts of a run with {_differences(found, plan)}. Use the same to resume it, or "
                "replace --resume by --force to start over"
            )
        remove_partials(folder)
        return
    if folder.exists() and any(folder.iterdir()):
        raise ArtifactError(f"{folder} is in the way: the parts are written there. Remove it, or rename it")
    make_folder(folder)
    write_json(folder / PLAN, plan)


def _differences(found: dict[str, Any], plan: dict[str, Any]) -> str:
    """Return in words what differs between two plans."""
    names = [name for name in plan if name != "images" and found.get(name) != plan[name]]
    if names:
        return f"another value of {', '.join(names)}"
    pairs = zip(found.get("images", ()), plan["images"], strict=False)
    first = PART_IMAGES * sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return (
        "other images: the first difference, in name, order, size or time of change, is among images "
        f"{first + 1:,} to {first + PART_IMAGES:,} of the list"
    )


def _make_parts(tasks: Sequence[PartTask], predictor: FacePredictor, options: PredictOptions) -> None:
    """Make the parts that are not finished yet."""
    n_images = sum(len(task.paths) for task in tasks)
    with Progress("Predicting", total=n_images, unit="image") as progress:

        def pending() -> Iterator[PartTask]:
            for task in tasks:
                if read_part(task) is None:
                    yield task
                else:
                    progress.skip(len(task.paths))

        engine_name = options.engine or ("pool" if options.workers else None)
        if engine_name is None:
            for task in pending():
                make_part(task, predictor, progress.advance)
            return
        advice = "Run the same command again with --resume and fewer --workers"
        with open_engine(engine_name, workers=options.workers, advice=advice) as engine:
            for task, _ in engine.run(make_part, pending()):
                progress.advance(len(task.paths))


def _copy_rows(tasks: Sequence[PartTask], writer: RowWriter, summary: PredictSummary) -> PredictSummary:
    """Write the rows of finished parts in order, and return the summary with their counts."""
    with Progress("Writing rows", total=len(tasks), unit="part") as progress:
        for task in tasks:
            part = read_part(task)
            if part is None:
                raise ArtifactError(
                    f"{task.path} was damaged since it was written. Run the same command again with --resume"
                )
            for row in part[0]:
                writer.write(FacePrediction.from_dict(row))
            summary.add_counts(part[1])
            progress.advance()
    return summary
