"""The stage: rows are sharded across the workers of an engine, and the finished shards are combined into a pack.

A shard that has its notes is finished. A run that was killed leaves its shards, and the same command makes the rest. A
pack that is to be replaced stays until the new one, made next to it in ``<OUT>.partial``, is complete. Memory does not
grow with the dataset: rows are read as they are needed, a few shards ahead of the workers.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import mien
from mien.artifacts import (
    claim_output,
    disk_errors,
    file_sha256,
    make_folder,
    one_writer,
    read_json,
    remove_folder,
    remove_partials,
    write_json,
)
from mien.datasets.base import CroppedDataset, FaceDataset, RawRow
from mien.datasets.corrections import open_corrected
from mien.datasets.labels import CLASSES_FILE
from mien.datasets.registry import DATASETS, open_dataset
from mien.datasets.terms import find_terms
from mien.errors import ArtifactError, DatasetError
from mien.faces import images
from mien.faces.classes import MISSING_VALUES, check_new_class_names
from mien.faces.crop import CropContract
from mien.faces.detector import describe_detector, open_detector
from mien.faces.detector_file import find_detector_file
from mien.faces.image_files import MAX_FILE_BYTES
from mien.formats.pack.schema import SPLITS
from mien.formats.unfinished import PLAN, library_versions
from mien.prepare.box_check import find_concluded_boxes, require_boxes_on_faces
from mien.prepare.closing import REFUSED, PrepareSummary, finish, forget_rejects, read_summary
from mien.prepare.face import PROGRESS_FOLDER, ShardTask, is_made, make_shard
from mien.prepare.landmark_placement import find_landmark_model
from mien.prepare.options import PrepareOptions
from mien.runtime.engines import open_engine
from mien.runtime.progress import Progress

# Few enough to keep every core busy on a small set, and to lose only seconds when killed.
ROWS_PER_SHARD = 256


def prepare(
    kind: str,
    raw: Path,
    out: Path,
    options: PrepareOptions = PrepareOptions(),
) -> PrepareSummary:
    """Turn a raw dataset into a pack.

    Args:
        kind: a key of `mien.datasets.registry.DATASETS`.
        raw: the dataset; never written to.
        out: folder of the pack.
        options: see `PrepareOptions`.

    Raises:
        DatasetError: the dataset cannot be read as that kind, or has no usable row.
        ArtifactError: ``out`` exists or was begun with different options, or the disk is full.
    """
    dataset = open_dataset(kind, raw, options.dataset)
    _require_class_names(raw, dataset.classes)
    method = options.crop or dataset.natural_crop
    crop = CropContract(method=method, margin=options.margin, size=options.size)
    if isinstance(dataset, CroppedDataset):
        crop = _require_same_crop(raw, dataset.crop, options)
    elif method == "whole" and options.margin not in (0, PrepareOptions().margin):
        raise DatasetError(
            f"--margin {options.margin:g} is for crops by boxes or landmarks, and these faces are taken whole: leave it out, or add "
            "--crop box or aligned"
        )
    _require_apart(raw, out, options.annotations)
    placing = None if options.place_landmarks is None else find_landmark_model(options.place_landmarks)
    if placing is not None or (crop.method != "whole" and not isinstance(dataset, CroppedDataset)):
        # A set with landmarks or boxes needs the detector only for the few faces without: not worth a download.
        fetch = placing is not None or dataset.natural_crop == "whole" or DATASETS[kind].needs_detector
        found = find_detector_file(options.detector_path, fetch=fetch)
        options = replace(options, detector_path=found)
        if found and (concluded := list(find_concluded_boxes(dataset))):
            detector = open_detector(found)
            for boxed, box_format in concluded:
                require_boxes_on_faces(boxed, box_format, detector)
    terms = find_terms(kind, raw, dataset, options.dataset)
    if options.corrections is not None:
        dataset = open_corrected(dataset, options.corrections)
    # Shards of other rows than these do not belong together.
    n_rows, rows_digest = 0, hashlib.sha256()
    for row in dataset.rows():
        n_rows += 1
        rows_digest.update(repr(row).encode("utf-8", "surrogatepass"))
    plan = _plan(kind, raw, dataset, crop, options) | {
        "rows": rows_digest.hexdigest(),
        "landmark_model": None if placing is None else placing.sha256,
    }
    annotation_files = (*(f"{split}.txt" for split in SPLITS), CLASSES_FILE)
    lists = [] if options.annotations is None else [options.annotations / name for name in annotation_files]
    with (
        ExitStack() as stack,
        disk_errors(out, "free some space and run the same command again, it resumes where it stopped"),
    ):
        for path in (out, *lists):
            stack.enter_context(one_writer(path))
        if _is_finished(out, plan):
            return read_summary(out, dataset)
        work = _begin(out, plan, lists, force=options.force)
        forget_rejects(work, options.allow)
        with Progress("Preparing", total=n_rows, unit="row") as progress:
            n_resumed = _make_shards(raw, dataset, crop, work, options, progress)
        summary = finish(work, out, dataset, crop, options, terms=terms)
        return replace(summary, n_resumed=n_resumed)


def _require_class_names(raw: Path, classes: Sequence[str]) -> None:
    """Refuse class names that the tables written by mien could not hold."""
    problem = check_new_class_names(classes)
    for name in classes:
        if name.strip() in MISSING_VALUES:
            problem = f"{name!r} is a missing value to pandas and other programs that read tables"
    if problem:
        raise DatasetError(
            f"The classes of {raw} must have names that tables can hold: {problem}. Rename the folder, or the label in the "
            "list; if a face has no label, leave its cell in the list empty"
        )


def _require_same_crop(raw: Path, crop: CropContract, options: PrepareOptions) -> CropContract:
    """Return the contract of finished crops, refusing options that ask for another one."""
    defaults = PrepareOptions()
    asked = {
        "--size": options.size if options.size != defaults.size else crop.size,
        "--margin": options.margin if options.margin != defaults.margin else crop.margin,
        "--crop": options.crop or crop.method,
    }
    found = {"--size": crop.size, "--margin": crop.margin, "--crop": crop.method}
    for flag, value in asked.items():
        if value != found[flag]:
            raise DatasetError(
                f"The faces of `{raw}` are cropped already, with {flag} {found[flag]}: leave {flag} out, or prepare the "
                "original set again"
            )
    return crop


def _require_apart(raw: Path, out: Path, annotations: Path | None) -> None:
    """Refuse to write into the raw dataset, or to a pack that contains it and would be replaced."""
    set_folder = raw.resolve()
    for path in (out, annotations):
        if path is not None and raw.is_dir() and path.resolve().is_relative_to(set_folder):
            raise ArtifactError(
                f"{path} lies inside the raw dataset {raw}, which is never written to. Choose another folder"
            )
    if set_folder.is_relative_to(out.resolve()):
        raise ArtifactError(
            f"The raw dataset {raw} lies inside {out}, the path of the pack. Choose another OUT"
        )


def _plan(
    kind: str, raw: Path, dataset: FaceDataset, crop: CropContract, options: PrepareOptions
) -> dict[str, Any]:
    """Return everything that determines the pack, which must be equal for one run to resume another.

    `options.detector_path` is the file that was found, None for the cascade.
    """
    return {
        "mien_version": mien.__version__,
        "libraries": library_versions(),
        "kind": kind,
        "raw": str(raw.resolve()),
        "raw_file_sha256": file_sha256(raw) if raw.is_file() else None,
        "source": dataset.name,
        "classes": list(dataset.classes),
        "options": repr(options.dataset),
        "corrections": None if options.corrections is None else file_sha256(options.corrections),
        "crop": crop.to_dict(),
        "detector": None
        if crop.method == "whole" and options.place_landmarks is None
        else describe_detector(options.detector_path),
        "limits": {
            "pixels": images.MAX_PIXELS,
            "file_bytes": MAX_FILE_BYTES,
            "jpeg_scans": images.MAX_JPEG_SCANS,
        },
        "jpeg_quality": images.JPEG_QUALITY,
        "annotations": str(options.annotations),
        "rows_per_shard": ROWS_PER_SHARD,
    }


def _is_finished(out: Path, plan: dict[str, Any]) -> bool:
    """Return whether the same command was killed after it finished the pack, but before it removed its progress files."""
    try:
        return (out / "pack.json").exists() and read_json(
            out / PROGRESS_FOLDER / PLAN, what="unfinished pack"
        ) == plan
    except ArtifactError:
        return False


def _begin(out: Path, plan: dict[str, Any], lists: list[Path], *, force: bool) -> Path:
    """Claim OUT and the annotation files, or resume what the same command left. Returns the folder to work in."""
    work = out
    if (out / "pack.json").exists() or not (out / PROGRESS_FOLDER).is_dir():
        claim_output(out, force=force, kind_mark="pack.json")
        if os.path.lexists(out):
            work = out.with_name(out.name + ".partial")
    if (work / PROGRESS_FOLDER).is_dir():
        if _can_resume(work, plan, force=force):
            remove_partials(work)
            remove_partials(work / PROGRESS_FOLDER)
            return work
        remove_folder(work, last=PROGRESS_FOLDER)
    if os.path.lexists(work):
        raise ArtifactError(
            f"{work} is in the way: the new pack is made there until it can replace {out}. Remove it, or rename it"
        )
    for path in lists:
        claim_output(path, force=force)
    make_folder(work)
    make_folder(work / PROGRESS_FOLDER)
    write_json(work / PROGRESS_FOLDER / PLAN, plan)
    return work


def _can_resume(work: Path, plan: dict[str, Any], *, force: bool) -> bool:
    """Return whether an unfinished pack was made by the same command; if not, it may be removed.

    Raises:
        ArtifactError: it was not, and must not be removed without --force; one that was refused may.
    """
    if not (work / PROGRESS_FOLDER / PLAN).exists():
        return False  # killed right at the start
    try:
        if read_json(work / PROGRESS_FOLDER / PLAN, what="unfinished pack") == plan:
            return True
        reason = f"{work} was begun with other options, other rows or another version. Use the same ones to resume it"
    except ArtifactError as error:
        reason = f"{error}. Remove the folder"
    if not force and not (work / PROGRESS_FOLDER / REFUSED).exists():
        raise ArtifactError(f"{reason}, or add --force to start over")
    return False


def _make_shards(
    raw: Path,
    dataset: FaceDataset,
    crop: CropContract,
    work: Path,
    options: PrepareOptions,
    progress: Progress,
) -> int:
    """Make the shards that are not finished yet. Returns the number that were."""
    # Workers may run in another folder.
    folder, raw = work.resolve(), raw.resolve()
    detector_path = None if options.detector_path is None else options.detector_path.resolve()
    placing = None if options.place_landmarks is None else find_landmark_model(options.place_landmarks)
    plan_sha256 = file_sha256(folder / PROGRESS_FOLDER / PLAN)
    n_finished = 0

    def pending() -> Iterator[ShardTask]:
        nonlocal n_finished
        for split, number, rows in _shard_rows(dataset):
            task = ShardTask(
                split, number, rows, dataset, crop, detector_path, folder, raw, plan_sha256, placing
            )
            if is_made(task):
                n_finished += 1
                progress.skip(len(rows))
            else:
                yield task

    advice = "Run the same command again with fewer --workers, it resumes where it stopped"
    with open_engine(options.engine, workers=options.workers, advice=advice) as engine:
        for task, _ in engine.run(make_shard, pending()):
            progress.advance(len(task.rows))
    return n_finished


def _shard_rows(dataset: FaceDataset) -> Iterator[tuple[str, int, list[RawRow]]]:
    """Yield split, number and rows of each shard; all rows of a shard are from one split."""
    rows: list[RawRow] = []
    numbers = dict.fromkeys(SPLITS, 0)
    for row in dataset.rows():
        if rows and (len(rows) == ROWS_PER_SHARD or rows[0].split != row.split):
            yield rows[0].split, numbers[rows[0].split], rows
            numbers[rows[0].split] += 1
            rows = []
        rows.append(row)
    if rows:
        yield rows[0].split, numbers[rows[0].split], rows
