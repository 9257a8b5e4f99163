"""The faces for an int8 file: training faces for calibration, and the dev split for evaluation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien.errors import ArtifactError
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.kept_out import find_repeats
from mien.formats.pack.leaks import find_leaks
from mien.formats.pack.schema import NO_LABEL
from mien.formats.pack.selection import FaceSelection
from mien.formats.run import DevOutputs, Run


def open_train_splits(run: Run, paths: Sequence[Path]) -> tuple[PackSplit, ...]:
    """Open the train splits of a run's packs, in the run's order.

    Raises:
        ArtifactError: a pack cannot be read, is missing, or does not have the content hash of one of the run's packs.
    """
    expected: list[str] = run.pack.get("members") or [run.pack["content_sha256"]]
    packs = {pack.info.content_sha256: pack for pack in map(Pack.open, paths)}
    for content, pack in packs.items():
        if content not in expected:
            hashes = ", ".join(f"{sha256[:12]}..." for sha256 in expected)
            raise ArtifactError(
                f"{run.path} was not trained on pack {pack.path}: its content hash is {content[:12]}..., "
                f"the run's {hashes}. Give the run's own pack with --calibrate"
            )
    n_expected = len(set(expected))
    if len(packs) < n_expected:
        raise ArtifactError(
            f"{run.path} was trained on {n_expected} packs, got {len(packs)}. Give each with --calibrate PACK"
        )
    crop = run.recipe["data"].get("crop", "stored")
    return tuple(packs[content].split("train", crop=crop) for content in expected)


def dev_faces(run: Run, dev: DevOutputs, splits: tuple[PackSplit, ...]) -> FaceSelection:
    """Return the dev split of a run.

    Raises:
        ArtifactError: the run does not record which faces these are.
    """
    if dev.pack_numbers is None or dev.rows is None:
        raise ArtifactError(
            f"{run.path / 'dev.npz'} does not record which faces of the pack are the dev split: it was written by an "
            "earlier release. Train again, or export without --int8"
        )
    return FaceSelection(splits, dev.pack_numbers, dev.rows, dev.labels)


def choose_calibration(run: Run, dev: FaceSelection, *, n_faces: int, seed: int) -> FaceSelection:
    """Choose training faces for calibration, as balanced over the classes as their counts allow.

    Excluded are the dev split, classes that the network does not know, and every face with a near-duplicate in the
    dev split, in another split of any of the packs, or among the faces that the run's recipe keeps out.

    Args:
        run: the run.
        dev: its dev split.
        n_faces: number of faces to choose; fewer if there are not enough.
        seed: seed of the random choice.

    Raises:
        ArtifactError: no face remains.
    """
    index = [
        # The last entry is that of `NO_LABEL`.
        np.array(
            [
                *(
                    run.classes.index(name) if name in run.classes else NO_LABEL
                    for name in split.pack.info.classes
                ),
                NO_LABEL,
            ]
        )
        for split in dev.splits
    ]
    sizes = [len(split) for split in dev.splits]
    faces = FaceSelection(
        dev.splits,
        pack_numbers=np.repeat(np.arange(len(sizes)), sizes),
        rows=np.concatenate([np.arange(size) for size in sizes]),
        labels=np.concatenate(
            [column[split.labels] for column, split in zip(index, dev.splits, strict=True)]
        ),
    )
    packs = [split.pack for split in dev.splits]
    groups, leaks = find_leaks(packs)
    kept_out = run.recipe.get("data", {}).get("keep_out") or ()
    leaks |= find_repeats(packs, map(Path, kept_out))
    starts = np.cumsum([0, *sizes])
    in_dev = np.isin(groups, groups[starts[dev.pack_numbers] + dev.rows])
    faces = faces.part((faces.labels != NO_LABEL) & ~leaks & ~in_dev)
    if not len(faces):
        raise ArtifactError(
            f"No training faces of {run.path} are left for calibration: all are in its dev split, or near-duplicates "
            "of the dev split or of another split. Prepare a larger pack"
        )
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed]))).permutation(len(faces))
    shuffled = faces.labels[order]
    rank = np.empty(len(faces), dtype=np.int64)  # rank within its class: the first face of every class, ...
    for label in np.unique(faces.labels):
        rank[shuffled == label] = np.arange(int((shuffled == label).sum()))
    return faces.part(order[np.argsort(rank, kind="stable")[:n_faces]])
