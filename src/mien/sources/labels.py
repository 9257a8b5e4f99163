"""What the labels of a list stand for, judged from all of them."""

from collections.abc import Mapping

from mien.faces.classes import AFFECTNET_CLASSES, canonical_class, ordered_classes
from mien.sources.cells import parse_whole_number


def name_labels(counts: Mapping[str, int]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the class of each label that has one, and notes on how they were understood.

    Labels are numbers or names, whichever more rows have; the others have no class, nor have numbers below 0.
    Numbers are AffectNet's where none is above 10, else each is a class named by itself. Names are AffectNet's
    where they stand for one of its classes, else they are classes of their own.

    Args:
        counts: how many rows have each label as written, without blanks around it.

    Example:
        >>> name_labels({"happiness": 3, "bored": 2, "7": 1})[0]
        {'happiness': 'Happy', 'bored': 'bored'}
        >>> name_labels({"0": 3, "7": 2, "?": 1})[0]
        {'0': 'Neutral', '7': 'Contempt'}
    """
    numbers = {label: number for label in counts if (number := parse_whole_number(label)) is not None}
    notes = []
    if 2 * sum(counts[label] for label in numbers) > sum(counts.values()):
        numbers = {label: number for label, number in numbers.items() if number >= 0}
        if max(numbers.values(), default=0) < len(AFFECTNET_CLASSES):
            classes = {label: AFFECTNET_CLASSES[number] for label, number in numbers.items()}
            used = sorted(set(numbers.values()))
            meanings = ", ".join(f"{number} {AFFECTNET_CLASSES[number]}" for number in used)
            notes.append(f"The labels are numbers, taken for AffectNet's: {meanings}.")
        else:
            classes = {label: str(number) for label, number in numbers.items()}
            notes.append("The labels are numbers, some above AffectNet's 10: each is a class of its own.")
    else:
        classes = {label: canonical_class(label) or label for label in counts if label not in numbers}
    unclear = sorted(counts.keys() - classes.keys())
    if unclear:
        shown = ", ".join(repr(label[:40]) for label in unclear[:5]) + (", ..." if len(unclear) > 5 else "")
        notes.append(f"Labels that stand for no class, unlike the others of the list: {shown}.")
    return classes, tuple(notes)


def order_label_classes(classes: set[str]) -> tuple[str, ...]:
    """Return classes in AffectNet's order; numbers by size, other names by alphabet.

    Example:
        >>> order_label_classes({"10", "9", "11"})
        ('9', '10', '11')
    """
    if all(name.isdecimal() for name in classes):
        return tuple(sorted(classes, key=int))
    return ordered_classes(classes)
