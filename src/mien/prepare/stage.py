"""The stage: rows are dealt to worker processes by shard, and the finished shards are closed into a pack.

A shard file that exists is done. A run that was killed leaves its shards, and the same command makes the
rest. Memory does not grow with the set: rows are read as they are needed, a few shards ahead of the workers.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, cast

import mien
from mien.artifacts import claim_output, disk_errors, read_json, write_json
from mien.cores import usable_cores
from mien.errors import ArtifactError, DatasetError
from mien.faces.classes import LONGEST_CLASS_NAME, is_class_name
from mien.faces.crop import DEFAULT_MARGIN, DEFAULT_SIZE, CropContract, CropMethod
from mien.faces.detector import find_detector_file
from mien.pack.schema import SPLITS
from mien.prepare.closing import PrepareSummary, finish, read_summary
from mien.prepare.face import PROGRESS_FOLDER, ShardTask, make_shard
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
    _require_class_names(source.classes)
    method = options.crop or source.natural_crop
    crop = CropContract(method=cast("CropMethod", method), margin=options.margin, size=options.size)
    _require_apart(raw, out, options.annotations)
    if source.natural_crop == "whole" and crop.method != "whole":
        find_detector_file(options.detector_path, announce=announce)
    n_rows, rows_digest = _count_rows(source)
    plan = _plan(kind, raw, source, crop, options) | {"rows": rows_digest}
    with disk_errors(out, "free some space and run the same command again, it goes on where it stopped"):
        if _is_closed(out, plan):
            return read_summary(out, source)
        n_resumed = _begin(out, plan, options)
        with Progress("Preparing", total=n_rows, unit="row") as progress:
            _make_shards(source, crop, out, options, progress)
        return finish(out, source, crop, n_resumed=n_resumed, annotations=options.annotations)


def _require_class_names(classes: Sequence[str]) -> None:
    for name in classes:
        if not is_class_name(name):
            raise DatasetError(
                f"A class must have a name of at most {LONGEST_CLASS_NAME} letters without control characters, got "
                f"{name!r:.80}. Give it another name"
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
    """Return what must be the same for a run to go on where another stopped."""
    return {
        "mien_version": mien.__version__,
        "kind": kind,
        "raw": str(raw.resolve()),
        "source": source.name,
        "classes": list(source.classes),
        "options": repr(options.source),
        "crop": crop.to_dict(),
        "detector": str(options.detector_path),
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
    return (
        (out / "pack.json").exists()
        and plan_path.exists()
        and read_json(plan_path, what="unfinished pack") == plan
    )


def _begin(out: Path, plan: dict[str, Any], options: PrepareOptions) -> int:
    """Claim OUT, or go on in one that the same command left. Returns the number of shards that stand."""
    folder = out / PROGRESS_FOLDER
    plan_path = folder / "plan.json"
    if folder.is_dir() and not (out / "pack.json").exists():
        found = read_json(plan_path, what="unfinished pack") if plan_path.exists() else None
        if found == plan:
            return len(list(folder.glob("*-[0-9]*.json")))
        if found is not None and not options.force:
            raise ArtifactError(
                f"{out} was begun with other options, other rows or another version. Give the same ones to go on, "
                "or add --force to begin again"
            )
        claim_output(out, force=True, kind_mark=PROGRESS_FOLDER)
    claim_output(out, force=options.force, kind_mark="pack.json")
    if options.annotations is not None:
        for split in SPLITS:
            claim_output(options.annotations / f"{split}.txt", force=options.force)
    folder.mkdir(parents=True)
    write_json(plan_path, plan)
    return 0


def _make_shards(
    source: Source, crop: CropContract, out: Path, options: PrepareOptions, progress: Progress
) -> None:
    n_workers = options.workers or usable_cores()
    detector_path = None if options.detector_path is None else options.detector_path.resolve()
    tasks = _undone(
        (
            ShardTask(split, number, rows, source, crop, detector_path, out)
            for split, number, rows in _deal_rows(source)
        ),
        progress,
    )
    if n_workers == 1:
        for task in tasks:
            make_shard(task)
            progress.advance(len(task.rows))
        return
    with ProcessPoolExecutor(n_workers, mp_context=_context(), initializer=_start_worker) as pool:
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


def _context() -> BaseContext:
    """Workers are not forked from here: OpenCV's threads, if the caller has used any, would hang in the copy."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mien.prepare.face"])
    return context


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: after a kill, no orphan may write beside the next run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _undone(tasks: Iterator[ShardTask], progress: Progress) -> Iterator[ShardTask]:
    for task in tasks:
        if (task.folder / task.name).exists() and task.notes_path.exists():
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
