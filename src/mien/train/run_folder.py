"""The run's folder: what it is about, where it is resumed from, and the earlier run that it replaces."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch

from mien.artifacts import (
    claim_output,
    drop_aside,
    make_folder,
    restore_aside,
    set_aside,
    write_json,
    write_text,
)
from mien.errors import ArtifactError
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL
from mien.formats.run import Run
from mien.formats.terms import UNKNOWN
from mien.recipe import Recipe, format_recipe
from mien.recipe.validation import format_scalar
from mien.runtime.nested import find_dict, flatten
from mien.tasks import optional_tasks
from mien.train.dataset import TrainingFaces, network_crop
from mien.train.imbalance import trained_class_fractions
from mien.train.logs import write_provenance
from mien.train.starting_weights import LoadedWeights, find_weights

_log = logging.getLogger(__name__)


def describe_run(recipe: Recipe, packs: Sequence[Pack], faces: TrainingFaces, out: Path) -> Run:
    """Return the run that trains a recipe on some packs.

    Its terms of use are those of the packs and of what the weights to start from, and the teacher, were trained on.
    """
    hashes = [pack.info.content_sha256 for pack in packs]
    stated = [(pack.info.source, pack.info.terms or UNKNOWN) for pack in packs]
    placed: Counter[str] = Counter()
    for pack in packs if recipe.model.landmarks else ():
        placed.update(pack.info.landmarks_by.get("train", {}))
    landmarks_by = dict(placed)
    weights, teacher = recipe.model.weights, recipe.schedule.loss.teacher
    starts = [*([find_weights(weights)] if weights else []), *([Path(teacher)] if teacher else [])]
    for start in starts:
        earlier: dict[str, Any] = {}
        if start.is_dir():
            earlier = Run.open(start).pack
        elif start.suffix.lower() == ".onnx":
            earlier = find_dict(OnnxModel.load(start).info.training, "pack")
        # A file of weights, or of an earlier release, does not say what it was trained on.
        source = str(earlier.get("source") or start.name)
        stated += (find_dict(earlier, "terms") or {source: UNKNOWN}).items()
        landmarks_by = find_dict(earlier, "landmarks_by") | landmarks_by
    terms: dict[str, str] = {}
    for source, text in stated:
        # Two packs in one layout may be of different sets, such as a real and a drawn one.
        both = [*terms.get(source, text).split("; "), *text.split("; ")]
        terms[source] = "; ".join(dict.fromkeys(both))
    described = {
        "source": " + ".join(dict.fromkeys(pack.info.source for pack in packs)),
        "path": ", ".join(str(pack.path) for pack in packs),
        "content_sha256": hashes[0] if len(packs) == 1 else sha256("".join(hashes).encode()).hexdigest(),
        "members": hashes,
        "terms": terms,
        "n_train": int(faces.train.count_classes().sum()),
        "n_dev": int(faces.dev.count_classes().sum()),
        "n_unlabeled": int(np.count_nonzero(faces.train.labels == NO_LABEL)),
        "n_leaks_left_out": faces.n_leaks,
        "n_shared_persons_left_out": faces.n_shared_persons,
        "n_kept_out": faces.n_kept_out,
        "train_counts": faces.train.count_classes().tolist(),
        "class_fractions": trained_class_fractions(faces.train.count_classes(), recipe).tolist(),
    }
    if landmarks_by:
        described["landmarks_by"] = landmarks_by
    return Run(
        out,
        faces.classes,
        network_crop(packs, recipe.data),
        asdict(recipe),
        described,
        # Only of heads that the recipe has: the model file describes its outputs and nothing else.
        annotations={task: spec for task, spec in faces.annotations.items() if getattr(recipe.model, task)},
    )


def start_run(run: Run, recipe: Recipe, weights: LoadedWeights | None) -> None:
    """Write the files of a run that has just begun, and log the weights that it starts from, if they are given."""
    make_folder(run.path)
    # First, so that a folder left by a kill can be resumed or replaced.
    write_json(run.path / "run.json", run.to_dict())
    make_folder(run.path / "checkpoints")
    write_text(run.path / "recipe.yaml", format_recipe(recipe))
    record = {} if weights is None else {"weights": weights.to_dict()}
    write_provenance(run.path / "provenance.json", {"seed": recipe.runtime.seed, "pack": run.pack, **record})
    if weights is not None:
        # What is left at its initialization may be the wrong backbone, or another stem.
        level = logging.WARNING if weights.fit.missing else logging.INFO
        _log.log(level, "%s", weights)


def require_same_run(run: Run) -> None:
    """Refuse to resume in the folder of another run.

    Raises:
        ArtifactError: the recipe or the pack is another.
    """
    earlier = Run.open(run.path)
    if earlier.pack["content_sha256"] != run.pack["content_sha256"]:
        if earlier.pack["path"] == run.pack["path"]:
            raise ArtifactError(
                f"Pack {run.pack['path']} has changed since run {run.path} was started on it: its content hash is "
                f"{run.pack['content_sha256'][:12]}..., was {earlier.pack['content_sha256'][:12]}.... Prepare it as it was, or "
                "start over with --force in place of --resume"
            )
        raise ArtifactError(
            f"Run {run.path} was started on another pack: {earlier.pack['path']}. Resume with that"
        )
    # A key that an earlier release did not have yet had its default's effect; a head, none.
    implied = flatten(asdict(Recipe())) | {f"model.{task}": False for task in optional_tasks()}
    before, now = implied | flatten(earlier.recipe), flatten(run.recipe)
    # The seed decides everything random; the rest of `runtime` may differ.
    keys = [key for key in now if not key.startswith("runtime.") or key == "runtime.seed"]
    changed = [key for key in keys if before.get(key) != now[key]]
    if changed:
        differences = ", ".join(
            f"`{key}` was {format_scalar(before.get(key))}, is {format_scalar(now[key])}" for key in changed
        )
        raise ArtifactError(
            f"Run {run.path} was started with another recipe: {differences}. Resume with --recipe "
            f"{run.path / 'recipe.yaml'}, or start another run from its weights: --model.weights {run.path} with another --out"
        )
    kept_out = run.recipe["data"].get("keep_out")
    if kept_out and any(
        earlier.pack.get(key) != run.pack[key] for key in ("n_kept_out", "train_counts", "n_dev")
    ):
        raise ArtifactError(
            f"The images of `data.keep_out` ({kept_out}) have changed since run {run.path} was started, and with them its "
            "training and dev faces. Put them back, or start over with --force in place of --resume"
        )


def find_checkpoint(run: Run) -> Path | None:
    """Return the checkpoint to resume from; None if the run has none yet.

    Raises:
        ArtifactError: it is damaged.
    """
    path = run.last_checkpoint_path
    if not path.exists():
        return None
    require_readable(path)
    return path


def require_readable(checkpoint: Path) -> None:
    """Read a checkpoint without running code from it, and verify the checksum of everything in it, which torch does not.

    Raises:
        ArtifactError: it is damaged, or holds more than data.
    """
    try:
        with ZipFile(checkpoint) as file:
            damaged = file.testzip()
        if damaged is not None:
            raise BadZipFile(f"the checksum of {damaged} does not match")  # noqa: TRY301
        torch.load(checkpoint, map_location="meta", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ArtifactError(
            f"Checkpoint {checkpoint} cannot be read ({reason}). Remove it to start the run over"
        ) from error


def claim_run(out: Path, *, force: bool) -> None:
    """Make sure that a run may be written, and move an earlier one out of the way.

    Raises:
        ArtifactError: OUT exists and may not be replaced.
    """
    claim_output(out, force=force, kind_mark="run.json")
    if os.path.lexists(out):
        aside = set_aside(out, kind_mark="run.json", whole_mark="result.json")
        if aside is not None:
            _log.info("%s keeps the earlier run until this one is finished", aside)


@contextmanager
def keep_earlier_run(run: Run) -> Iterator[None]:
    """Remove the run that this one replaces once this one is finished; restore it if this one has no checkpoint."""
    try:
        yield
    except BaseException:
        if not run.last_checkpoint_path.exists():
            restore_aside(run.path, kind_mark="run.json")
        raise
    drop_aside(run.path, kind_mark="run.json")
