"""`mien sample`: a drawn face set on disk, in the layout of AffectNet's 2017 release."""

import csv
import functools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.artifacts import new_folder, write_json
from mien.cores import usable_cores
from mien.faces.classes import AFFECTNET_CLASSES
from mien.lifeline import start_worker
from mien.progress import Progress
from mien.sample.picture import Picture, draw_picture
from mien.sample.plan import N_COPIES, SPLITS, PlannedRow, plan_rows
from mien.tables import CsvLines

HEADER = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
PICTURES_DIR = "Manually_Annotated_Images"
# Says that mien drew the folder, so that --force may replace it; a real AffectNet has no such file.
MARK = "sample.json"
_NO_LANDMARKS = ";".join(["-1"] * 136)
_NO_AFFECT = "-2"
_HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
_WORTH_PROCESSES = 100


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was drawn; its text is what the command prints.

    Attributes:
        path: the set's folder.
        counts: usable rows by split and class.
        n_unusable: rows that no face can be read from, put there on purpose.
        n_copies: validation rows whose picture stands in training too, put there on purpose.
    """

    path: Path
    counts: dict[str, dict[str, int]]
    n_unusable: int
    n_copies: int

    def __str__(self) -> str:
        totals = {split: sum(classes.values()) for split, classes in self.counts.items()}
        rows = [(name, *(self.counts[split][name] for split in SPLITS)) for name in AFFECTNET_CLASSES]
        rows.append(("all", *totals.values()))
        table = "\n".join(
            f"  {name:<12}{training:>10,}{validation:>12,}" for name, training, validation in rows
        )
        return (
            f"{self.path}: {sum(totals.values()):,} drawn pictures in the layout of AffectNet 2017\n\n"
            f"  {'':<12}{'training':>10}{'validation':>12}\n{table}\n\n"
            f"{self.n_unusable} more rows cannot be used and {self.n_copies} pictures stand in both splits, "
            "as in real sets: `mien prepare` finds them."
        )


def write_sample(
    out: Path, *, n_faces: int = 3000, seed: int = 0, workers: int | None = None, force: bool = False
) -> SampleSummary:
    """Draw a face set. The same numbers give the same bytes, however many processes draw.

    Args:
        out: folder to make; it appears when all is drawn.
        n_faces: usable rows of both splits together, 22 or more; a few unusable ones come on top.
        seed: 0 or more.
        workers: processes; None for one per core.
        force: replace a sample set that stands at ``out``.

    Raises:
        DatasetError: a number is out of range.
        ArtifactError: ``out`` exists, or the disk is full.
    """
    rows = plan_rows(n_faces, seed=seed)
    with new_folder(out, force=force, kind_mark=MARK) as folder:
        pictures = folder / PICTURES_DIR
        for name in sorted({row.path.split("/")[0] for row in rows}):
            (pictures / name).mkdir(parents=True)
        lines = _draw_all(rows, pictures, seed=seed, workers=workers)
        for split in SPLITS:
            chosen = [line for row, line in zip(rows, lines, strict=True) if row.split == split]
            _write_list(folder / f"{split}.csv", chosen)
        write_json(folder / MARK, {"made_by": "mien sample", "faces": n_faces, "seed": seed})
    return _summarise(out, rows)


def _draw_all(rows: list[PlannedRow], pictures: Path, *, seed: int, workers: int | None) -> list[list[str]]:
    with Progress("Drawing", total=len(rows), unit="picture") as progress:
        lines = []
        for line in _lines(rows, pictures, seed=seed, workers=workers):
            lines.append(line)
            progress.advance()
    return lines


def _lines(rows: list[PlannedRow], pictures: Path, *, seed: int, workers: int | None) -> Iterator[list[str]]:
    draw = functools.partial(_draw_row, pictures=pictures, seed=seed)
    n_workers = workers or usable_cores()
    if n_workers == 1 or len(rows) < _WORTH_PROCESSES:
        yield from map(draw, rows)
        return
    # A forked child of a process where OpenCV has threads hangs in `setNumThreads`: start afresh.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, initializer=_start_worker) as pool:
        yield from pool.map(draw, rows, chunksize=16)


def _start_worker() -> None:
    start_worker()
    cv2.setNumThreads(1)


def _draw_row(row: PlannedRow, *, pictures: Path, seed: int) -> list[str]:
    """Draw a row's picture, write its file and return the row's cells."""
    picture = draw_picture(row.class_name, seed=seed, index=row.index)
    content = _file_content(picture.jpeg, row)
    if content is not None:
        (pictures / row.path).write_bytes(content)
    expression = "?" if row.fault == "label" else str(AFFECTNET_CLASSES.index(row.class_name))
    return [
        row.path,
        *map(str, picture.box_xywh),
        _landmark_text(picture.landmarks),
        expression,
        *_affect(picture),
    ]


def _file_content(jpeg: bytes, row: PlannedRow) -> bytes | None:
    """Return what stands in a row's file: its picture, or what its fault makes of it; None for no file."""
    match row.fault:
        case "empty":
            return b""
        case "truncated":
            return jpeg[: len(jpeg) // 2]
        case "html":
            return _HTML
        case "missing":
            return None
    return jpeg


def _landmark_text(landmarks: NDArray[np.float64] | None) -> str:
    if landmarks is None:
        return _NO_LANDMARKS
    return ";".join(f"{value:.2f}" for value in landmarks.ravel())


def _affect(picture: Picture) -> list[str]:
    return [_NO_AFFECT if value is None else f"{value:.6g}" for value in (picture.valence, picture.arousal)]


def _write_list(path: Path, lines: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(CsvLines(file))
        writer.writerow(HEADER)
        writer.writerows(lines)


def _summarise(out: Path, rows: list[PlannedRow]) -> SampleSummary:
    counts = {split: dict.fromkeys(AFFECTNET_CLASSES, 0) for split in SPLITS}
    for row in rows:
        if row.fault is None:
            counts[row.split][row.class_name] += 1
    n_unusable = sum(row.fault is not None for row in rows)
    return SampleSummary(
        out, {str(split): classes for split, classes in counts.items()}, n_unusable, N_COPIES
    )
