"""The meaning of labels in a list and of the names of class folders."""

import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from mien.datasets.csv_cells import parse_integer
from mien.errors import DatasetError
from mien.faces.classes import (
    AFFECTNET_CLASSES,
    MISSING_VALUES,
    canonical_class,
    contained_classes,
    ordered_classes,
    similar_class,
)
from mien.runtime.regular_files import read_regular

# Pairs of a label and the class that it stands for.
LabelNames = tuple[tuple[str, str], ...]
AFFECTNET_NUMBERS: LabelNames = tuple((str(number), name) for number, name in enumerate(AFFECTNET_CLASSES))


def class_named(name: str) -> str:
    r"""Return the class that a name stands for: one of AffectNet's, or a new one.

    The new one has its accents in one form (NFC): names of folders from macOS have them in another, and look the same.

    Example:
        >>> class_named("joy"), class_named("mu\u0308de") == "m\u00fcde"
        ('Happy', True)
    """
    return canonical_class(name) or unicodedata.normalize("NFC", name)


def _number(start: int, *names: str) -> LabelNames:
    return tuple((str(number), class_named(name)) for number, name in enumerate(names, start))


# The numbers of sets in use, by the names that --label-names takes. Sources: FER2013's and FER+'s own lists; RAF-DB's
# read-me, as in list_patition_label.txt; ExpW's read-me; CK+'s read-me on the emotion labels; Aff-Wild2's names in the
# first line of its annotations.
KNOWN_NUMBERS: dict[str, LabelNames] = {
    "affectnet": AFFECTNET_NUMBERS,
    "fer2013": _number(0, "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    "ferplus": _number(0, "neutral", "happy", "surprise", "sad", "anger", "disgust", "fear", "contempt"),
    "rafdb": _number(1, "surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"),
    "expw": _number(0, "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    "ckplus": _number(0, "neutral", "anger", "contempt", "disgust", "fear", "happy", "sad", "surprise"),
    "affwild2": _number(
        0, "neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "Other"
    ),
}


def parse_label_names(text: str) -> LabelNames:
    """Parse the option that explains labels: ``1=Surprise,2=Fear,...``, or a key of `KNOWN_NUMBERS`.

    A label without ``=`` stands for itself.

    Raises:
        ValueError: a label or class is empty or still the placeholder ``NAME``, or a label is repeated.

    Example:
        >>> parse_label_names("1=surprised, 2=Fear,bored")
        (('1', 'Surprise'), ('2', 'Fear'), ('bored', 'bored'))
        >>> parse_label_names("RAF-DB")[0]
        ('1', 'Surprise')
    """
    known = KNOWN_NUMBERS.get(re.sub(r"[ _-]", "", text.lower().replace("+", "plus")))
    if known is not None:
        return known
    names: dict[str, str] = {}
    for item in text.split(","):
        written, equals, name = (part.strip() for part in item.partition("="))
        label, name = _normalize(written), name if equals else written
        if not label or name in ("", "NAME"):
            raise ValueError(
                f"must be like 1=Surprise,2=Fear or one of {', '.join(KNOWN_NUMBERS)}, got {text!r}"
            )
        if label in names:
            raise ValueError(f"names the label {written!r} twice in {text!r}")
        names[label] = class_named(name)
    return tuple(names.items())


# A file next to lists, as `--annotations` writes it: the name of class 0 in its first line, of class 1 in the next ...
CLASSES_FILE = "classes.txt"


def read_class_names(folder: Path, labels: Iterable[str]) -> LabelNames | None:
    """Return the classes that `CLASSES_FILE` gives to numbers; None if there is none, or it does not fit the labels.

    It fits if the labels are numbers of lines that are not blank, counted from 0, and 0 is among them.
    """
    try:
        text = read_regular(folder / CLASSES_FILE, max_bytes=100_000).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    names = {number: line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
    numbers = {parse_integer(label) for label in labels}
    if 0 not in numbers or not numbers <= names.keys():
        return None
    return tuple((str(number), class_named(name)) for number, name in names.items())


def map_labels(
    counts: Mapping[str, int], label_names: LabelNames | None, *, where: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the class of each label that has one, and notes on how the labels were understood.

    Without ``label_names``, words that mean one of AffectNet's classes map to it and other words are new classes; numbers
    among them, marks such as ``?`` and words for a missing value such as ``nan`` have no class. If most labels are numbers they must be explained, since every dataset numbers
    its classes differently.

    Args:
        counts: number of rows with each label as written, stripped of surrounding blanks.
        label_names: the class of each label; others have none.
        where: the list, for error messages.

    Raises:
        DatasetError: most labels are numbers, and ``label_names`` does not explain them, or they are not the set's that it
            names.

    Example:
        >>> map_labels({"happiness": 3, "bored": 2, "7": 1, "nan": 1, "?": 1}, None, where="a.csv")[0]
        {'happiness': 'Happy', 'bored': 'bored'}
        >>> map_labels({"1": 3, "2.0": 2}, (("1", "Surprise"), ("2", "Fear")), where="a.csv")[0]
        {'1': 'Surprise', '2.0': 'Fear'}
    """
    if label_names is None:
        numbers = [label for label in counts if parse_integer(label) is not None]
        if 2 * sum(counts[label] for label in numbers) > sum(counts.values()):
            _refuse_numbers(numbers, where=f"The labels of {where} are numbers")
        classes = {
            label: class_named(label)
            for label in counts
            if label not in numbers
            and re.search(r"\w", label)
            and (canonical_class(label) or label not in MISSING_VALUES)
        }
    else:
        _require_same_numbers(counts, label_names, where=where)
        classes = _explained(counts, label_names)
    notes = note_new_classes(classes)
    unclear = sorted(counts.keys() - classes.keys())
    if unclear:
        notes += (f"Labels without a class: {_listed(unclear)}.",)
    if "None" in classes and label_names is None:
        others = ",".join(label for label in classes if label != "None")
        notes += (
            (
                "The label 'None' is read as AffectNet's class NoneOfEight, none of the eight. If it means that the label is missing, "
                f"add --label-names {shlex.quote(others)}."
            ),
        )
    return classes, notes


def map_folders(folders: Iterable[str], label_names: LabelNames | None, *, where: str) -> dict[str, str]:
    """Return the class of each class folder that has one, as `map_labels` does for labels.

    Raises:
        DatasetError: a folder's name is a number, and ``label_names`` does not explain it, or the numbers are not those of the
            set that it names.
    """
    if label_names is not None:
        folders = list(folders)
        _require_same_numbers(folders, label_names, where=where)
        return _explained(folders, label_names)
    classes = {folder: class_named(folder) for folder in folders}
    numbers = [folder for folder in classes if parse_integer(folder) is not None]
    if numbers:
        _refuse_numbers(
            numbers, others=[name for name in classes if name not in numbers], where=f"{where} are numbers"
        )
    return classes


def _explained(labels: Iterable[str], label_names: LabelNames) -> dict[str, str]:
    """Return the class of each label that is explained, in another case if not as it is written."""
    named = {label.lower(): name for label, name in label_names} | dict(label_names)
    found = ((label, named.get(_normalize(label), named.get(_normalize(label).lower()))) for label in labels)
    return {label: name for label, name in found if name is not None}


def _require_same_numbers(labels: Iterable[str], label_names: LabelNames, *, where: str) -> None:
    """Refuse numbers that a set's numbering lacks if it has others instead: loaders often count a set's classes from 0.

    Raises:
        DatasetError: they are others.
    """
    names = [name for name, numbered in KNOWN_NUMBERS.items() if numbered == label_names]
    numbers = {number for label in labels if (number := parse_integer(label)) is not None and number >= 0}
    numbered = {int(number) for number, _ in label_names if number.isdecimal()}
    if names and numbers - numbered and numbered - numbers:
        raise DatasetError(
            f"The labels of {where} are {_range(numbers)}, and those of {' and '.join(names)} are {_range(numbered)}: explain each "
            f"with --label-names {','.join(f'{number}=NAME' for number in sorted(numbers)[:12])}"
        )


def _range(numbers: set[int]) -> str:
    listed = sorted(numbers)
    if len(listed) > 2 and listed == list(range(listed[0], listed[-1] + 1)):
        return f"the numbers {listed[0]} to {listed[-1]}"
    return f"the numbers {', '.join(map(str, listed[:12]))}"


def _refuse_numbers(labels: Iterable[str], *, where: str, others: Iterable[str] = ()) -> None:
    """Refuse numbers as class names, pointing to the option that explains them.

    Raises:
        DatasetError: there is a nonnegative number among the labels.
    """
    found = (parse_integer(label) for label in labels)
    numbers = sorted({number for number in found if number is not None and number >= 0})
    if not numbers:
        return
    example = ",".join([*(f"{number}=NAME" for number in numbers[:12]), *others])
    # Sets that number alike are shown together.
    fitting: dict[str, list[str]] = {}
    for name, numbered in KNOWN_NUMBERS.items():
        meaning = dict(numbered)
        if not others and all(str(number) in meaning for number in numbers):
            shown = ", ".join(f"{number} {meaning[str(number)]}" for number in numbers)
            fitting.setdefault(shown, []).append(name)
    choices = [f"--label-names {' or '.join(names)} ({shown})" for shown, names in fitting.items()]
    if choices:
        raise DatasetError(
            f"{where}, and every dataset numbers its classes differently. Add the one that is right: {'; '.join(choices)}; or "
            f"--label-names {example}"
        )
    raise DatasetError(
        f"{where}, and every dataset numbers its classes differently: explain them with "
        f"--label-names {example}{',...' if len(numbers) > 12 else ''}"
    )


def note_new_classes(label_classes: Mapping[str, str]) -> tuple[str, ...]:
    """Return notes on classes that AffectNet does not have, and on labels that are one only without their number.

    Args:
        label_classes: the class of each label or folder.
    """
    own = sorted(set(label_classes.values()).difference(AFFECTNET_CLASSES))
    numbered = [
        label
        for label, name in label_classes.items()
        if name in AFFECTNET_CLASSES and label[:1].isdecimal() and parse_integer(label) is None
    ]
    notes: tuple[str, ...] = ()
    if numbered:
        notes = (f"Numbers in front of names are not read: {_listed(sorted(numbered))}.",)
    if not own:
        return notes
    similar = {name: found for name in own if (found := similar_class(name)) is not None}
    spelled: dict[str, str] = {}
    for name in own:
        same = spelled.setdefault(re.sub(r"[\W_]+", " ", name.casefold()).strip(), name)
        similar |= {name: same} if same != name else {}
    hint = ""
    if several := [name for name in own if len(contained_classes(name)) > 1]:
        notes += (
            f"Names of several classes become classes: {_listed(several)}. Write one label per row, or a column of votes per class.",
        )
    if similar:
        named = ",".join(
            f"{label}={similar.get(name, name)}" for label, name in sorted(label_classes.items())
        )
        meant = ", ".join(f"{name!r} means {found}" for name, found in list(similar.items())[:8])
        hint = f" If {meant}, add --label-names {shlex.quote(named)}."
    return (*notes, f"New classes, which AffectNet does not have: {_listed(own)}.{hint}")


def _normalize(label: str) -> str:
    """Return a label in the form in which options name it: an integer without decimals, accents in one form."""
    number = parse_integer(label)
    return unicodedata.normalize("NFC", label.strip()) if number is None else str(number)


def _listed(labels: list[str]) -> str:
    return ", ".join(repr(label[:40]) for label in labels[:8]) + (", ..." if len(labels) > 8 else "")


def order_classes(classes: set[str]) -> tuple[str, ...]:
    """Return classes in AffectNet's order and others alphabetically; or in numerical order if all are numbers.

    Example:
        >>> order_classes({"10", "9", "11"})
        ('9', '10', '11')
    """
    if all(name.isdecimal() for name in classes):
        return tuple(sorted(classes, key=int))
    return ordered_classes(classes)
