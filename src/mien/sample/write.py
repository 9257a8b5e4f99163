"""Write a set of drawn faces to disk, in the layout of AffectNet's 2017 release."""

import csv
import functools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2

from mien.artifacts import new_folder, write_json
from mien.datasets.sample_mark import SAMPLE_MAKER, SAMPLE_MARK
from mien.faces.classes import AFFECTNET_CLASSES
from mien.runtime.child_process import start_worker
from mien.runtime.cpu import usable_cpu_cores
from mien.runtime.csv_text import CsvLines
from mien.runtime.progress import Progress
from mien.sample.action_units import UNIT_NAMES
from mien.sample.image import draw_image
from mien.sample.options import SampleOptions
from mien.sample.plan import N_COPIES, SPLITS, PlannedRow, plan_rows

HEADER = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
IMAGES_DIR = "Manually_Annotated_Images"
# AffectNet has no action units: they are in a list of their own, for `mien prepare csv`.
UNITS_LIST = "action_units.csv"
UNITS_HEADER = ("path", "label", "split", *HEADER[1:6], "valence", "arousal", *UNIT_NAMES)
_SPLIT_NAMES = {"training": "train", "validation": "val"}
# AffectNet's marks of missing values.
_NO_LANDMARKS = ";".join(["-1"] * 136)
_NO_AFFECT = "-2"
_HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
_MIN_ROWS_FOR_PROCESSES = 100


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was drawn; `str()` gives the text that the command prints.

    Attributes:
        path: the set's folder.
        counts: usable rows by split and class.
        n_unusable: deliberately faulty rows.
        n_copies: validation rows that deliberately repeat a training image.
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
            f"{self.path}: {sum(totals.values()):,} drawn images in the layout of AffectNet 2017\n\n"
            f"  {'':<12}{'training':>10}{'validation':>12}\n{table}\n\n"
            f"{self.n_unusable} more rows are unusable and {self.n_copies} images are in both splits, "
            "as in real sets: `mien prepare` finds them.\n"
            f"{UNITS_LIST} lists the usable faces with their action units, for `mien prepare csv`."
        )


def write_sample(
    out: Path,
    *,
    n_faces: int = SampleOptions.n_faces,
    seed: int = SampleOptions.seed,
    workers: int | None = None,
    force: bool = False,
) -> SampleSummary:
    """Draw a face set. The same numbers give the same bytes, with any number of processes.

    Args:
        out: folder to create; it appears once everything is drawn.
        n_faces: usable rows in both splits together, 22 or more; a few unusable ones are added.
        seed: 0 or more.
        workers: number of processes; None for one per core.
        force: replace an existing sample set at ``out``.

    Raises:
        DatasetError: a number is out of range.
        ArtifactError: ``out`` exists, or the disk is full.
    """
    rows = plan_rows(n_faces, seed=seed)
    with new_folder(out, force=force, kind_mark=SAMPLE_MARK) as folder:
        images = folder / IMAGES_DIR
        for name in sorted({row.path.split("/")[0] for row in rows}):
            (images / name).mkdir(parents=True)
        lines = _draw_all(rows, images, seed=seed, workers=workers)
        for split in SPLITS:
            with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(CsvLines(file))
                writer.writerow(HEADER)
                writer.writerows(
                    line.cells for row, line in zip(rows, lines, strict=True) if row.split == split
                )
        with (folder / UNITS_LIST).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(CsvLines(file))
            writer.writerow(UNITS_HEADER)
            for row, line in zip(rows, lines, strict=True):
                if line.units is not None and row.fault is None:
                    path, *box, landmarks, _, valence, arousal = line.cells
                    found = (f"{IMAGES_DIR}/{path}", row.class_name, _SPLIT_NAMES[row.split], *box, landmarks)
                    writer.writerow([*found, valence, arousal, *line.units])
        write_json(folder / SAMPLE_MARK, {**SAMPLE_MAKER, "faces": n_faces, "seed": seed})
    counts: dict[str, dict[str, int]] = {split: dict.fromkeys(AFFECTNET_CLASSES, 0) for split in SPLITS}
    for row in rows:
        if row.fault is None:
            counts[row.split][row.class_name] += 1
    return SampleSummary(out, counts, sum(row.fault is not None for row in rows), N_COPIES)


class _Line(NamedTuple):
    """The cells of a row, and the intensities of its face's action units."""

    cells: list[str]
    units: tuple[int, ...] | None


def _draw_all(rows: list[PlannedRow], images: Path, *, seed: int, workers: int | None) -> list[_Line]:
    """Draw all images and return the lines of their rows."""
    draw = functools.partial(_draw_row, images=images, seed=seed)
    n_workers = workers or usable_cpu_cores()
    with ExitStack() as stack:
        progress = stack.enter_context(Progress("Drawing", total=len(rows), unit="image"))
        if n_workers == 1 or len(rows) < _MIN_ROWS_FOR_PROCESSES:
            drawn: Iterator[_Line] = map(draw, rows)
        else:
            # A forked child of a process in which OpenCV has threads hangs in `setNumThreads`: spawn instead.
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(n_workers, context, initializer=_start_worker))
            drawn = pool.map(draw, rows, chunksize=16)
        lines = []
        for line in drawn:
            lines.append(line)
            progress.advance()
    return lines


def _start_worker() -> None:
    start_worker()
    cv2.setNumThreads(1)


def _draw_row(row: PlannedRow, *, images: Path, seed: int) -> _Line:
    """Draw the image of a row, write its file as its fault demands, and return its line."""
    image = draw_image(row.class_name, seed=seed, index=row.image_index)
    if row.fault != "missing":
        damaged = {"empty": b"", "truncated": image.jpeg[: len(image.jpeg) // 2], "html": _HTML}
        (images / row.path).write_bytes(damaged.get(row.fault or "", image.jpeg))
    landmarks = _NO_LANDMARKS
    if image.landmarks is not None:
        landmarks = ";".join(f"{value:.2f}" for value in image.landmarks.ravel())
    expression = "?" if row.fault == "label" else str(AFFECTNET_CLASSES.index(row.class_name))
    affect = [_NO_AFFECT if value is None else f"{value:.6g}" for value in (image.valence, image.arousal)]
    cells = [row.path, *map(str, image.box_xywh), landmarks, expression, *affect]
    return _Line(cells, image.action_units)
