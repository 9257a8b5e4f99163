"""RAF-DB: faces from the web with the label that most of about 40 annotators chose.

Li, Deng, Du 2017, CVPR, "Reliable crowdsourcing and deep locality-preserving learning for expression recognition in the
wild". Layouts, label numbers and attributes are those of the set's README, version 1.1:

- ``EmoLabel/list_patition_label.txt`` (spelled so) has lines ``train_00001.jpg 5``; the prefix is the split;
- ``Image/aligned/train_00001_aligned.jpg`` (100 pixels) and ``Image/original/train_00001.jpg``;
- ``Annotation/manual/train_00001_manu_attri.txt``: five points in the original image (eyes, nose, mouth corners), then
  gender, race and age, a line each;
- ``Annotation/boundingbox/train_00001_boundingbox.txt``: the face in the original image, left, top, right, bottom.

The copy on Kaggle has the aligned images in ``DATASET/{train,test}/{1..7}/`` and, next to these, ``train_labels.csv``
and ``test_labels.csv`` with the columns ``image`` and ``label``. The compound set has the same layout as the basic one,
with the numbers 1 to 11 for pairs of expressions.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import FaceDataset, FaceRecord, assumed
from mien.datasets.csv_cells import parse_box_xyxy, parse_integer
from mien.datasets.csv_files import PROBLEM, open_csv_file, read_lines
from mien.datasets.files import list_names, printable, quote_names
from mien.datasets.listed import ListedFace, ListedFaces
from mien.datasets.registry import DATASETS, RafImages
from mien.datasets.splits import find_split, parse_split
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_7, ordered_classes

LABELS = ("EmoLabel/list_patition_label.txt", "EmoLabel/list_partition_label.txt")
BASIC = {1: "Surprise", 2: "Fear", 3: "Disgust", 4: "Happy", 5: "Sad", 6: "Anger", 7: "Neutral"}
COMPOUND = {
    1: "Happily Surprised", 2: "Happily Disgusted", 3: "Sadly Fearful", 4: "Sadly Angry", 5: "Sadly Surprised",
    6: "Sadly Disgusted", 7: "Fearfully Angry", 8: "Fearfully Surprised", 9: "Angrily Surprised",
    10: "Angrily Disgusted", 11: "Disgustedly Surprised",
}  # fmt: skip
# 44% of the compound set's labels are above 7; as few as this may be mistakes.
LEAST_COMPOUND = 0.05
GENDERS = ("male", "female", "unsure")
RACES = ("Caucasian", "African-American", "Asian")
AGES = ("0-3", "4-19", "20-39", "40-69", "70+")


def open_rafdb(raw: Path, *, raf_images: RafImages | None = None) -> FaceDataset:
    """Open RAF-DB, or its copy with numbered folders.

    Args:
        raw: the folder with ``EmoLabel`` and ``Image``, or with ``train`` and ``test``, or one that holds it.
        raf_images: ``aligned`` or ``original``; None for the aligned ones if they are present.

    Raises:
        DatasetError: the layout is neither of the two, or the images that were asked for are missing.
    """
    for folder in (raw, raw / "basic", raw / "DATASET"):
        for labels in LABELS:
            if (folder / labels).is_file():
                return _open_list(folder.resolve(), labels, raf_images)
        if any(
            name in BASIC_FOLDERS for split in _split_folders(folder) for name in list_names(folder / split)
        ):
            if raf_images == "original":
                raise DatasetError(
                    f"`{folder}` has only aligned images, in folders by number: leave --raf-images out"
                )
            return _open_folders(folder.resolve())
    raise DatasetError(f"`{raw}` must hold {DATASETS['rafdb'].layout}: give the folder that does")


def _open_list(root: Path, labels: str, images: RafImages | None) -> FaceDataset:
    chosen = images or ("aligned" if (root / "Image" / "aligned").is_dir() else "original")
    if not (root / "Image" / chosen).is_dir():
        raise DatasetError(
            f"`{root}` must hold the images in `Image/{chosen}/`, there is no such folder: unpack them there, or choose "
            "others with --raf-images"
        )
    numbers = Counter(parse_integer(line.split()[-1]) for _, line in read_lines(root / labels))
    n_compound = sum(numbers[number] for number in COMPOUND if number not in BASIC)
    is_compound = n_compound > LEAST_COMPOUND * numbers.total()
    classes = COMPOUND if is_compound else BASIC
    has_attributes = (root / "Annotation" / "manual").is_dir()
    notes = [f"The images are those of `Image/{chosen}/`."]
    if is_compound:
        notes.append(
            f"The list has numbers from 8 to 11: this is the compound set, with {len(COMPOUND)} classes."
        )
    if not has_attributes:
        notes.append("There is no `Annotation/manual/`: gender, race, age and the five points are not read.")
    if chosen == "original" and (root / "Annotation" / "boundingbox").is_dir():
        notes.append(
            assumed("the numbers of a file in `Annotation/boundingbox/` are left, top, right and bottom")
        )
    if (root / "Annotation" / "auto").is_dir():
        notes.append("Not read: `Annotation/auto/`, 37 points that were found by a detector.")
    return ListedFaces(
        root=root,
        name="rafdb-compound" if is_compound else "rafdb",
        classes=ordered_classes(set(classes.values())),
        natural_crop="whole" if chosen == "aligned" else "aligned",
        list_faces=partial(_list_rows, labels=labels, images=chosen, classes=classes),
        annotate=partial(_annotate, images=chosen),
        notes=tuple(notes),
    )


def _list_rows(root: Path, *, labels: str, images: str, classes: dict[int, str]) -> Iterator[ListedFace]:
    for number, line in read_lines(root / labels):
        name, _, label = line.rpartition(" ")
        name = name.strip()
        stem, dot, suffix = name.rpartition(".")
        file = f"Image/{images}/" + (f"{stem}_aligned{dot}{suffix}" if images == "aligned" else name)
        split, class_name = find_split(name), classes.get(parse_integer(label) or 0, "")
        problem = None
        if not stem:
            problem = "malformed_row", f"line {number} is {line[:80]!r}, expected an image and a number"
        elif not class_name:
            problem = "unknown_label", f"label {label!r} is not an integer from 1 to {max(classes)}"
        elif split is None:
            problem = "unknown_split", f"{name!r} begins with neither `train` nor `test`"
        yield ListedFace(file, class_name, problem, split=split or "train")


def _annotate(root: Path, key: str, record: FaceRecord, *, images: str) -> FaceRecord:
    """Add gender, race and age, and to a face in an original image its points and box."""
    stem = Path(key).stem.removesuffix("_aligned")
    warnings = list(record.warnings)
    manual = root / "Annotation" / "manual" / f"{stem}_manu_attri.txt"
    if manual.is_file():
        points, attributes = _read_manual(manual)
        if points is None:
            warnings.append("broken_annotation")
        elif images == "original":
            # By position, since the README does not say whose left comes first.
            eyes, mouth = (pair[np.argsort(pair[:, 0])] for pair in (points[:2], points[3:]))
            record = replace(record, anchors=np.concatenate([eyes, mouth]))
        record = replace(record, attributes=attributes)
    elif manual.parent.is_dir():
        warnings.append("missing_annotation")
    box = root / "Annotation" / "boundingbox" / f"{stem}_boundingbox.txt"
    if images == "original" and box.is_file():
        cells = tuple(cell for _, line in read_lines(box) for cell in line.split())
        box_xyxy, problems = parse_box_xyxy(cells) if len(cells) == 4 else (None, ("box_value",))
        record = replace(record, box_xyxy=box_xyxy)
        warnings += problems
    return replace(record, warnings=tuple(warnings))


def _read_manual(path: Path) -> tuple[NDArray[np.float64] | None, dict[str, str]]:
    """Return the five points and the attributes of a face; None and nothing if the file is damaged."""
    try:
        lines = [line for _, line in read_lines(path)]
        points = np.array([line.split() for line in lines[:5]], dtype=np.float64)
        codes = [parse_integer(line) for line in lines[5:8]]
    except (ValueError, DatasetError):
        return None, {}
    names = {"gender": GENDERS, "race": RACES, "age": AGES}
    if (
        points.shape != (5, 2)
        or not np.isfinite(points).all()
        or len(codes) != len(names)
        or any(code not in range(len(values)) for code, values in zip(codes, names.values(), strict=True))
    ):
        return None, {}
    return points, {
        name: values[code or 0] for (name, values), code in zip(names.items(), codes, strict=True)
    }


BASIC_FOLDERS = frozenset(map(str, BASIC))


def _split_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [name for name in list_names(folder) if parse_split(name) and (folder / name).is_dir()]


def _open_folders(root: Path) -> FaceDataset:
    splits = _split_folders(root)
    lists = {split: f"{split}_labels.csv" for split in splits if (root / f"{split}_labels.csv").is_file()}
    others = [name for name in list_names(root) if name not in (*splits, *lists.values())]
    return ListedFaces(
        root=root,
        name="rafdb",
        classes=EXPRESSIONS_7,
        natural_crop="whole",
        list_faces=partial(_list_folders, splits=tuple(splits), lists=lists),
        notes=(
            "The folders are numbered, as in the copy on Kaggle: "
            + ", ".join(f"{number} {name}" for number, name in BASIC.items())
            + ".",
            assumed(
                "the copy numbers its classes as RAF-DB does"
                + (
                    ", and the columns `image` and `label` of its lists name a file and such a number"
                    if lists
                    else ""
                )
            ),
            *(f"`{name}` says the same as the folders, or the row is rejected." for name in lists.values()),
            *((f"Not read: {quote_names(others)}.",) if others else ()),
        ),
    )


def _list_folders(root: Path, *, splits: tuple[str, ...], lists: dict[str, str]) -> Iterator[ListedFace]:
    for folder in splits:
        split = parse_split(folder) or "train"
        stated: dict[str, str] = {}
        if folder in lists:
            table = open_csv_file(
                root / lists[folder],
                {"image": ("image", "name", "path"), "label": ("label",)},
                required=("image", "label"),
            )
            stated = {row["image"].strip(): row["label"] for _, row in table.rows() if PROBLEM not in row}
        for number in list_names(root / folder):
            if not (root / folder / number).is_dir():
                continue
            class_name = BASIC.get(parse_integer(number) or 0, "")
            for name in list_names(root / folder / number):
                label = stated.pop(name, number)
                problem = None
                if not class_name:
                    problem = (
                        "unknown_label",
                        f"the folder `{printable(number)}` is not an integer from 1 to 7",
                    )
                elif parse_integer(label) != parse_integer(number):
                    problem = "conflicting_label", f"the folder is {number}, `{lists[folder]}` says {label!r}"
                yield ListedFace(f"{folder}/{number}/{name}", class_name, problem, split=split)
        for name, label in stated.items():
            class_name = BASIC.get(parse_integer(label) or 0, "")
            problem = (
                None if class_name else ("unknown_label", f"label {label!r} is not an integer from 1 to 7")
            )
            yield ListedFace(f"{folder}/{label.strip()}/{name}", class_name, problem, split=split)
