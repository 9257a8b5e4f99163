"""`mien prepare auto`: what a raw dataset is taken for, ten of its rows, and the command that prepares it. Nothing is written."""

import os
import random
import shlex
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from mien.datasets.base import FaceDataset, RawRow, RejectedRow
from mien.datasets.recognition import Candidate, describe_unrecognized, recognize
from mien.datasets.registry import DATASETS, DatasetOptions, open_dataset
from mien.errors import DatasetError
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage, open_image
from mien.formats.pack.schema import NO_LABEL, SPLITS
from mien.prepare.options import AUTO
from mien.runtime.text_table import format_table

N_SHOWN = 10
COLUMNS = (
    "split", "image", "class", "size", "box", "landmarks", "valence", "arousal", "person", "clip", "attributes",
)  # fmt: skip


def describe_set(
    raw: Path, options: DatasetOptions, arguments: Sequence[str], out: Path | str | None = None
) -> str:
    """Return what a raw dataset is taken for and why, rows as they are understood, and the command to run.

    Args:
        raw: the dataset.
        options: how to read it.
        arguments: those of `mien prepare`, with `AUTO` as the kind; they become the command.
        out: the pack, if it is among the arguments.

    Raises:
        DatasetError: no kind recognizes it, or none that does can read it with these options.
    """
    if not raw.exists():
        raise DatasetError(f"There is nothing at `{raw}`: give the path of the dataset")
    candidates = recognize(raw)
    if not candidates:
        raise DatasetError(f"`{raw}` is none of {', '.join(DATASETS)}: {describe_unrecognized(raw)}")
    parts: list[str] = []
    problems: list[str] = []
    for candidate in candidates:
        words = list(arguments) or [AUTO, str(raw)]
        words[words.index(AUTO)] = candidate.kind
        if out is None:
            words += ["--out", str(_propose_out(raw))]
        command = shlex.join(["mien", "prepare", *words])
        try:
            dataset = open_dataset(candidate.kind, raw, options)
            parts.append(f"{_taken_for(raw, candidate)}\n\n{_describe_rows(dataset)}\n\n  {command}")
        except DatasetError as error:
            problems.append(f"{_taken_for(raw, candidate)} But: {error}")
    if not parts:
        raise DatasetError(" ".join(problems))
    if len(candidates) > 1:
        kinds = ", ".join(candidate.kind for candidate in candidates)
        parts.insert(0, f"`{raw}` may be any of {kinds}: choose the one whose rows are right.")
    return "\n\n".join((*parts, *problems))


def _propose_out(raw: Path) -> Path:
    """Return a path for the pack in the current folder; if that is in the set, which is never written to, next to the set."""
    folder = raw.resolve()
    out = Path(f"{folder.stem or 'faces'}.pack")
    return Path(os.path.relpath(folder.parent / out)) if out.resolve().is_relative_to(folder) else out


def _taken_for(raw: Path, candidate: Candidate) -> str:
    return f"`{raw}` looks like `{candidate.kind}`, because {candidate.reason}."


def _describe_rows(dataset: FaceDataset) -> str:
    """Return the counts of a set's rows, some of these, and the set's notes."""
    counts: Counter[str] = Counter()
    kept: dict[str, list[RawRow]] = {}
    chance = random.Random(0)  # noqa: S311 - which rows are shown
    for row in dataset.rows():
        counts[row.split] += 1
        shown = kept.setdefault(row.split, [])
        # A reservoir: every row of a split is shown with equal probability.
        if len(shown) < N_SHOWN:
            shown.append(row)
        elif (place := chance.randrange(counts[row.split])) < N_SHOWN:
            shown[place] = row
    splits = [split for split in SPLITS if counts[split]]
    turns = zip_longest(*(kept[split] for split in splits))
    rows = [row for turn in turns for row in turn if row is not None][:N_SHOWN]
    table: list[tuple[str, ...]] = [COLUMNS]
    table += [
        _describe_row(dataset, row)
        for row in sorted(rows, key=lambda row: (SPLITS.index(row.split), row.number))
    ]
    used = [index for index in range(len(table[0])) if index < 4 or any(row[index] for row in table[1:])]
    lines = [
        f"rows: {', '.join(f'{split} {counts[split]:,}' for split in splits) or 'none'}",
        f"classes: {', '.join(dataset.classes)}",
        f"crop: {dataset.natural_crop}",
        *dataset.notes,
        "",
        *format_table([tuple(row[index] for index in used) for row in table]),
    ]
    return "\n".join(lines)


def _describe_row(dataset: FaceDataset, row: RawRow) -> tuple[str, ...]:
    """Return the cells of a row in the table: what it was parsed to, or why it is rejected."""
    try:
        record = dataset.parse(row)
        image = read_image_file(record.image) if isinstance(record.image, Path) else record.image
        if isinstance(image, bytes):
            width, height = open_image(image).size_wh
        else:
            height, width = image.shape[:2]
    except (RejectedRow, UnreadableImage) as rejected:
        return (
            row.split,
            row.key,
            dataset.class_of(row),
            f"{rejected.reason}: {rejected.detail}",
            *[""] * (len(COLUMNS) - 4),
        )
    box = "" if record.box_xyxy is None else " ".join(f"{value:g}" for value in record.box_xyxy.round(2))
    points = record.anchors if record.landmarks is None else record.landmarks
    return (
        row.split,
        row.key,
        "" if record.label == NO_LABEL else dataset.classes[record.label],
        f"{width}x{height}",
        box,
        "" if points is None else f"{len(points)} points",
        "" if record.valence is None else f"{record.valence:.2f}",
        "" if record.arousal is None else f"{record.arousal:.2f}",
        record.person or "",
        record.clip or "",
        ", ".join(f"{name} {value}" for name, value in record.attributes.items()),
    )
