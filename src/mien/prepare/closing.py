"""Finishing a pack: duplicates, counts, rejects.csv, pack.json, and the summary that is printed."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mien
from mien.artifacts import drop_aside, file_sha256, read_json, remove_folder, replace_folder, write_atomically
from mien.datasets.base import REMEDIES, FaceDataset, annotations_of
from mien.datasets.corrections import CorrectedDataset, require_applied
from mien.datasets.labels import CLASSES_FILE
from mien.datasets.terms import IF_IT_IS
from mien.errors import DatasetError
from mien.faces.crop import CropContract
from mien.faces.near_duplicates import count_duplicates, find_groups
from mien.faces.thumbnail import THUMBNAIL_SIDE
from mien.formats.pack.reader import Pack
from mien.formats.pack.schema import FORMAT_VERSION, NO_LABEL, SPLITS, PackInfo, ShardInfo
from mien.formats.pack.writer import close_pack, compute_content_sha256, read_columns
from mien.formats.unfinished import PLAN
from mien.prepare.face import PROGRESS_FOLDER
from mien.prepare.options import PrepareOptions
from mien.runtime.csv_text import CsvLines
from mien.runtime.terminal import on_one_line

# The row of faces without a label in the summary's table of classes.
NO_LABEL_ROW = "(no label)"
REJECT_COLUMNS = ("split", "row", "path", "label", "reason", "detail", "remedy")


@dataclass(frozen=True, slots=True)
class PrepareSummary:
    """The result of `prepare`. Its text is what the command prints."""

    out: Path | str
    info: PackInfo
    n_resumed: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        info = self.info
        lines = [f"{info.n_rows:,} rows read = {info.n_kept:,} faces kept + {info.n_rejected:,} rejected"]
        if self.n_resumed:
            lines.append(f"resumed: {self.n_resumed} shards were already complete")
        empty = [name for name in info.classes if not any(kept.get(name) for kept in info.counts.values())]
        if empty and info.source in ("csv", "folder"):
            lines.append(f"No face was kept for: {', '.join(empty)}.")
        if info.unlabeled:
            n_unlabeled = sum(info.unlabeled.values())
            lines.append(
                f"{n_unlabeled:,} faces have no expression label: they train and evaluate the other tasks only."
            )
        lines += [*map(on_one_line, self.notes), "", *self._class_table(), ""]
        lines += [f"rejected, {reason}: {count:,}" for reason, count in info.rejected_by_reason.items()]
        lines += [f"kept with a warning, {code}: {count:,}" for code, count in info.warnings.items()]
        methods = ", ".join(f"{count:,} {method}" for method, count in info.crop_methods.items())
        margin = "" if info.crop_methods.keys() <= {"whole"} else f", margin {info.crop.margin:g}"
        lines.append(f"crop: {methods}, {info.crop.size} px{margin}")
        duplicates = info.duplicates
        lines.append(
            f"duplicates: {duplicates['near_copies']:,} faces repeat another "
            f"({duplicates['exact_copies']:,} of them exactly); "
            f"{duplicates['in_several_splits']:,} faces are in more than one split"
        )
        placed: Counter[str] = Counter()
        for found in info.landmarks_by.values():
            placed.update(found)
        lines += [
            f"landmarks: {count:,} placed by {name}, not by people" for name, count in placed.most_common()
        ]
        for kind in ("person", "clip"):
            if n_shared := duplicates.get(f"{kind}s_in_several_splits"):
                lines.append(
                    f"{kind}s: {n_shared:,} of {duplicates[f'{kind}s']:,} are in more than one split, so results on one are "
                    "better than on new ones: train with --data.exclude_shared_persons true to leave their training faces out"
                )
        if info.terms is not None:
            hint = "; if not, state its terms with --terms" if IF_IT_IS in info.terms else ""
            lines.append(f"terms of use: {info.terms}{hint}")
        lines += [f"content: {info.content_sha256}", f"pack: {self.out}"]
        return "\n".join(lines)

    def _class_table(self) -> list[str]:
        info = self.info
        splits = [split for split in SPLITS if info.n_faces(split) or info.rejected.get(split)]
        names = [
            *info.classes,
            *sorted({n for s in splits for n in info.rejected.get(s, {})} - {*info.classes}),
        ]
        if info.unlabeled:
            names.append(NO_LABEL_ROW)
        width = max(len(name) for name in (*names, "total"))
        head = " " * width + "".join(f"  {split + ' kept':>12}{'rejected':>10}" for split in splits)
        lines = [head]
        for name in (*names, "total"):
            cells = ""
            for split in splits:
                kept, rejected = info.counts.get(split, {}), info.rejected.get(split, {})
                kept = kept | {NO_LABEL_ROW: info.unlabeled.get(split, 0)}
                pair = (
                    (sum(kept.values()), sum(rejected.values()))
                    if name == "total"
                    else (kept.get(name, 0), rejected.get(name, 0))
                )
                cells += f"  {pair[0]:>12,}{pair[1]:>10,}"
            lines.append(f"{name:<{width}}{cells}")
        return lines


def finish(
    work: Path,
    out: Path,
    dataset: FaceDataset,
    crop: CropContract,
    options: PrepareOptions,
    *,
    terms: str | None,
) -> PrepareSummary:
    """Turn the finished shards into a pack, and write annotation files if requested.

    Args:
        work: the folder with the shards.
        out: path of the pack. What is there is replaced, unless it is the same folder.
        dataset: where the rows come from.
        crop: how the faces were cropped.
        options: where to write annotation files, and which losses to allow.
        terms: the terms of use of the dataset, or None.

    Raises:
        DatasetError: not a single row could be used, or more was lost than the options allow.
    """
    shards, reasons, rejected, warnings = _write_rejects(work)
    n_kept = sum(shard.n_faces for shard in shards)
    if n_kept == 0:
        (work / PROGRESS_FOLDER / REFUSED).touch()
        counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        raise DatasetError(
            f"None of {reasons.total():,} rows could be used: {counted}. {_show_first_reject(work)}"
        )
    corrections = None
    if isinstance(dataset, CorrectedDataset) and options.corrections is not None:
        with (work / "rejects.csv").open(newline="", encoding="utf-8") as file:
            require_applied(dataset, csv.DictReader(file))
        corrections = {"n_rows": len(dataset.labels), "sha256": file_sha256(options.corrections)}
    counts, unlabeled, methods, groups, duplicates, landmarks_by = _summarize_faces(
        work, shards, dataset.classes
    )
    annotations_read = annotations_of(dataset)
    info = PackInfo(
        format_version=FORMAT_VERSION,
        mien_version=mien.__version__,
        source=dataset.name,
        classes=tuple(dataset.classes),
        crop=crop,
        counts=counts,
        rejected={split: dict(found) for split, found in rejected.items()},
        rejected_by_reason=dict(reasons.most_common()),
        warnings=dict(warnings),
        crop_methods=methods,
        duplicates=duplicates,
        n_rows=n_kept + reasons.total(),
        n_kept=n_kept,
        n_rejected=reasons.total(),
        content_sha256=compute_content_sha256(work, shards, dataset.classes, annotations_read),
        shards=shards,
        unlabeled=unlabeled,
        terms=terms,
        annotations=annotations_read,
        corrections=corrections,
        landmarks_by=landmarks_by,
    )
    _require_no_loss(info, options.allow, work)
    if options.annotations is not None:
        _write_annotations(options.annotations, info, work)
    info = close_pack(work, info, groups)
    if work != out:
        replace_folder(out, work, kind_mark="pack.json")
    remove_folder(out / PROGRESS_FOLDER, last=PLAN)
    return PrepareSummary(out, info, 0, tuple(dataset.notes))


def read_summary(out: Path, dataset: FaceDataset) -> PrepareSummary:
    """Return the summary of a finished pack whose progress files were not removed yet, and remove them."""
    drop_aside(out, kind_mark="pack.json")
    remove_folder(out / PROGRESS_FOLDER, last=PLAN)
    info = Pack.open(out).info
    return PrepareSummary(out, info, len(info.shards), tuple(dataset.notes))


# Reasons that are decisions of the set's authors, or no loss.
_NO_LOSS = frozenset(("not_a_face", "no_majority", "duplicate_row"))
# Kinds whose options say what a column holds.
_LISTS = ("csv", "imagefolder", "parquet")
# Fewer annotations that cannot be used may all be mistakes.
LEAST_MISREAD = 5
# Warnings that most faces of a set have only if an annotation is read as something that it is not, and what states it.
_BOX = "state their format with --box-format, or leave them out with --box-columns none"
_PERCENT = "they lie in the first 100 pixels: if they are in percent, add --box-format percent-xywh, percent-xyxy or percent-cxcywh"
_LANDMARKS = "they are read as 68 points in pixels in iBUG's order, x and y in turn; leave others out with --landmarks-column none"
_AFFECT = "state their scale with --affect-range, or leave them out with --affect-columns none"
_UNITS = "action units are presence, 0 or 1, or intensity, 0 to 5: convert them, or remove their columns"
_MISREAD = {
    "box_value": _BOX, "box_beyond_image": _BOX, "box_percent": _PERCENT,
    "landmark_order": _LANDMARKS, "landmark_count": _LANDMARKS, "landmark_value": _LANDMARKS, "landmark_place": _LANDMARKS,
    "valence_value": _AFFECT, "arousal_value": _AFFECT, "affect_value": _AFFECT,
}  # fmt: skip
# In the progress folder, says that all rows were read and the pack was refused, and for which losses; empty for all rows.
REFUSED = "refused"


def _require_no_loss(info: PackInfo, allowed: tuple[str, ...], work: Path) -> None:
    """Refuse a set that lost a class, most of its rows, or most of the boxes, landmarks, valence, arousal or action units in them.

    Raises:
        DatasetError: it did, and it is not allowed to.
    """
    kept = {name: {s: found.get(name, 0) for s, found in info.counts.items()} for name in info.classes}
    claimed = {name: sum(found.get(name, 0) for found in info.rejected.values()) for name in info.classes}
    has_train = any(found.get("train") for found in kept.values())
    # The classes of a list are those that it has; other sets define theirs, and number them.
    n_undefined = 0 if info.source in _LISTS else _count_undefined(work)
    problems: dict[str, list[str]] = {}
    for name, found in kept.items():
        total = sum(found.values())
        if not total and not claimed[name] and n_undefined >= LEAST_MISREAD:
            problems.setdefault("empty-classes", []).append(
                f"no row is of {name}, and {n_undefined:,} of {info.n_rows:,} rows have one label that the set does not define, so "
                "all labels may be numbered in another way: read them with `mien prepare folder` or `csv` and --label-names"
            )
        if not total and claimed[name]:
            problems.setdefault("empty-classes", []).append(
                f"no face of {name} is kept, {claimed[name]:,} rejected"
            )
        elif total and has_train and not found.get("train"):
            problems.setdefault("empty-classes", []).append(
                f"no training face of {name} is kept, {total:,} in other splits"
            )
    n_lost = sum(count for reason, count in info.rejected_by_reason.items() if reason not in _NO_LOSS)
    if n_lost > info.n_kept:
        counted = ", ".join(f"{count:,} {reason}" for reason, count in info.rejected_by_reason.items())
        problems["mostly-rejected"] = [f"{n_lost:,} of {info.n_rows:,} rows are rejected ({counted})"]
    for code, count in info.warnings.items():
        how = _explain_warning(code)
        if how is not None and 2 * count > info.n_kept and count >= LEAST_MISREAD:
            advice = f" ({how})" if info.source in _LISTS else ""
            problems.setdefault("unusable-annotations", []).append(
                f"{count:,} of {info.n_kept:,} faces have the warning {code}{advice}"
            )
    refused = {name: texts for name, texts in problems.items() if name not in allowed}
    if refused:
        (work / PROGRESS_FOLDER / REFUSED).write_text(",".join(refused), encoding="utf-8")
        first = f" {_show_first_reject(work)}" if info.n_rejected else ""
        raise DatasetError(
            f"Too much of the set is lost: {'; '.join(text for texts in refused.values() for text in texts)}.{first} Correct the "
            f"set and run the same command again, or add --allow {','.join(problems)} to make the pack as it is"
        )


def _explain_warning(code: str) -> str | None:
    """Return what states how an annotation is to be read, if a warning says that it may be misread, otherwise None."""
    return _UNITS if code.startswith("action_unit_value_") else _MISREAD.get(code)


def _count_undefined(work: Path) -> int:
    """Return the number of rows whose label has no class, if it is the same label in all of them, otherwise 0."""
    with (work / "rejects.csv").open(newline="", encoding="utf-8") as file:
        details = [row["detail"] for row in csv.DictReader(file) if row["reason"] == "unknown_label"]
    return len(details) if len(set(details)) == 1 else 0


def _show_first_reject(work: Path) -> str:
    """Return sentences on the first rejected row, its remedy, and where the others are."""
    path = work / "rejects.csv"
    with path.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    where = f"{row['split']} row {row['row']}, {row['path']!r}"
    return f"The first: {where}, {row['reason']}: {row['detail']}. Remedy: {row['remedy']}. See {path}."


def forget_rejects(work: Path, allowed: tuple[str, ...]) -> None:
    """Let rejected rows, and annotations that could not be used, be read again if the pack was refused.

    Their owner may have corrected the files, unless all losses that it was refused for are allowed now.
    """
    mark = work / PROGRESS_FOLDER / REFUSED
    if mark.exists() and not {*mark.read_text(encoding="utf-8").split(",")} <= {*allowed}:
        for path in _note_paths(work):
            notes = read_json(path, what="unfinished pack")
            if notes["rejects"] or any(map(_explain_warning, notes["warnings"])):
                path.unlink()
        mark.unlink()


def _note_paths(work: Path) -> list[Path]:
    """Return the notes on all shards, in the order of the rows."""
    paths = [path for path in (work / PROGRESS_FOLDER).glob("*.json") if path.name != PLAN]
    return sorted(paths, key=lambda path: (SPLITS.index(path.name.rsplit("-", 1)[0]), path.name))


def _write_rejects(
    work: Path,
) -> tuple[tuple[ShardInfo, ...], Counter[str], dict[str, Counter[str]], Counter[str]]:
    """Write rejects.csv, one shard at a time.

    Returns:
        The shards; the number of rejected rows by reason, and by split and label; and the number of warnings by code.
    """
    shards: list[ShardInfo] = []
    reasons: Counter[str] = Counter()
    rejected: dict[str, Counter[str]] = {}
    warnings: Counter[str] = Counter()

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(CsvLines(file), REJECT_COLUMNS)
            writer.writeheader()
            for path in _note_paths(work):
                notes = read_json(path, what="unfinished pack")
                shards.append(ShardInfo(**notes["shard"]))
                warnings.update(notes["warnings"])
                for reject in notes["rejects"]:
                    writer.writerow({**reject, "remedy": REMEDIES[reject["reason"]]})
                    reasons[reject["reason"]] += 1
                    rejected.setdefault(reject["split"], Counter())[reject["label"]] += 1

    write_atomically(work / "rejects.csv", write)
    return tuple(shards), reasons, rejected, warnings


def _summarize_faces(
    work: Path, shards: Iterable[ShardInfo], classes: tuple[str, ...]
) -> tuple[
    dict[str, dict[str, int]],
    dict[str, int],
    dict[str, int],
    NDArray[np.int64],
    dict[str, int],
    dict[str, dict[str, int]],
]:
    """Count the faces.

    Returns:
        Counts by split and class; of faces without a label by split; by crop method; the near-duplicate group of each face;
        duplicates; and counts by split and the model that placed the landmarks.
    """
    labels: dict[str, Counter[int]] = {}
    methods: Counter[str] = Counter()
    hashes, digests, splits = [], [], []
    splits_of: dict[str, dict[str, Counter[str]]] = {"person": {}, "clip": {}, "landmarks_by": {}}
    for shard in shards:
        columns = ("label", "crop_method", "perceptual_hash", "image_sha256", *splits_of)
        for batch in read_columns(work / shard.name, columns):
            labels.setdefault(shard.split, Counter()).update(batch["label"].to_pylist())
            methods.update(batch["crop_method"].to_pylist())
            hashes += batch["perceptual_hash"].to_pylist()
            digests += batch["image_sha256"].to_pylist()
            splits += [SPLITS.index(shard.split)] * batch.num_rows
            for kind, by_name in splits_of.items():
                for name in batch[kind].to_pylist() if kind in batch.schema.names else ():
                    if name is not None:
                        by_name.setdefault(name, Counter())[shard.split] += 1
    counts = {
        split: {name: found[index] for index, name in enumerate(classes)} for split, found in labels.items()
    }
    unlabeled = {split: found[NO_LABEL] for split, found in labels.items() if found[NO_LABEL]}
    hash_rows = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)
    groups = find_groups(hash_rows, _join_thumbnails(work, shards))
    digest_rows = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    duplicates = count_duplicates(groups, digest_rows, np.array(splits))
    landmarks_by: dict[str, dict[str, int]] = {}
    for model, found in splits_of.pop("landmarks_by").items():
        for split, count in found.items():
            landmarks_by.setdefault(split, {})[model] = count
    for kind, by_name in splits_of.items():
        if by_name:
            duplicates[f"{kind}s"] = len(by_name)
            duplicates[f"{kind}s_in_several_splits"] = sum(len(found) > 1 for found in by_name.values())
    return counts, unlabeled, dict(methods.most_common()), groups, duplicates, landmarks_by


def _join_thumbnails(work: Path, shards: Iterable[ShardInfo]) -> NDArray[np.uint8]:
    """Return ``(N, 32, 32)`` thumbnails, mapped from one file, which goes with the progress folder."""
    joined = work / PROGRESS_FOLDER / "thumbnails"
    with joined.open("wb") as file:
        for shard in shards:
            file.write((work / PROGRESS_FOLDER / f"{Path(shard.name).stem}.thumbnails").read_bytes())
    return np.memmap(joined, np.uint8, "r").reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def _write_annotations(folder: Path, info: PackInfo, work: Path) -> None:
    """Write ``<split>.txt`` with a line ``path label`` for each face that was kept and has a label, and the labels' names."""

    def write(path: Path, *, shards: list[Path]) -> None:
        with path.open("w", encoding="utf-8") as file:
            for shard in shards:
                for batch in read_columns(shard, ("key", "label")):
                    for key, label in zip(batch["key"].to_pylist(), batch["label"].to_pylist(), strict=True):
                        if label == NO_LABEL:
                            continue
                        if len(key.splitlines()) > 1:
                            raise DatasetError(
                                f"A line of --annotations must name an image, and {key!r} contains a line break. Rename "
                                "the image, or leave --annotations out, and add --force"
                            )
                        file.write(f"{key} {label}\n")

    def write_names(path: Path) -> None:
        path.write_text("".join(f"{name}\n" for name in info.classes), encoding="utf-8")

    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / CLASSES_FILE, write_names)
    for split in info.counts:
        shards = [work / shard.name for shard in info.shards if shard.split == split]
        write_atomically(folder / f"{split}.txt", partial(write, shards=shards))
