"""Closing a pack: duplicates, counts, rejects.csv, pack.json, and the summary that is printed."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mien
from mien.artifacts import drop_aside, read_json, remove_folder, replace_folder, write_atomically
from mien.errors import DatasetError
from mien.faces.crop import CropContract
from mien.faces.near_duplicates import count_duplicates, find_groups
from mien.pack.reader import Pack
from mien.pack.schema import FORMAT_VERSION, SPLITS, PackInfo, ShardInfo
from mien.pack.writer import close_pack, compute_content_sha256, read_columns
from mien.prepare.face import PROGRESS_FOLDER
from mien.sources.record import REMEDIES, Source
from mien.tables import CsvLines
from mien.terminal import on_one_line

REJECT_COLUMNS = ("split", "row", "path", "label", "reason", "detail", "remedy")


@dataclass(frozen=True, slots=True)
class PrepareSummary:
    """What `prepare` did. Its text is what the command prints."""

    out: Path
    info: PackInfo
    n_resumed: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        info = self.info
        lines = [f"{info.n_rows:,} rows read = {info.n_kept:,} faces kept + {info.n_rejected:,} rejected"]
        if self.n_resumed:
            lines.append(f"went on from {self.n_resumed} finished shards")
        empty = [name for name in info.classes if not any(kept.get(name) for kept in info.counts.values())]
        if empty and info.source in ("csv", "folder"):
            lines.append(f"No face was kept of: {', '.join(empty)}.")
        lines += [*map(on_one_line, self.notes), "", *self._class_table(), ""]
        lines += [f"rejected, {reason}: {count:,}" for reason, count in info.rejected_by_reason.items()]
        lines += [f"kept with a warning, {code}: {count:,}" for code, count in info.warnings.items()]
        methods = ", ".join(f"{count:,} {method}" for method, count in info.crop_methods.items())
        lines.append(f"crop: {methods}, {info.crop.size} px, margin {info.crop.margin:g}")
        duplicates = info.duplicates
        lines.append(
            f"duplicates: {duplicates['near_copies']:,} faces repeat another, mirrored or not "
            f"({duplicates['exact_copies']:,} of them exactly); "
            f"{duplicates['in_several_splits']:,} faces stand in more than one split. "
            "Copies that are turned, shifted or cropped otherwise are not looked for"
        )
        lines += [f"content: {info.content_sha256}", f"pack: {self.out}"]
        return "\n".join(lines)

    def _class_table(self) -> list[str]:
        info = self.info
        splits = [split for split in SPLITS if info.counts.get(split) or info.rejected.get(split)]
        names = [
            *info.classes,
            *sorted({n for s in splits for n in info.rejected.get(s, {})} - {*info.classes}),
        ]
        width = max(len(name) for name in (*names, "total"))
        head = " " * width + "".join(f"  {split + ' kept':>12}{'rejected':>10}" for split in splits)
        lines = [head]
        for name in (*names, "total"):
            cells = ""
            for split in splits:
                kept, rejected = info.counts.get(split, {}), info.rejected.get(split, {})
                pair = (
                    (sum(kept.values()), sum(rejected.values()))
                    if name == "total"
                    else (kept.get(name, 0), rejected.get(name, 0))
                )
                cells += f"  {pair[0]:>12,}{pair[1]:>10,}"
            lines.append(f"{name:<{width}}{cells}")
        return lines


def finish(
    work: Path, out: Path, source: Source, crop: CropContract, *, n_resumed: int, annotations: Path | None
) -> PrepareSummary:
    """Turn the finished shards into a pack, and write annotation files where wanted.

    Args:
        work: where the shards are.
        out: where the pack is to be. What is there is replaced, if it is not the same folder.
        source: of the rows.
        crop: how the faces were cut.
        n_resumed: shards that an earlier run made.
        annotations: a folder, or None.

    Raises:
        DatasetError: not one row could be used.
    """
    notes = _write_rejects(work)
    shards = tuple(notes.shards)
    n_kept = sum(shard.n_faces for shard in shards)
    n_rejected = notes.reasons.total()
    reasons = dict(notes.reasons.most_common())
    if n_kept == 0:
        # The owner will mend the set: the same command must look at every row again.
        for path in _notes_in_order(work):
            path.unlink()
        raise DatasetError(
            f"Not one of {n_rejected:,} rows could be used: {reasons}. See {work / 'rejects.csv'}"
        )
    counts, methods = _count_faces(work, shards, source.classes)
    groups, duplicates = _group_faces(work, shards)
    info = PackInfo(
        format_version=FORMAT_VERSION,
        mien_version=mien.__version__,
        source=source.name,
        classes=tuple(source.classes),
        crop=crop,
        counts=counts,
        rejected={split: dict(found) for split, found in notes.rejected.items()},
        rejected_by_reason=reasons,
        warnings=dict(notes.warnings),
        crop_methods=methods,
        duplicates=duplicates,
        n_rows=n_kept + n_rejected,
        n_kept=n_kept,
        n_rejected=n_rejected,
        content_sha256=compute_content_sha256(work, shards, source.classes),
        shards=shards,
    )
    if annotations is not None:
        _write_annotations(annotations, info, work)
    info = close_pack(work, info, groups)
    if work != out:
        replace_folder(out, work, kind_mark="pack.json")
    remove_folder(out / PROGRESS_FOLDER, last="plan.json")
    return PrepareSummary(out, info, n_resumed, tuple(source.notes))


def read_summary(out: Path, source: Source) -> PrepareSummary:
    """Return the summary of a pack that was finished but not cleared up, and clear up."""
    drop_aside(out, kind_mark="pack.json")
    remove_folder(out / PROGRESS_FOLDER, last="plan.json")
    info = Pack.open(out).info
    return PrepareSummary(out, info, len(info.shards), tuple(source.notes))


def _notes_in_order(out: Path) -> list[Path]:
    paths = [path for path in (out / PROGRESS_FOLDER).glob("*.json") if path.name != "plan.json"]
    return sorted(paths, key=lambda path: (SPLITS.index(path.name.rsplit("-", 1)[0]), path.name))


@dataclass(slots=True)
class _Notes:
    """What all shards' notes say together; the rejected rows themselves go to rejects.csv as they are read."""

    shards: list[ShardInfo] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, Counter[str]] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)


def _write_rejects(out: Path) -> _Notes:
    notes = _Notes()

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(CsvLines(file), REJECT_COLUMNS)
            writer.writeheader()
            for path in _notes_in_order(out):
                of_shard = read_json(path, what="unfinished pack")
                notes.shards.append(ShardInfo(**of_shard["shard"]))
                notes.warnings.update(of_shard["warnings"])
                for reject in of_shard["rejects"]:
                    writer.writerow({**reject, "remedy": REMEDIES[reject["reason"]]})
                    notes.reasons[reject["reason"]] += 1
                    notes.rejected.setdefault(reject["split"], Counter())[reject["label"]] += 1

    write_atomically(out / "rejects.csv", write)
    return notes


def _count_faces(
    out: Path, shards: Iterable[ShardInfo], classes: tuple[str, ...]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    labels: dict[str, Counter[int]] = {}
    methods: Counter[str] = Counter()
    for shard in shards:
        for batch in read_columns(out / shard.name, ("label", "crop_method")):
            labels.setdefault(shard.split, Counter()).update(batch["label"].to_pylist())
            methods.update(batch["crop_method"].to_pylist())
    counts = {
        split: {name: found[index] for index, name in enumerate(classes)} for split, found in labels.items()
    }
    return counts, dict(methods.most_common())


def _group_faces(out: Path, shards: Iterable[ShardInfo]) -> tuple[NDArray[np.int64], dict[str, int]]:
    hashes, digests, splits = [], [], []
    for shard in shards:
        for batch in read_columns(out / shard.name, ("perceptual_hash", "image_sha256")):
            hashes += batch["perceptual_hash"].to_pylist()
            digests += batch["image_sha256"].to_pylist()
            splits += [SPLITS.index(shard.split)] * batch.num_rows
    groups = find_groups(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32))
    digest_rows = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    return groups, count_duplicates(groups, digest_rows, np.array(splits))


def _write_annotations(folder: Path, info: PackInfo, out: Path) -> None:
    """Write ``<split>.txt`` files of ``path label`` lines, one for each kept face."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in info.counts:
        shards = [out / shard.name for shard in info.shards if shard.split == split]
        write_atomically(folder / f"{split}.txt", partial(_write_lines, shards=shards))


def _write_lines(path: Path, *, shards: Iterable[Path]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for shard in shards:
            for batch in read_columns(shard, ("key", "label")):
                for key, label in zip(batch["key"].to_pylist(), batch["label"].to_pylist(), strict=True):
                    if len(key.splitlines()) > 1:
                        raise DatasetError(
                            f"A line of --annotations must name a picture, and {key!r} holds a line break. Rename the "
                            "picture, or leave --annotations out, and add --force"
                        )
                    file.write(f"{key} {label}\n")
