"""Lists of faces in JSON: a record for each face, read as a row of text.

- JSON Lines, an object on each line, or a list of objects;
- an object with an image's path as each key, and its label or an object as the value;
- COCO's ``images``, ``annotations`` and ``categories`` (https://cocodataset.org/#format-data): a record for each annotation.

Objects in a record are flattened. A list of objects in it, or an object of equally long lists as in the object detection
sets of the Hugging Face Hub, becomes a record for each item.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.datasets.csv_files import MAX_LINE_CHARACTERS
from mien.datasets.list_table import ListTable
from mien.errors import DatasetError
from mien.runtime.json_text import parse_json
from mien.runtime.regular_files import open_regular, read_regular

LINES_SUFFIXES = (".jsonl", ".ndjson")
RECORD_SUFFIXES = (".json", *LINES_SUFFIXES)
MAX_JSON_BYTES = 1 << 30
MAX_COLUMNS = 2000
COCO_BOX = ("bbox_x", "bbox_y", "bbox_width", "bbox_height")


@dataclass(frozen=True, slots=True)
class RecordTable(ListTable):
    """A JSON file as a table. Its columns are the keys of all records."""

    def cells(self) -> Iterator[tuple[int, list[str] | str]]:
        """Yield the 1-based number of each record and its values as text, empty where it lacks a key."""
        for number, record in enumerate(read_records(self.path), start=1):
            yield number, [record.get(name, "") for name in self.header]


def open_records(path: Path) -> RecordTable:
    """Return a JSON file as a table, none of whose columns is read yet.

    Raises:
        DatasetError: it cannot be read, or holds no records.
    """
    names: dict[str, None] = {}
    for record in read_records(path):
        names |= dict.fromkeys(record)
        if len(names) > MAX_COLUMNS:
            raise DatasetError(f"`{path}` must hold records with the same keys, it has over {MAX_COLUMNS:,}")
    if not names:
        raise DatasetError(f"`{path}` holds no records, expected a list of images: copy it again")
    return RecordTable(path=path, columns={}, width=len(names), header=tuple(names))


def read_records(path: Path) -> Iterator[dict[str, str]]:
    """Yield the records of a JSON file, all values as text.

    Raises:
        DatasetError: it cannot be read, or is of another form.
    """
    number = 0
    try:
        if path.suffix.lower() in LINES_SUFFIXES:
            with open_regular(path) as file:
                while line := file.readline(MAX_LINE_CHARACTERS):
                    number += 1
                    if line.strip():
                        yield from _flatten(parse_json(line))
        else:
            content = parse_json(read_regular(path, max_bytes=MAX_JSON_BYTES))
            for record in _find_records(content):
                number += 1
                yield from _flatten(record)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        where = (
            f", {'line' if path.suffix.lower() in LINES_SUFFIXES else 'record'} {number}" if number else ""
        )
        reason = f"{error} is missing" if isinstance(error, KeyError) else getattr(error, "strerror", error)
        raise DatasetError(
            f'`{path}` must hold records like {{"path": "0001.jpg", "label": "happy"}}, or COCO\'s{where}: {reason}'
        ) from None


def _find_records(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSON text; those of COCO with a path, a label and the numbers of the box."""
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        labels = {category["id"]: category["name"] for category in content.get("categories", ())}
        names = {image["id"]: image["file_name"] for image in content["images"]}
        annotated = set()
        for annotation in content["annotations"]:
            number = annotation["category_id"]
            annotated.add(annotation["image_id"])
            record = {"file_name": names[annotation["image_id"]], "label": labels.get(number, number)}
            record |= dict(zip(COCO_BOX, annotation.get("bbox") or (), strict=False))
            # CVAT's, among which the expression may be, of a category `face`.
            attributes = annotation.get("attributes")
            yield record | ({"attributes": attributes} if isinstance(attributes, dict) else {})
        yield from ({"file_name": name, "label": ""} for key, name in names.items() if key not in annotated)
        return
    if isinstance(content, dict):
        lists = [
            value
            for value in content.values()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        faces = [
            {"path": path} | (value if isinstance(value, dict) else {"label": value})
            for path, value in content.items()
        ]
        content = lists[0] if len(lists) == 1 else faces
    if not isinstance(content, list):
        raise TypeError(f"it holds {type(content).__name__}")
    yield from content


def _flatten(record: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield a record without objects in it, once for each item of a list of objects."""
    plain: dict[str, Any] = {}
    items: list[dict[str, Any]] = [{}]
    for name, value in record.items():
        inner: Any = value
        if isinstance(value, dict):
            lengths = {len(part) if isinstance(part, list) else -1 for part in value.values()}
            if len(lengths) == 1 and lengths != {-1}:
                inner = [dict(zip(value, parts, strict=True)) for parts in zip(*value.values(), strict=True)]
        if isinstance(inner, dict):
            plain |= {key if key not in record else f"{name}.{key}": part for key, part in inner.items()}
        elif isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
            items = [
                outer | {key if key not in record else f"{name}.{key}": part for key, part in item.items()}
                for outer in items
                for item in inner
            ]
        else:
            plain[name] = inner
    for item in items:
        yield {name: _write(value) for name, value in (plain | item).items()}


def _write(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0].strip()  # the choice among several that is the only one, as Label Studio writes it
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value).strip()
