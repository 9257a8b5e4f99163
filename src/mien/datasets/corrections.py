"""Corrections of a dataset's labels, from a CSV file next to it: the raw dataset itself is never modified.

The columns are ``key`` (the image as the set's list names it, as in rejects.csv and in the pack), ``label`` (a class of
the set, or ``drop``), ``why``, and, if a key alone is not unique, ``split`` and ``row``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow, WrappedDataset
from mien.datasets.csv_files import PROBLEM, open_csv_file
from mien.datasets.labels import class_named
from mien.errors import DatasetError

DROP = "drop"
DROPPED = "dropped_by_correction"
RELABELED = "label_corrected"
_COLUMNS = {
    "key": ("key", "path"),
    "label": ("label",),
    "split": ("split",),
    "row": ("row",),
    "why": ("why",),
}
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class CorrectedDataset(WrappedDataset):
    """A dataset whose rows are corrected as they are parsed.

    Attributes:
        labels: the class of each corrected row, or `DROP`, by split, key and row number.
        why: the reason given for each.
    """

    labels: dict[tuple[str, str, int], str]
    why: dict[tuple[str, str, int], str]

    @property
    def notes(self) -> tuple[str, ...]:
        """See `FaceDataset`."""
        n_dropped = sum(label == DROP for label in self.labels.values())
        return (
            *self.dataset.notes,
            f"Corrections: {len(self.labels) - n_dropped:,} labels replaced, {n_dropped:,} rows dropped.",
        )

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row as a record, with the corrected label and then without votes; see `FaceDataset`."""
        place = (row.split, row.key, row.number)
        label = self.labels.get(place)
        if label == DROP:
            raise RejectedRow(DROPPED, self.why[place] or "no reason given")
        record = self.dataset.parse(row)
        if label is None:
            return record
        number = self.classes.index(label)
        return replace(record, label=number, distribution=None, warnings=(*record.warnings, RELABELED))


def open_corrected(dataset: FaceDataset, path: Path) -> CorrectedDataset:
    """Return a dataset with the corrections of a CSV file.

    Raises:
        DatasetError: the file cannot be read, corrects a row twice or one that the set does not have, names a row
            ambiguously, or gives a class that the set does not have.
    """
    listed = open_csv_file(path, _COLUMNS, required=("key", "label"))
    wanted: dict[str, list[dict[str, str]]] = {}
    for number, fields in listed.rows():
        if PROBLEM in fields:
            raise DatasetError(f"`{path}`, row {number}: {fields[PROBLEM]}. Correct it")
        fields["number"] = str(number)
        wanted.setdefault(fields["key"], []).append(fields)
    found: dict[str, list[RawRow]] = {key: [] for key in wanted}
    for row in dataset.rows():
        if row.key in found:
            found[row.key].append(row)
    labels: dict[tuple[str, str, int], str] = {}
    why: dict[tuple[str, str, int], str] = {}
    unknown = []
    for key, corrections in wanted.items():
        for fields in corrections:
            where = f"`{path}`, row {fields['number']}"
            rows = [row for row in found[key] if _names(fields, row)]
            if not rows:
                unknown.append(key)
                continue
            if len(rows) > 1:
                places = ", ".join(f"{row.split} row {row.number}" for row in rows[:_SHOWN])
                raise DatasetError(
                    f"{where}: {key!r} is in {places}. Name one of them in columns `split` and `row`"
                )
            place = (rows[0].split, key, rows[0].number)
            if place in labels:
                raise DatasetError(f"{where} corrects {key!r} a second time. Remove one of the two rows")
            labels[place] = _parse_label(fields["label"], dataset.classes, where)
            why[place] = fields.get("why", "").strip()
    if unknown:
        # The same path with other slashes, or with folders before it, is the usual mistake.
        first = unknown[0].replace("\\", "/")
        similar = next(
            (row.key for row in dataset.rows() if first.endswith(f"/{row.key}") or row.key == first), None
        )
        hint = (
            f", such as {similar!r} in place of {unknown[0]!r}" if similar not in (None, unknown[0]) else ""
        )
        raise DatasetError(
            f"`{path}` corrects {len(unknown):,} rows that the set does not have: {_list(unknown)}. Write keys, splits and "
            f"row numbers as the set's list does{hint}"
        )
    if not labels:
        raise DatasetError(f"`{path}` has no row. Leave --corrections out, or add what is to be corrected")
    return CorrectedDataset(dataset, labels, why)


def require_applied(dataset: CorrectedDataset, rejects: Iterable[dict[str, str]]) -> None:
    """Refuse labels for rows that were rejected.

    Args:
        dataset: the corrected dataset.
        rejects: the rows of rejects.csv.

    Raises:
        DatasetError: a corrected row was rejected, so that its new label is in no pack.
    """
    unused = [
        f"{reject['path']} ({reject['reason']})"
        for reject in rejects
        if dataset.labels.get((reject["split"], reject["path"], int(reject["row"])), DROP) != DROP
    ]
    if unused:
        raise DatasetError(
            f"{len(unused):,} corrected labels are of rows that were rejected: {_list(unused)}. Repair these rows, or remove "
            "them from --corrections, and add --force"
        )


def _names(fields: dict[str, str], row: RawRow) -> bool:
    """Return whether a correction's split and row number, if it gives them, are those of a row."""
    split, number = fields.get("split", "").strip(), fields.get("row", "").strip()
    return split in ("", row.split) and number in ("", str(row.number))


def _parse_label(text: str, classes: tuple[str, ...], where: str) -> str:
    label = text.strip()
    if label.lower() == DROP and DROP not in classes:
        return DROP
    for name in (label, class_named(label)):
        if name in classes:
            return name
    raise DatasetError(
        f"{where}: `label` must be `{DROP}` or one of the set's classes, {', '.join(classes)}; got {text!r}"
    )


def _list(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
