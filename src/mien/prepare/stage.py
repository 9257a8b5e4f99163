"""The stage: rows are dealt to worker processes by shard, and the finished shards are closed into a pack.

A shard file that exists is done. A run that was killed leaves its shards, and the same command makes the
rest. Memory does not grow with the set: rows are read as they are needed, a few shards ahead of the workers.
"""

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import mien
from mien.artifacts import claim_output, disk_errors, read_json, write_json
from mien.errors import ArtifactError, DatasetError
from mien.faces.crop import DEFAULT_MARGIN, DEFAULT_SIZE, CropContract, CropMethod
from mien.pack.schema import SPLITS
from mien.prepare.closing import PrepareSummary, finish, write_annotations
from mien.prepare.face import ShardTask, make_shard
from mien.progress import Progress
from mien.sources.opening import SourceOptions, open_source
from mien.sources.record import Row, Source

ROWS_PER_SHARD = 512


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


def prepare(kind: str, raw: Path, out: Path, options: PrepareOptions = PrepareOptions()) -> PrepareSummary:
    """Turn a raw set into a pack.

    Args:
        kind: ``affectnet``, ``ferplus``, ``folder`` or ``csv``.
        raw: the set; never written to.
        out: the pack's folder.
        options: see `PrepareOptions`.

    Raises:
        DatasetError: the set cannot be read as that kind, or has no usable row.
        ArtifactError: ``out`` exists, was begun with other options, or the disk is full.
    """
    source = open_source(kind, raw, options.source)
    method = options.crop or source.natural_crop
    crop = CropContract(method=cast("CropMethod", method), margin=options.margin, size=options.size)
    if out.resolve().is_relative_to(raw.resolve()) and raw.is_dir():
        raise ArtifactError(f"{out} lies inside the raw set {raw}, which is never written to. Choose another OUT")
    with disk_errors(out, "free some space and run the same command again, it goes on where it stopped"):
        n_resumed = _begin(out, source, crop, options, kind=kind, raw=raw)
        with Progress("Preparing", unit="row") as progress:
            _make_shards(source, crop, out, options, progress)
        summary = finish(out, source, crop, n_resumed=n_resumed)
        if options.annotations is not None:
            write_annotations(out, options.annotations, force=options.force)
    return summary


def _begin(
    out: Path, source: Source, crop: CropContract, options: PrepareOptions, *, kind: str, raw: Path
) -> int:
    """Claim OUT, or go on in one that the same command left. Returns the number of shards that stand."""
    plan = {
        "mien_version": mien.__version__,
        "kind": kind,
        "raw": str(raw.resolve()),
        "source": source.name,
        "classes": list(source.classes),
        "options": repr(options.source),
        "crop": crop.to_dict(),
        "rows_per_shard": ROWS_PER_SHARD,
    }
    plan_path = out / ".prepare" / "plan.json"
    if plan_path.exists() and not (out / "pack.json").exists():
        if read_json(plan_path, what="unfinished pack") == plan:
            return len(list(out.glob("*-[0-9]*.arrow")))
        if not options.force:
            raise ArtifactError(
                f"{out} was begun with other options or another version. Give the same ones to go on, "
                "or add --force to begin again"
            )
        claim_output(out, force=True, kind_mark=".prepare")
    claim_output(out, force=options.force, kind_mark="pack.json")
    plan_path.parent.mkdir(parents=True)
    write_json(plan_path, plan)
    return 0


def _make_shards(
    source: Source, crop: CropContract, out: Path, options: PrepareOptions, progress: Progress
) -> None:
    n_workers = options.workers or os.cpu_count() or 1
    detector_path = None if options.detector_path is None else options.detector_path.resolve()
    tasks = (
        ShardTask(split, number, rows, source, crop, detector_path, out)
        for split, number, rows in _deal_rows(source)
    )
    if n_workers == 1:
        for task in tasks:
            if not _is_done(task):
                make_shard(task)
            progress.advance(len(task.rows))
        return
    with ProcessPoolExecutor(n_workers) as pool:
        running: dict[Future[dict[str, object]], int] = {}
        try:
            for task in tasks:
                if _is_done(task):
                    progress.advance(len(task.rows))
                    continue
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


def _is_done(task: ShardTask) -> bool:
    return (task.folder / task.name).exists() and task.notes_path.exists()


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
