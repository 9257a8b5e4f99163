"""What the labels of a list, and the names of class folders, stand for."""

from collections.abc import Iterable, Mapping

from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES, canonical_class, ordered_classes
from mien.sources.cells import parse_whole_number

# The class that each label stands for, as a person says it.
LabelNames = tuple[tuple[str, str], ...]
AFFECTNET_NUMBERS: LabelNames = tuple((str(number), name) for number, name in enumerate(AFFECTNET_CLASSES))


def parse_label_names(text: str) -> LabelNames:
    """Read what a person says of labels: ``1=Surprise,2=Fear,...``, or ``affectnet`` for AffectNet's numbers.

    A label without ``=`` stands for itself.

    Raises:
        ValueError: a label or class is empty or still the ``NAME`` of an example, or a label stands there twice.

    Example:
        >>> parse_label_names("1=surprised, 2=Fear,bored")
        (('1', 'Surprise'), ('2', 'Fear'), ('bored', 'bored'))
    """
    if text.strip().lower() == "affectnet":
        return AFFECTNET_NUMBERS
    names: dict[str, str] = {}
    for item in text.split(","):
        written, equals, name = (part.strip() for part in item.partition("="))
        label, name = _as_compared(written), name if equals else written
        if not label or name in ("", "NAME"):
            raise ValueError(f"must be like 1=Surprise,2=Fear or affectnet, got {text!r}")
        if label in names:
            raise ValueError(f"names the label {written!r} twice in {text!r}")
        names[label] = canonical_class(name) or name
    return tuple(names.items())


def name_labels(
    counts: Mapping[str, int], label_names: LabelNames | None, *, where: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the class of each label that has one, and notes on how they were understood.

    Without ``label_names``, labels of words are AffectNet's classes where they stand for one of them, else classes of
    their own, and numbers among them have no class. Labels of numbers alone say nothing: sets number their classes
    differently.

    Args:
        counts: how many rows have each label as written, without blanks around it.
        label_names: the class of each label; what it does not name has none.
        where: the list, for messages.

    Raises:
        DatasetError: most labels are numbers, and nobody says what they stand for.

    Example:
        >>> name_labels({"happiness": 3, "bored": 2, "7": 1}, None, where="a.csv")[0]
        {'happiness': 'Happy', 'bored': 'bored'}
        >>> name_labels({"1": 3, "2.0": 2}, (("1", "Surprise"), ("2", "Fear")), where="a.csv")[0]
        {'1': 'Surprise', '2.0': 'Fear'}
    """
    if label_names is None:
        numbers = [label for label in counts if parse_whole_number(label) is not None]
        if 2 * sum(counts[label] for label in numbers) > sum(counts.values()):
            refuse_numbers(numbers, where=f"The labels of {where} are numbers")
        classes = {label: canonical_class(label) or label for label in counts if label not in numbers}
    else:
        named = dict(label_names)
        classes = {label: named[_as_compared(label)] for label in counts if _as_compared(label) in named}
    notes = note_own_classes(classes.values())
    unclear = sorted(counts.keys() - classes.keys())
    if unclear:
        notes += (f"Labels that stand for no class: {_listed(unclear)}.",)
    return classes, notes


def name_folders(folders: Iterable[str], label_names: LabelNames | None, *, where: str) -> dict[str, str]:
    """Return the class of each class folder that has one, as `name_labels` does for labels.

    Raises:
        DatasetError: a folder is called by a number, and nobody says what it stands for.
    """
    if label_names is not None:
        named = dict(label_names)
        return {folder: named[_as_compared(folder)] for folder in folders if _as_compared(folder) in named}
    classes = {folder: canonical_class(folder) or folder for folder in folders}
    numbers = [folder for folder in classes if parse_whole_number(folder) is not None]
    if numbers:
        refuse_numbers(
            numbers, others=[name for name in classes if name not in numbers], where=f"{where} are numbers"
        )
    return classes


def refuse_numbers(labels: Iterable[str], *, where: str, others: Iterable[str] = ()) -> None:
    """Refuse numbers that stand for classes, with the option that says what they mean.

    Raises:
        DatasetError: there is a number from 0 on among the labels.
    """
    found = (parse_whole_number(label) for label in labels)
    numbers = sorted({number for number in found if number is not None and number >= 0})
    if not numbers:
        return
    wanted = ",".join([*(f"{number}=NAME" for number in numbers[:12]), *others])
    affectnet = (
        " (or --label-names affectnet, where 0 is Neutral, 1 Happy, 2 Sad, 3 Surprise, 4 Fear, 5 Disgust, 6 Anger "
        "and 7 Contempt)"
        if numbers[-1] < len(AFFECTNET_CLASSES) and not others
        else ""
    )
    raise DatasetError(
        f"{where}, and every set numbers its classes in another order: say what they stand for with "
        f"--label-names {wanted}{',...' if len(numbers) > 12 else ''}{affectnet}"
    )


def note_own_classes(classes: Iterable[str]) -> tuple[str, ...]:
    """Return the note on classes that AffectNet does not have, in no sentence where it has all."""
    own = sorted(set(classes).difference(AFFECTNET_CLASSES))
    return (f"Classes of their own, which AffectNet does not have: {_listed(own)}.",) if own else ()


def _as_compared(label: str) -> str:
    number = parse_whole_number(label)
    return label.strip() if number is None else str(number)


def _listed(labels: list[str]) -> str:
    return ", ".join(repr(label[:40]) for label in labels[:8]) + (", ..." if len(labels) > 8 else "")


def order_label_classes(classes: set[str]) -> tuple[str, ...]:
    """Return classes in AffectNet's order; numbers by size, other names by alphabet.

    Example:
        >>> order_label_classes({"10", "9", "11"})
        ('9', '10', '11')
    """
    if all(name.isdecimal() for name in classes):
        return tuple(sorted(classes, key=int))
    return ordered_classes(classes)
