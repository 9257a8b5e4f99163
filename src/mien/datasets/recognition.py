"""Which kind of dataset a path holds, by the recognizers of the registry; and what it holds if it is none of them."""

import os
import pkgutil
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mien.datasets.files import list_names, printable, quote_names
from mien.datasets.registry import DATASETS, DatasetOptions
from mien.errors import DatasetError
from mien.faces.images import IMAGE_SUFFIXES

# A description of what is not recognized looks at this many files.
MAX_FILES = 5000
ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


class Candidate(NamedTuple):
    """A kind of dataset that a path may be.

    Attributes:
        kind: a key of `DATASETS`.
        reason: why, to follow "because".
    """

    kind: str
    reason: str


def recognize(raw: Path) -> list[Candidate]:
    """Return the kinds of dataset that a path may be; the generic ones only if it is none of the others."""
    found: list[Candidate] = []
    for name, kind in DATASETS.items():
        if not raw.is_dir() and not kind.may_be_file:
            continue
        reason: str | None = None
        if kind.recognizer:
            reason = pkgutil.resolve_name(kind.recognizer)(raw)
        else:
            with suppress(DatasetError):
                kind.open(raw, DatasetOptions())
                reason = f"it holds {kind.layout}"
        if reason is not None:
            found.append(Candidate(name, reason))
    return [candidate for candidate in found if not DATASETS[candidate.kind].is_generic] or found


def describe_unrecognized(raw: Path) -> str:
    """Return sentences on what a path holds that no kind recognizes, and what to do with it."""
    if not raw.is_dir():
        if raw.suffix.lower() in ARCHIVE_SUFFIXES:
            return "it is an archive: unpack it, and give the folder"
        return "it is a file that is no list of images: give the folder of the set"
    names = list_names(raw)
    folders = [name for name in names if (raw / name).is_dir()]
    inner = [raw / name for name in folders[:20]]
    while len(inner) == 1 and not recognize(inner[0]):
        inner = [path for name in list_names(inner[0]) if (path := inner[0] / name).is_dir()]
    inner = [path for path in inner if recognize(path)]
    if len(inner) == 1:
        return f"`{printable(str(inner[0].relative_to(raw)))}` in it may be one: give `{inner[0]}`"
    if {"images", "labels"} <= {*folders} or any(
        {"images", "labels"} <= {*list_names(raw / name)} for name in folders
    ):
        return "`images` next to `labels` is YOLO's layout, but it cannot be opened as such: `mien prepare yolo` says why"
    files = (Path(name) for _, _, found in os.walk(raw) for name in found if not name.startswith("."))
    suffixes = Counter(file.suffix.lower() or "(no suffix)" for file in islice(files, MAX_FILES))
    held = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(6)) or "no file"
    advice = "write a CSV with the columns path and label for `mien prepare csv`"
    if any(suffix in suffixes for suffix in ARCHIVE_SUFFIXES):
        advice = "unpack the archives"
    elif not IMAGE_SUFFIXES.intersection(suffixes):
        advice = "give the folder that holds the images and their labels"
    return f"it holds {held} in {quote_names([printable(name) for name in names], limit=5) or 'no folder'}: {advice}"
