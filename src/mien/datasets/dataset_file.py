"""A YAML file that says what a raw dataset is and how it is read, or several of them that are merged into one pack.

It can live anywhere; paths in it are relative to its folder. The keys are ``kind``, ``raw`` and the options of the kind: a
flag without dashes, with underscores. The options of columns and of lists are under ``columns`` and ``lists``::

    kind: csv
    raw: ../faces
    label_names: {1: Surprise, 2: Fear}     # or the name of known numbers, such as rafdb
    columns: {path: file, label: emotion, box: [left, top, right, bottom]}
    lists: {train: train.txt, val: val.txt}

With several sets these are items of ``sources``, each with a ``name`` that begins the keys of its rows; classes are matched
by name. ``crop`` next to ``sources`` is the default crop if theirs differ.
"""

import difflib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from mien.datasets.base import CroppedDataset, FaceDataset, FaceRecord, RawRow, annotations_of
from mien.datasets.labels import order_classes
from mien.datasets.registry import DATASETS, DatasetOptions, open_dataset
from mien.errors import DatasetError
from mien.faces.crop_options import CropMethod
from mien.formats.pack.schema import NO_LABEL
from mien.runtime.options import option_flag
from mien.runtime.yaml_text import read_yaml
from mien.tasks import Annotations, align_columns, merge_annotations

# The field of a merged row that says which source it is from.
SOURCE = "source"


class Source(NamedTuple):
    """A dataset of a file, with its name there; None if it is the only one."""

    name: str | None
    kind: str
    raw: Path
    dataset: FaceDataset
    options: DatasetOptions


@dataclass(frozen=True, slots=True)
class MergedDataset:
    """Several datasets. A row's key, person and clip are those that its source names, after the source's name and ``/``.

    Attributes:
        sources: the sets.
        names: their names.
        classes: the classes of all sets.
        natural_crop: that of all of them.
        notes: see `FaceDataset`; each begins with the name of its source.
        annotations: the columns of optional tasks, over all sets.
    """

    sources: tuple[FaceDataset, ...]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    natural_crop: CropMethod
    notes: tuple[str, ...]
    annotations: Annotations

    @property
    def name(self) -> str:
        """The kinds of the sources."""
        return "+".join(dict.fromkeys(source.name for source in self.sources))

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of one source after the other."""
        for index, (name, source) in enumerate(zip(self.names, self.sources, strict=True)):
            for row in source.rows():
                yield row._replace(key=f"{name}/{row.key}", fields={**row.fields, SOURCE: str(index)})

    def class_of(self, row: RawRow) -> str:
        """Return the class that the row's source gives it."""
        source, inner = self._in_source(row)
        return source.class_of(inner)

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the record of the row's source, with its label and votes in the merged classes."""
        source, inner = self._in_source(row)
        record, name = source.parse(inner), self.names[int(row.fields[SOURCE])]
        places = {index: self.classes.index(name) for index, name in enumerate(source.classes)}
        places[NO_LABEL] = NO_LABEL
        distribution = record.distribution
        if distribution is not None:
            merged = [0.0] * len(self.classes)
            for index, fraction in enumerate(distribution):
                merged[places[index]] = fraction
            distribution = tuple(merged)
        annotations = {
            task: align_columns(task, values[None], annotations_of(source), self.annotations)[0]
            for task, values in record.annotations.items()
        }
        return replace(
            record,
            label=places[record.label],
            distribution=distribution,
            annotations=annotations,
            person=f"{name}/{record.person}" if record.person else None,
            clip=f"{name}/{record.clip}" if record.clip else None,
        )

    def _in_source(self, row: RawRow) -> tuple[FaceDataset, RawRow]:
        """Return the source of a row, and the row as the source has it."""
        index = int(row.fields[SOURCE])
        fields_there = {name: value for name, value in row.fields.items() if name != SOURCE}
        return self.sources[index], row._replace(
            key=row.key[len(self.names[index]) + 1 :], fields=fields_there
        )


def recognize_dataset_file(raw: Path) -> str | None:
    """Return why a file describes datasets, or None; see `DatasetKind`."""
    if raw.suffix.lower() not in (".yaml", ".yml"):
        return None
    keys = read_yaml(raw, what="The dataset file", error=DatasetError).keys()
    return "it is a YAML file that names a kind of dataset" if {"kind", "sources"} & keys else None


def open_dataset_file(raw: Path) -> FaceDataset:
    """Open the dataset that a YAML file describes; the module says how.

    Raises:
        DatasetError: the file has an unknown key or a value that does not fit, or a set cannot be opened.
    """
    if not raw.is_file():
        raise DatasetError(f"`{raw}` must be {DATASETS['yaml'].layout}: give the file")
    opened, crop = open_sources(raw)
    if opened[0].name is None:
        return opened[0].dataset
    names = tuple(str(source.name) for source in opened)
    for name in names:
        if names.count(name) > 1 or not name or "/" in name:
            raise DatasetError(
                f"`{raw}`: sources need different names without a slash, {name!r} is none: add `name`"
            )
    for name, source in zip(names, opened, strict=True):
        if isinstance(source.dataset, CroppedDataset):
            raise DatasetError(
                f"`{raw}`: {name} holds finished crops, which are not merged: train on both packs instead"
            )
    datasets = tuple(source.dataset for source in opened)
    crops = {name: dataset.natural_crop for name, dataset in zip(names, datasets, strict=True)}
    if crop is None and len(set(crops.values())) > 1:
        shown = ", ".join(f"{name}: {method}" for name, method in crops.items())
        raise DatasetError(
            f"`{raw}`: the sources are cropped differently by default ({shown}): add `crop: aligned`, box or whole"
        )
    try:
        annotations = merge_annotations([annotations_of(dataset) for dataset in datasets])
    except ValueError as error:
        raise DatasetError(f"`{raw}`: the sources do not go together: {error}") from None
    return MergedDataset(
        sources=datasets,
        names=names,
        classes=order_classes({name for dataset in datasets for name in dataset.classes}),
        natural_crop=crop or datasets[0].natural_crop,
        notes=tuple(
            f"{name}: {note}" for name, dataset in zip(names, datasets, strict=True) for note in dataset.notes
        ),
        annotations=annotations,
    )


def open_sources(file: Path) -> tuple[list[Source], CropMethod | None]:
    """Open the sets that a YAML file describes, and return them with the crop that it states for all.

    Raises:
        DatasetError: as `open_dataset_file`.
    """
    values = read_yaml(file, what="The dataset file", error=DatasetError)
    if "sources" not in values:
        return [_open_source(values, file, where=f"`{file}`")._replace(name=None)], None
    raw, sources, crop = file, values.pop("sources"), values.pop("crop", None)
    if values:
        raise DatasetError(f"`{raw}`: `{next(iter(values))}` must be in an item of `sources`: move it there")
    if not isinstance(sources, list) or not all(isinstance(source, dict) for source in sources):
        raise DatasetError(
            f"`{raw}`: `sources` must be a list of mappings with kind and raw, got {sources!r:.80}"
        )
    if crop not in (None, *get_args(CropMethod)):
        raise DatasetError(f"`{raw}`: `crop` must be one of {', '.join(get_args(CropMethod))}, got {crop!r}")
    if not sources:
        raise DatasetError(f"`{raw}`: `sources` is empty: name a set at least")
    opened = [
        _open_source(source, raw, where=f"`{raw}`: source {number}")
        for number, source in enumerate(sources, 1)
    ]
    return opened, crop


def _open_source(values: dict[str, Any], file: Path, *, where: str) -> Source:
    """Return the dataset of a mapping with ``kind``, ``raw`` and options."""
    values = dict(values)
    kind, path, name = values.pop("kind", None), values.pop("raw", None), values.pop("name", None)
    kinds = [other for other in DATASETS if other != "yaml"]
    if kind not in kinds:
        raise DatasetError(f"{where}: `kind` must be one of {', '.join(kinds)}, got {kind!r}")
    if not isinstance(path, str):
        raise DatasetError(f"{where}: `raw` must be the path of the set, got {path!r}")
    options = _read_options(DatasetOptions, values, file.parent, where)
    raw = file.parent / path
    shown = str(raw.resolve().name if name is None else name)
    return Source(shown, str(kind), raw, open_dataset(kind, raw, options), options)


def _read_options(options: type, values: dict[str, Any], folder: Path, where: str) -> Any:
    """Return a dataclass of options with the values of a mapping, whose keys lack the end that all of its fields share."""
    hints = get_type_hints(options)
    by_key = {
        re.sub("_(columns?|list)$", "", option_flag(entry).removeprefix("--").replace("-", "_")): entry
        for entry in fields(options)
    }
    read: dict[str, Any] = {}
    for key, value in values.items():
        if key not in by_key:
            close = difflib.get_close_matches(str(key), by_key, n=1)
            hint = f". Did you mean `{close[0]}`?" if close else f", the keys are {', '.join(by_key)}"
            raise DatasetError(f"{where}: `{key}` is no option{hint}")
        entry = by_key[key]
        group = entry.default_factory
        if isinstance(group, type) and is_dataclass(group):
            if not isinstance(value, dict):
                raise DatasetError(f"{where}: `{key}` must be a mapping, got {value!r:.80}")
            read[entry.name] = _read_options(group, value, folder, f"{where}: `{key}`")
            continue
        try:
            read[entry.name] = _read_value(value, hints[entry.name], entry.metadata, folder)
        except (ValueError, TypeError) as error:
            raise DatasetError(f"{where}: `{key}` {error}") from None
    return options(**read)


def _read_value(value: Any, kind: Any, details: Any, folder: Path) -> Any:
    """Return the value of an option.

    Raises:
        ValueError: it does not fit, with the reason.
    """
    variants = [variant for variant in get_args(kind) if variant is not type(None)]
    kind = variants[0] if type(None) in get_args(kind) else kind
    if isinstance(value, bool) and kind is not bool:
        raise ValueError(f"must not be {value}: YAML reads yes, no, on and off so; put the word in quotes")
    if "parse" in details:
        if isinstance(value, dict):
            value = ",".join(f"{label}={name}" for label, name in value.items())
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        parse = details["parse"]
        return (pkgutil.resolve_name(parse) if isinstance(parse, str) else parse)(text)
    if get_origin(kind) is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_read_value(item, get_args(kind)[0], details, folder) for item in items)
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ValueError(f"must be one of {', '.join(map(str, get_args(kind)))}, got {value!r}")
    if kind is Path:
        return folder / str(value)
    if kind is str and isinstance(value, (str, int)):
        return str(value)
    if kind in (int, float):
        number = kind(value)
        least, most = details.get("least", number), details.get("most", number)
        if not least <= number <= most:
            raise ValueError(f"must be from {least:g} to {most:g}, got {value!r}")
        return number
    if isinstance(kind, type) and not isinstance(value, kind):
        raise TypeError(f"must be {kind.__name__}, got {value!r:.80}")
    return value
