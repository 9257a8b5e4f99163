"""The persons and clips of a list: who is in which split, and how the names of clips are understood."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.datasets.csv_files import CsvFile
from mien.datasets.listed import note_val_persons
from mien.datasets.splits import PersonAndClip, choose_val_persons
from mien.formats.pack.grouping import connect

PERSON, CLIP = "person", "clip"
PERSON_SPELLINGS = {
    PERSON: ("person", "subject", "identity", "person_id", "subject_id"),
    CLIP: ("clip", "video", "clip_id", "video_id"),
}


@dataclass(frozen=True, slots=True)
class ListedPersons:
    """How the persons and clips of a list are read. Picklable.

    Attributes:
        has_own_clips: clips are numbered again for each person.
        val: the persons and clips that are assigned to ``val`` in a list without splits.
        notes: sentences for the summary.
    """

    has_own_clips: bool = False
    val: frozenset[PersonAndClip] = frozenset()
    notes: tuple[str, ...] = ()

    def names(self, fields: dict[str, str]) -> PersonAndClip:
        """Return the person and the clip of a row, each empty if the row names none."""
        person, clip = fields.get(PERSON, "").strip(), fields.get(CLIP, "").strip()
        return person, f"{person}/{clip}" if self.has_own_clips and person and clip else clip


def read_persons(tables: Sequence[CsvFile], *, has_splits: bool, val_fraction: float) -> ListedPersons:
    """Read the persons and clips of all rows, and draw ``val`` if the lists have no splits.

    If the names of clips would connect all persons, as when everybody has a clip ``1``, clips are taken to be numbered
    again for each person.

    Args:
        tables: the lists.
        has_splits: rows or lists state their split.
        val_fraction: fraction of faces assigned to ``val`` otherwise.
    """
    columns = {name: table.header[index] if table.header else str(index + 1)
               for table in tables for name, index in table.columns.items() if name in PERSON_SPELLINGS}  # fmt: skip
    if not columns:
        return ListedPersons()

    def count(persons: ListedPersons) -> Counter[PersonAndClip]:
        counts = Counter(persons.names(fields) for table in tables for _, fields in table.rows())
        del counts["", ""]
        return counts

    persons = ListedPersons()
    counts = count(persons)
    groups = connect([name or None for name, _ in counts], [clip or None for _, clip in counts])
    if len({name for name, _ in counts} - {""}) > 1 and len(np.unique(groups)) == 1:
        persons = replace(persons, has_own_clips=True)
        counts = count(persons)
    notes = [
        f"The {name}s are in the column `{columns[name]}`: {len({names[position] for names in counts} - {''}):,}."
        for position, name in enumerate(PERSON_SPELLINGS)
        if name in columns
    ]
    if persons.has_own_clips:
        notes.append(
            "The names of the clips would connect all persons: clips are taken to be numbered for each person."
        )
    val = frozenset[PersonAndClip]() if has_splits else choose_val_persons(counts, val_fraction)
    if counts and not has_splits:
        notes.append(note_val_persons(counts, val))
    return replace(persons, val=val, notes=tuple(notes))
