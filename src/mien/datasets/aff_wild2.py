"""Aff-Wild2: face crops of video frames with expressions, valence and arousal.

Kollias, Zafeiriou 2019, https://arxiv.org/abs/1811.07770, and the ABAW challenges. Layout as read by
wtomin/Multitask-Emotion-Recognition-with-Incomplete-Labels
(``create_annotation_file/Aff-wild2/create_train_val_annotation_file.py`` at 241033d), with the folders' names of the later
challenges:

- ``cropped_aligned/<video>/00001.jpg``; a second person in a video is ``<video>_left`` or ``<video>_right``;
- for each task, ``<task>/{Train_Set,Validation_Set}/<video>.txt``. Line 1 names the columns, line i + 1 is frame i. The
  names of the expression files are the classes in the order of their numbers; -1 means none. Valence and arousal are in
  [-1, 1]; -5 means none.

A video may be in the training set of one task and in the validation set of another. It is ``val`` here, with the labels of
the tasks that validate on it: no frame of a validation video is trained on, and each task is evaluated on its own
validation set.
"""

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from mien.datasets.base import FaceDataset, assumed
from mien.datasets.csv_cells import parse_integer
from mien.datasets.files import list_names, quote_names
from mien.datasets.listed import ListedFace, ListedFaces
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError
from mien.faces.classes import canonical_class, ordered_classes
from mien.faces.images import IMAGE_SUFFIXES
from mien.runtime.regular_files import read_regular

IMAGES = "cropped_aligned"
EXPRESSION, AFFECT = "expr", "va"
SET_FOLDERS = {"Train_Set": "train", "Training_Set": "train", "Validation_Set": "val"}
MAX_ANNOTATION_BYTES = 20_000_000
NO_EXPRESSION = "-1"
NO_AFFECT = -5.0
_SECOND_PERSON = re.compile(r"_(left|right)$")


class Annotated(NamedTuple):
    """A video's annotation file for one task.

    Attributes:
        task: `EXPRESSION` or `AFFECT`.
        split: ``train`` or ``val``.
        path: the file.
    """

    task: str
    split: str
    path: Path


def open_aff_wild2(raw: Path, *, every: int = 1) -> FaceDataset:
    """Open Aff-Wild2: the tasks of expressions, and of valence and arousal, whichever are there.

    Args:
        raw: the folder of ``cropped_aligned`` and, at any depth, of the tasks' folders.
        every: read only every N-th frame of a video.

    Raises:
        DatasetError: images or annotations are missing, or an annotation file is not as described.
    """
    root = raw.resolve()
    videos, other_tasks = _find_annotations(root)
    if not videos or not (root / IMAGES).is_dir():
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['aff-wild2'].layout}: "
            + (f"there is no `{IMAGES}/`" if videos else "there are no such annotations")
        )
    names = {
        name
        for annotated in videos.values()
        for one in annotated
        if one.task == EXPRESSION
        for name in read_lines(one.path)[0]
    }
    n_mixed = sum(len({one.split for one in annotated}) > 1 for annotated in videos.values())
    folders = [name for name in list_names(root / IMAGES) if (root / IMAGES / name).is_dir()]
    n_frames, n_unlabeled, n_missing = count_frames(root, videos)
    notes = [
        f"{n_unlabeled:,} of {n_frames:,} annotated frames have no label (-1, -5) in any task, and are left out.",
        f"{n_missing:,} labeled frames have no image in `{IMAGES}`, and are left out.",
    ]
    if n_mixed:
        notes.append(
            f"{n_mixed:,} videos are in the training set of one task and in the validation set of another: they are val, "
            "without the labels of their training sets."
        )
    if any(_SECOND_PERSON.search(video) for video in videos):
        notes.append(assumed("`<video>_left` and `<video>_right` are two persons of one clip"))
    notes += [f"Tasks that are not read: {quote_names(other_tasks)}."] * bool(other_tasks)
    if unknown := [name for name in folders if name not in videos]:
        notes.append(
            f"{len(unknown):,} videos have no annotation, and are left out: {quote_names(unknown, limit=3)}."
        )
    return ListedFaces(
        root,
        "aff-wild2",
        ordered_classes({canonical_class(name) or name for name in names}),
        "whole",
        partial(_list_faces, videos=videos, every=every),
        notes=tuple(notes),
        is_cropped=True,
    )


def _find_annotations(root: Path) -> tuple[dict[str, tuple[Annotated, ...]], list[str]]:
    """Return the annotation files of each video, sorted, and the names of other tasks' folders."""
    videos: dict[str, tuple[Annotated, ...]] = {}
    others = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        for name in list_names(folder):
            path = folder / name
            if not path.is_dir() or path == root / IMAGES:
                continue
            if name not in SET_FOLDERS:
                # The frames of a video, a million of them, are not looked through.
                pending += [path] * (len(path.relative_to(root).parts) <= 3)
                continue
            words = re.findall(r"[A-Z]+", folder.name.upper())
            task = next((task for task in (EXPRESSION, AFFECT) if task.upper() in words), None)
            if task is None:
                others.add(folder.name)
                continue
            for file in list_names(path):
                if file.endswith(".txt"):
                    video = file.removesuffix(".txt")
                    found = (*videos.get(video, ()), Annotated(task, SET_FOLDERS[name], path / file))
                    if len({one.task for one in found}) < len(found):
                        raise DatasetError(
                            f"`{root}` must hold one annotation of `{video}` for each task, it holds "
                            f"{quote_names([one.path.relative_to(root).as_posix() for one in found])}: remove the others"
                        )
                    videos[video] = found
    return dict(sorted(videos.items())), sorted(others)


@lru_cache(maxsize=8)
def read_lines(path: Path) -> tuple[list[str], list[str]]:
    """Return the names in the first line of an annotation file, and the other lines.

    Raises:
        DatasetError: it is not text, or has no such line.
    """
    try:
        lines = read_regular(path, max_bytes=MAX_ANNOTATION_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"`{path}` cannot be read: {getattr(error, 'strerror', None) or error}") from None
    names = [name.strip() for name in lines[0].split(",") if name.strip()] if lines else []
    if not names or parse_integer(names[0]) is not None:
        raise DatasetError(
            f"`{path}` must begin with a line of names, such as `Neutral,Anger,...`: copy it again"
        )
    return names, lines[1:]


class Labels(NamedTuple):
    """The labels of one frame, as text; empty where there is none."""

    class_name: str
    valence: str
    arousal: str


def _labels(annotated: tuple[Annotated, ...]) -> tuple[str, dict[int, Labels]]:
    """Return a video's split, and the labels of each annotated frame by its number.

    Raises:
        DatasetError: a file is not as described.
    """
    split = "val" if any(one.split == "val" for one in annotated) else "train"
    labels: dict[int, Labels] = {}
    for task, task_split, path in annotated:
        names, lines = read_lines(path)
        for number, line in enumerate(lines, start=1):
            cells = [cell.strip() for cell in line.split(",") if cell.strip()]
            found = labels.get(number, Labels("", "", ""))
            if task_split == split and cells:
                found = _parse_cells(found, task, names, cells, where=f"`{path}`, line {number + 1}")
            labels[number] = found
    return split, labels


def _parse_cells(found: Labels, task: str, names: list[str], cells: list[str], *, where: str) -> Labels:
    if task == EXPRESSION:
        number = parse_integer(cells[0])
        if cells[0] == NO_EXPRESSION:
            return found
        if len(cells) != 1 or number is None or not 0 <= number < len(names):
            raise DatasetError(
                f"{where} must be -1 or a number below {len(names)}, got {','.join(cells)[:40]!r}"
            )
        return found._replace(class_name=canonical_class(names[number]) or names[number])
    try:
        valence, arousal = map(float, cells)
    except ValueError:
        raise DatasetError(
            f"{where} must be two numbers, valence and arousal, got {','.join(cells)[:40]!r}"
        ) from None
    if NO_AFFECT in (valence, arousal):
        return found
    return found._replace(valence=cells[0], arousal=cells[1])


def _frames(root: Path, video: str) -> dict[int, str]:
    """Return the image of each frame of a video by its number."""
    folder = root / IMAGES / video
    if not folder.is_dir():
        return {}
    names = [name for name in list_names(folder) if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    return {number: name for name in names if (number := parse_integer(Path(name).stem)) is not None}


def count_frames(root: Path, videos: dict[str, tuple[Annotated, ...]]) -> tuple[int, int, int]:
    """Return the numbers of annotated frames, of those without a label in any task, and of labeled ones without an image."""
    n_frames = n_unlabeled = n_missing = 0
    for video, annotated in videos.items():
        _, labels = _labels(annotated)
        frames = _frames(root, video)
        labeled = [number for number, found in labels.items() if any(found)]
        n_frames += len(labels)
        n_unlabeled += len(labels) - len(labeled)
        n_missing += sum(number not in frames for number in labeled)
    return n_frames, n_unlabeled, n_missing


def _list_faces(root: Path, *, videos: dict[str, tuple[Annotated, ...]], every: int) -> Iterator[ListedFace]:
    for video, annotated in videos.items():
        split, labels = _labels(annotated)
        for number, name in sorted(_frames(root, video).items()):
            found = labels.get(number)
            if found is None or not any(found) or (number - 1) % every:
                continue
            yield ListedFace(
                f"{IMAGES}/{video}/{name}",
                found.class_name,
                split=split,
                clip=_SECOND_PERSON.sub("", video),
                affect=(found.valence, found.arousal),
            )
