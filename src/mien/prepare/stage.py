"""The stage: rows are dealt to worker processes by shard, and the finished shards are closed into a pack.

A shard that has its notes is done. A run that was killed leaves its shards, and the same command makes the rest. A
pack that is to be replaced stays until the new one is whole: this is made beside it, in ``<OUT>.partial``. Memory does not grow with the set: rows are read as they are needed, a few shards ahead of the workers.
"""

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, cast

import cv2
import PIL
import simplejpeg

import mien
from mien.artifacts import (
    claim_output,
    disk_errors,
    make_folder,
    one_writer,
    read_json,
    remove_folder,
    remove_partials,
    write_json,
)
from mien.cores import usable_cores
from mien.errors import ArtifactError, DatasetError
from mien.faces import images
from mien.faces.classes import MISSING_VALUES, problem_of_names
from mien.faces.crop import DEFAULT_MARGIN, DEFAULT_SIZE, CropContract, CropMethod
from mien.faces.detector import describe_detector, find_detector_file
from mien.faces.image_files import MAX_FILE_BYTES
from mien.lifeline import start_worker
from mien.pack.schema import SPLITS
from mien.prepare.closing import PrepareSummary, finish, read_summary
from mien.prepare.face import PROGRESS_FOLDER, ShardTask, is_made, make_shard
from mien.progress import Progress
from mien.sources.opening import SourceOptions, open_source
from mien.sources.record import Row, Source

# Few enough that small sets keep every core busy and a kill costs seconds.
ROWS_PER_SHARD = 256


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How to prepare.

    Attributes:
        size: side of the crops in pixels.
        crop: method, or None for the one that suits the set.
        margin: around the face, see `CropContract`.
        workers: processes, or None for one per core.
        detector_path: YuNet's file, for pictures without box and landmarks, or None to look for it.
        annotations: a folder for train.txt and val.txt, or None.
        source: options of the reader.
        force: replace an existing pack.
    """

    size: int = DEFAULT_SIZE
    crop: CropMethod | None = None
    margin: float = DEFAULT_MARGIN
    workers: int | None = None
    detector_path: Path | None = None
    annotations: Path | None = None
    source: SourceOptions = field(default_factory=SourceOptions)
    force: bool = False


def prepare(
    kind: str,
    raw: Path,
    out: Path,
    options: PrepareOptions = PrepareOptions(),
    *,
    announce: Callable[[str], None] | None = None,
) -> PrepareSummary:
    """Turn a raw set into a pack.

    Args:
        kind: ``affectnet``, ``ferplus``, ``folder`` or ``csv``.
        raw: the set; never written to.
        out: the pack's folder.
        options: see `PrepareOptions`.
        announce: is told, in one line each, of a detector that is fetched or cannot be had.

    Raises:
        DatasetError: the set cannot be read as that kind, or has no usable row.
        ArtifactError: ``out`` exists, was begun with other options, or the disk is full.
    """
    source = open_source(kind, raw, options.source)
    _require_names(raw, source.classes)
    method = options.crop or source.natural_crop
    crop = CropContract(method=cast("CropMethod", method), margin=options.margin, size=options.size)
    _require_apart(raw, out, options.annotations)
    if crop.method != "whole":
        # A set with landmarks or boxes wants it for the few faces without: not worth a download.
        fetch = source.natural_crop == "whole"
        found = find_detector_file(options.detector_path, fetch=fetch, announce=announce)
        options = replace(options, detector_path=found)
    n_rows, rows_digest = _count_rows(source)
    plan = _plan(kind, raw, source, crop, options) | {"rows": rows_digest}
    lists = [] if options.annotations is None else [options.annotations / f"{split}.txt" for split in SPLITS]
    with (
        ExitStack() as stack,
        disk_errors(out, "free some space and run the same command again, it goes on where it stopped"),
    ):
        for path in (out, *lists):
            stack.enter_context(one_writer(path))
        if _is_closed(out, plan):
            return read_summary(out, source)
        work = _begin(out, plan, lists, force=options.force)
        with Progress("Preparing", total=n_rows, unit="row") as progress:
            n_resumed = _make_shards(source, crop, work, options, progress)
        return finish(work, out, source, crop, n_resumed=n_resumed, annotations=options.annotations)


def _require_names(raw: Path, classes: Sequence[str]) -> None:
    """Refuse classes that would not come back from the tables that mien writes."""
    problem = problem_of_names(classes)
    for name in classes:
        if name.strip() in MISSING_VALUES:
            problem = f"{name!r} is a missing value to pandas and other programs that read tables"
    if problem:
        raise DatasetError(
            f"The classes of {raw} must have names that tables can hold: {problem}. Rename the folder, or the label in the "
            "list; where a face has no label, leave the list's cell empty"
        )


def _require_apart(raw: Path, out: Path, annotations: Path | None) -> None:
    """Refuse to write into the raw set, or to put a pack where replacing it would remove the raw set."""
    set_folder = raw.resolve()
    for path in (out, annotations):
        if path is not None and raw.is_dir() and path.resolve().is_relative_to(set_folder):
            raise ArtifactError(
                f"{path} lies inside the raw set {raw}, which is never written to. Choose another folder"
            )
    if set_folder.is_relative_to(out.resolve()):
        raise ArtifactError(
            f"The raw set {raw} lies inside {out}, where the pack is to be. Choose another OUT"
        )


def _plan(
    kind: str, raw: Path, source: Source, crop: CropContract, options: PrepareOptions
) -> dict[str, Any]:
    """Return what must be the same for a run to go on where another stopped: all that decides the pack.

    Args:
        kind: of set.
        raw: the set.
        source: its reader.
        crop: how faces are cropped.
        options: with the detector that was found, None for the cascade.
    """
    return {
        "mien_version": mien.__version__,
        "kind": kind,
        "raw": str(raw.resolve()),
        "source": source.name,
        "classes": list(source.classes),
        "options": repr(options.source),
        "crop": crop.to_dict(),
        "detector": None if crop.method == "whole" else describe_detector(options.detector_path),
        "libraries": {
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
            "simplejpeg": simplejpeg.__version__,
        },
        "limits": {
            "pixels": images.MAX_PIXELS,
            "file_bytes": MAX_FILE_BYTES,
            "jpeg_scans": images.MAX_JPEG_SCANS,
        },
        "jpeg_quality": images.JPEG_QUALITY,
        "annotations": str(options.annotations),
        "rows_per_shard": ROWS_PER_SHARD,
    }


def _count_rows(source: Source) -> tuple[int, str]:
    """Return how many rows a set has and a digest of them: shards of other rows than these do not go together."""
    n_rows, digest = 0, hashlib.sha256()
    for row in source.rows():
        n_rows += 1
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return n_rows, digest.hexdigest()


def _is_closed(out: Path, plan: dict[str, Any]) -> bool:
    """Whether the same command was killed after it had finished the pack, before it had cleared up."""
    plan_path = out / PROGRESS_FOLDER / "plan.json"
    try:
        return (out / "pack.json").exists() and read_json(plan_path, what="unfinished pack") == plan
    except ArtifactError:
        return False


def _begin(out: Path, plan: dict[str, Any], lists: list[Path], *, force: bool) -> Path:
    """Claim OUT and the annotation files, or go on in what the same command left. Returns the folder to work in."""
    work = out
    if (out / "pack.json").exists() or not (out / PROGRESS_FOLDER).is_dir():
        claim_output(out, force=force, kind_mark="pack.json")
        if os.path.lexists(out):
            work = out.with_name(out.name + ".partial")
    if (work / PROGRESS_FOLDER).is_dir():
        if _goes_on(work, plan, force=force):
            remove_partials(work)
            remove_partials(work / PROGRESS_FOLDER)
            return work
        remove_folder(work, last=PROGRESS_FOLDER)
    if os.path.lexists(work):
        raise ArtifactError(
            f"{work} is in the way: the new pack is made there until it can replace {out}. Remove it, or give it another "
            "name"
        )
    for path in lists:
        claim_output(path, force=force)
    make_folder(work)
    make_folder(work / PROGRESS_FOLDER)
    write_json(work / PROGRESS_FOLDER / "plan.json", plan)
    return work


def _goes_on(work: Path, plan: dict[str, Any], *, force: bool) -> bool:
    """Whether an unfinished pack is of the same command; if not, it may be removed."""
    plan_path = work / PROGRESS_FOLDER / "plan.json"
    if not plan_path.exists():
        return False  # killed in its first moment
    try:
        if read_json(plan_path, what="unfinished pack") == plan:
            return True
        reason = (
            f"{work} was begun with other options, other rows or another version. Give the same ones to go on"
        )
    except ArtifactError as error:
        reason = f"{error}. Remove the folder"
    if not force:
        raise ArtifactError(f"{reason}, or add --force to begin again")
    return False


def _make_shards(
    source: Source, crop: CropContract, work: Path, options: PrepareOptions, progress: Progress
) -> int:
    """Make the shards that are not there yet. Returns how many were."""
    n_workers = options.workers or usable_cores()
    detector_path = None if options.detector_path is None else options.detector_path.resolve()
    made: list[str] = []
    tasks = _undone(
        (
            ShardTask(split, number, rows, source, crop, detector_path, work)
            for split, number, rows in _deal_rows(source)
        ),
        progress,
        made,
    )
    if n_workers == 1:
        for task in tasks:
            make_shard(task)
            progress.advance(len(task.rows))
        return len(made)
    with ProcessPoolExecutor(n_workers, mp_context=_context(), initializer=start_worker) as pool:
        running: dict[Future[dict[str, object]], int] = {}
        try:
            for task in tasks:
                running[pool.submit(make_shard, task)] = len(task.rows)
                if len(running) > 2 * n_workers:
                    _collect(running, progress)
            while running:
                _collect(running, progress)
        except BrokenProcessPool:
            raise DatasetError(
                "A worker process was killed, most often for lack of memory. Run the same command again with "
                "fewer --workers, it goes on where it stopped"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(made)


def _context() -> BaseContext:
    """Workers are not forked from here: OpenCV's threads, if the caller has used any, would hang in the copy."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mien.prepare.face"])
    return context


def _undone(tasks: Iterator[ShardTask], progress: Progress, made: list[str]) -> Iterator[ShardTask]:
    """Yield the shards that are still to be made, and put the names of the others into `made`."""
    for task in tasks:
        if is_made(task):
            made.append(task.name)
            progress.skip(len(task.rows))
        else:
            yield task


def _collect(running: dict[Future[Any], int], progress: Progress) -> None:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        n_rows = running.pop(future)
        future.result()
        progress.advance(n_rows)


def _deal_rows(source: Source) -> Iterator[tuple[str, int, list[Row]]]:
    """Cut the stream of rows into shards; a shard holds rows of one split."""
    rows: list[Row] = []
    numbers = dict.fromkeys(SPLITS, 0)
    for row in source.rows():
        if rows and (len(rows) == ROWS_PER_SHARD or rows[0].split != row.split):
            yield rows[0].split, numbers[rows[0].split], rows
            numbers[rows[0].split] += 1
            rows = []
        rows.append(row)
    if rows:
        yield rows[0].split, numbers[rows[0].split], rows
