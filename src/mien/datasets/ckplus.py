"""CK+, the extended Cohn-Kanade set: sequences from a neutral face to a posed expression.

Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews 2010, CVPR workshops. Layout and numbers are those of the set's readme
(phase 1, September 2010), and frames of a sequence end at the expression's peak, which the label is for:

- ``cohn-kanade-images/S005/001/S005_001_00000011.png``: person, sequence, frame;
- ``Emotion/S005/001/S005_001_00000011_emotion.txt``: one number; 327 of 593 sequences have it;
- ``Landmarks/S005/001/S005_001_00000011_landmarks.txt``: 68 tracked points, x and y on a line each.

CK+48, a copy on Kaggle, has three frames of each labeled sequence as ``anger/S010_004_00000017.png``, 48 pixels.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mien.datasets.base import FaceDataset, FaceRecord, assumed
from mien.datasets.csv_cells import parse_integer
from mien.datasets.csv_files import read_lines
from mien.datasets.files import list_names, printable
from mien.datasets.listed import ListedFace, ListedFaces, draw_val
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError
from mien.faces.classes import canonical_class, ordered_classes
from mien.faces.images import IMAGE_SUFFIXES
from mien.faces.landmarks import N_LANDMARKS

IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
EMOTIONS = ("Emotion", "Emotion_labels/Emotion")
LANDMARKS = ("Landmarks", "Landmarks/Landmarks")
CLASSES = {
    0: "Neutral", 1: "Anger", 2: "Contempt", 3: "Disgust", 4: "Fear", 5: "Happy", 6: "Sad", 7: "Surprise",
}  # fmt: skip
_FRAME = re.compile(r"^(S\d{3})_(\d{3})_(\d+)$", re.IGNORECASE)


def open_ckplus(raw: Path, *, val_fraction: float = 0.1, neutral: bool = False) -> FaceDataset:
    """Open CK+ or CK+48. Neither has splits: ``val`` is drawn by person.

    Args:
        raw: the folder with ``cohn-kanade-images`` and ``Emotion``, or with CK+48's class folders.
        val_fraction: fraction of faces assigned to ``val``.
        neutral: also read the first frame of every sequence, as Neutral.

    Raises:
        DatasetError: the layout is neither of the two.
    """
    images, emotions, landmarks = (
        next((name for name in names if (raw / name).is_dir()), None)
        for names in (IMAGES, EMOTIONS, LANDMARKS)
    )
    if images is not None and emotions is not None:
        list_faces = partial(_list_sequences, images=images, emotions=emotions, neutral=neutral)
        notes = _describe(raw, images, emotions, neutral=neutral)
        if landmarks is not None:
            order = f"the 68 points of a file in `{landmarks}/` are in the order of iBUG, from the left end of the jaw"
            notes = (*notes, assumed(order))
        root = raw.resolve()
        annotate = None if landmarks is None else partial(_add_landmarks, images=images, landmarks=landmarks)
        dataset = ListedFaces(root, "ckplus", (), "aligned", list_faces, annotate, notes)
    else:
        root = raw / "CK+48" if (raw / "CK+48").is_dir() else raw
        folders = [name for name in list_names(root) if (root / name).is_dir() and canonical_class(name)]
        if not folders or images is not None:
            raise DatasetError(f"`{raw}` must hold {DATASETS['ckplus'].layout}: give the folder that does")
        if neutral:
            raise DatasetError("CK+48 has no neutral frames, it begins after them: leave --neutral out")
        dataset = ListedFaces(root.resolve(), "ckplus-48", (), "whole", _list_folders)
    names = {face.class_name for face in dataset.list_faces(dataset.root)} - {""}
    return draw_val(replace(dataset, classes=ordered_classes(names)), val_fraction)


def _describe(raw: Path, images: str, emotions: str, *, neutral: bool) -> tuple[str, ...]:
    sequences = list(_list_folders_below(raw / images))
    n_labeled = sum(
        any((raw / emotions / sequence).glob("*_emotion.txt"))
        for sequence in sequences
        if (raw / emotions).is_dir()
    )
    first = (
        "the first frame of each is read as Neutral"
        if neutral
        else "--neutral reads their first frames as Neutral"
    )
    return (
        f"{n_labeled:,} of {len(sequences):,} sequences have a label, which is for the last frame; {first}.",
    )


def _list_folders_below(folder: Path) -> Iterator[str]:
    """Yield ``<person>/<sequence>`` for each sequence."""
    for person in list_names(folder):
        if (folder / person).is_dir():
            for sequence in list_names(folder / person):
                if (folder / person / sequence).is_dir():
                    yield f"{person}/{sequence}"


def _list_sequences(root: Path, *, images: str, emotions: str, neutral: bool) -> Iterator[ListedFace]:
    labeled = set(_list_folders_below(root / emotions))
    for sequence in sorted(labeled.union(_list_folders_below(root / images)) if neutral else labeled):
        person = sequence.partition("/")[0]
        frames = root / images / sequence
        if neutral and frames.is_dir():
            names = [name for name in list_names(frames) if Path(name).suffix.lower() in IMAGE_SUFFIXES]
            if names:
                first = f"{images}/{sequence}/{names[0]}"
                yield ListedFace(first, "Neutral", person=person, clip=sequence)
        for name in list_names(root / emotions / sequence) if sequence in labeled else ():
            stem, marked, _ = name.rpartition("_emotion.txt")
            if not marked:
                continue
            text = " ".join(line for _, line in read_lines(root / emotions / sequence / name))
            number = parse_integer(text)
            class_name = "" if number is None else CLASSES.get(number, "")
            problem = (
                None
                if class_name
                else ("unknown_label", f"`{name}` holds {text[:40]!r}, not a number from 0 to 7")
            )
            yield ListedFace(
                f"{images}/{sequence}/{stem}.png", class_name, problem, person=person, clip=sequence
            )


def _add_landmarks(root: Path, key: str, record: FaceRecord, *, images: str, landmarks: str) -> FaceRecord:
    path = (root / landmarks / key.removeprefix(f"{images}/")).with_suffix("")
    path = path.with_name(f"{path.name}_landmarks.txt")
    if not path.is_file():
        return replace(record, warnings=(*record.warnings, "missing_annotation"))
    try:
        points = np.array([line.split() for _, line in read_lines(path)], dtype=np.float64)
    except (ValueError, DatasetError):
        points = np.empty(0)
    if points.shape != (N_LANDMARKS, 2) or not np.isfinite(points).all():
        return replace(record, warnings=(*record.warnings, "broken_annotation"))
    return replace(record, landmarks=points)


def _list_folders(root: Path) -> Iterator[ListedFace]:
    for folder in list_names(root):
        if not (root / folder).is_dir():
            continue
        class_name = canonical_class(folder) or ""
        for name in list_names(root / folder):
            frame = _FRAME.match(Path(name).stem)
            problem = None
            if not class_name:
                problem = "unknown_label", f"the folder `{printable(folder)}` is not named like a class"
            elif frame is None:
                problem = "malformed_row", "the name is not like S010_004_00000017.png: the person is unknown"
            person, sequence = (frame[1].upper(), frame[2]) if frame else ("", "")
            clip = f"{person}/{sequence}" if frame else ""
            yield ListedFace(f"{folder}/{name}", class_name, problem, person=person, clip=clip)
