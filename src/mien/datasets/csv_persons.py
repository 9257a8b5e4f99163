"""The persons and clips of a list: faces that stay on one side of a split that is drawn here."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mien.datasets.csv_columns import CLIP, PERSON
from mien.datasets.csv_files import CsvFile
from mien.datasets.listed import note_val_persons
from mien.datasets.splits import PersonAndClip, choose_val_persons
from mien.formats.pack.grouping import connect


def read_names(fields: dict[str, str], *, clips_of_persons: bool) -> PersonAndClip:
    """Return the person and the clip of a row; empty if it has none.

    Args:
        fields: the row's cells.
        clips_of_persons: clips are numbered within each person.
    """
    person, clip = fields.get(PERSON, "").strip(), fields.get(CLIP, "").strip()
    return person, f"{person}/{clip}" if clips_of_persons and person and clip else clip


def _count_persons(tables: Sequence[CsvFile]) -> tuple[Counter[PersonAndClip], bool]:
    """Count the rows of each person and clip, and return whether clips are numbered within each person.

    They are if the names of clips would connect all persons.
    """
    if PERSON not in tables[0].columns and CLIP not in tables[0].columns:
        return Counter(), False
    counts: Counter[PersonAndClip] = Counter()
    for clips_of_persons in (False, True):
        counts = Counter(
            read_names(fields, clips_of_persons=clips_of_persons)
            for table in tables
            for _, fields in table.rows()
        )
        del counts["", ""]
        groups = connect([name or None for name, _ in counts], [clip or None for _, clip in counts])
        if clips_of_persons or len({name for name, _ in counts} - {""}) <= 1 or len(np.unique(groups)) != 1:
            break
    return counts, clips_of_persons


class PersonSplit(NamedTuple):
    """How the persons and clips of a list are split.

    Attributes:
        val: those assigned to ``val``; none if the list has splits.
        clips_of_persons: clips are numbered within each person.
        notes: sentences on both.
    """

    val: frozenset[PersonAndClip]
    clips_of_persons: bool
    notes: tuple[str, ...]


def split_persons(tables: Sequence[CsvFile], val_fraction: float, *, has_splits: bool) -> PersonSplit:
    """Return the persons and clips of a list that are assigned to ``val``, so that none is on both sides."""
    persons, clips_of_persons = _count_persons(tables)
    val = frozenset[PersonAndClip]() if has_splits else choose_val_persons(persons, val_fraction)
    table, notes = tables[0], []
    columns = table.header or tuple(str(number) for number in range(1, table.width + 1))
    for name, plural, position in ((PERSON, "persons", 0), (CLIP, "clips", 1)):
        if name in table.columns:
            count = len({names[position] for names in persons} - {""})
            notes.append(f"The {plural} are in the column `{columns[table.columns[name]]}`: {count:,}.")
    if clips_of_persons:
        notes.append(
            "The names of the clips would connect all persons: clips are taken to be numbered for each person."
        )
    if persons and not has_splits:
        notes.append(note_val_persons(persons, val))
    return PersonSplit(val, clips_of_persons, tuple(notes))
