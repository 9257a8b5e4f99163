"""The stage: a pack and a recipe become a run folder."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from mien.artifacts import disk_errors, drop_aside, new_file, one_writer, remove_partials
from mien.faces.crop import resize_crop
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL
from mien.formats.run import Run
from mien.nets.network import FaceNetwork
from mien.recipe import Recipe
from mien.recipe.validation import check_values
from mien.runtime.addresses import local_path, path_list
from mien.train.dataset import network_crop, other_tasks, read_training_faces
from mien.train.lightning_adapter import EpochResult, FaceModule, build_trainer, fit, predict_dev
from mien.train.logs import append_metrics, best_epoch, draw_curves, quiet_event_writer, read_metrics
from mien.train.preflight import (
    adapt_recipe,
    warn_of_another_network,
    warn_of_seen_dev_faces,
    warn_of_shortened_phases,
    warn_of_stacked_rebalancing,
    warn_of_untrained_classes,
    warn_of_upscaled_crops,
)
from mien.train.run_folder import (
    claim_run,
    describe_run,
    find_checkpoint,
    keep_earlier_run,
    require_same_run,
    start_run,
)
from mien.train.starting_weights import adopt_network, load_weights
from mien.train.trackers import start_trackers
from mien.train.validation import score_dev
from mien.train.weights import build_network, load_teacher

_log = logging.getLogger(__name__)
N_STORED_CROPS = 64
# Drawing the curves takes a second, as long as an epoch of a small pack.
SECONDS_BETWEEN_DRAWINGS = 30.0


@dataclass(frozen=True)
class TrainSummary:
    """How a run ended. Its text is what the command prints."""

    out: Path
    result: dict[str, Any]
    n_train: int
    n_leaks: int
    n_shared_persons: int = 0
    n_kept_out: int = 0

    def __str__(self) -> str:
        dev = self.result["dev"]
        scores = ", ".join(f"{name} {value:.4f}" for name, value in dev.items() if name != "n")
        excluded = f", {self.n_leaks:,} near-duplicates of other splits excluded" if self.n_leaks else ""
        if self.n_shared_persons:
            excluded += f", {self.n_shared_persons:,} of persons or clips in other splits excluded"
        if self.n_kept_out:
            excluded += f", {self.n_kept_out:,} that repeat a face to keep out excluded"
        best = (
            f"epoch {self.result['best_epoch']} of {self.result['epochs']}, by {self.result['select_by']} "
            f"on the dev split of train (n = {dev['n']:,})"
        )
        return f"trained on {self.n_train:,} faces{excluded}\nselected: {best}: {scores}\nrun: {self.out}"


def train(
    recipe: Recipe,
    pack_paths: Sequence[str | Path],
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
) -> TrainSummary | None:
    """Train a network.

    Args:
        recipe: the recipe.
        pack_paths: what to train on, one pack or several.
        out: the run's folder.
        resume: resume an unfinished run; start one if there is none, and leave a finished one as it is.
        force: replace an existing run.

    Returns:
        How it ended; None on the other processes of a distributed run.

    Raises:
        ArtifactError: OUT exists, or cannot be resumed.
        DatasetError: the packs do not suit the recipe.
        ModelError: the network cannot be built, or the loss is no longer finite.
        RecipeError: a value makes no sense, or the requested devices are unavailable.
        TypeError: `pack_paths` is a single path, not in a list.
        ValueError: `out` is an address.
    """
    check_values(recipe)
    out, packs = local_path(out), [Pack.open(path) for path in path_list("pack_paths", pack_paths)]
    recipe = adopt_network(recipe, network_crop(packs, recipe.data))
    faces = read_training_faces(packs, recipe.data, tasks=other_tasks(recipe.model))
    requested, recipe = recipe, adapt_recipe(recipe, faces)
    run = describe_run(recipe, packs, faces, out)
    trainer = build_trainer(recipe, out, keep_best(run, recipe.schedule.select_by), resume=resume)
    is_first = trainer.is_global_zero
    counts = (len(faces.train), faces.n_leaks, faces.n_shared_persons, faces.n_kept_out)
    with ExitStack() as held:
        if is_first:
            held.enter_context(one_writer(out))
        is_resumed = resume and (out / "run.json").exists()
        if is_resumed:
            require_same_run(run)
        if is_resumed and (out / "result.json").exists():
            result = Run.open(out).read_result()
            if not is_first:
                return None
            drop_aside(out, kind_mark="run.json")
            _log.info(
                "Run %s is finished, and nothing is left to do. To train it further, start another run from its weights: "
                "--model.weights %s with another --out. To start over, give --force in place of --resume",
                out,
                out,
            )
            return TrainSummary(out, result, *counts)
        checkpoint = find_checkpoint(run) if is_resumed else None
        network = build_network(
            recipe, faces.classes, faces.annotations, random_weights=checkpoint is not None
        )
        loaded = None
        if checkpoint is None and recipe.model.weights is not None:
            loaded = load_weights(network, recipe, faces.classes, faces.train, faces.annotations)
        module = FaceModule(network, faces, recipe, teacher=load_teacher(recipe, faces.classes, run.crop))
        held.enter_context(disk_errors(out, "free some space and add --resume"))
        if is_first:
            held.enter_context(keep_earlier_run(run))
        if is_first and checkpoint is None:
            warn_of_untrained_classes(recipe, faces)
            warn_of_shortened_phases(requested, recipe)
            warn_of_upscaled_crops(recipe, packs)
            warn_of_stacked_rebalancing(recipe)
            warn_of_seen_dev_faces(run)
            warn_of_another_network(run)
            if not is_resumed:
                claim_run(out, force=force)
            start_run(run, recipe, loaded)
        if is_first:
            remove_partials(out)
            remove_partials(out / "checkpoints")
            start_trackers(trainer, recipe, out, resume=is_resumed)
        with quiet_event_writer():
            fit(trainer, module, resume_from=checkpoint)
        return TrainSummary(out, finish_run(run, module), *counts) if is_first else None


def keep_best(run: Run, select_by: str) -> Callable[[FaceNetwork, EpochResult], None]:
    """Return the callback that logs an epoch and saves its weights if it is the best so far."""
    metrics_path = run.path / "metrics.csv"
    next_drawing = time.monotonic() + SECONDS_BETWEEN_DRAWINGS

    def on_epoch_end(network: FaceNetwork, result: EpochResult) -> None:
        nonlocal next_drawing
        row: dict[str, float | int] = {"epoch": result.epoch, "learning_rate": result.learning_rate}
        row |= {f"train_{name}": value for name, value in result.losses.items()}
        row |= {f"dev_{name}": value for name, value in result.dev.values.items()}
        append_metrics(metrics_path, row)
        if best_epoch(metrics_path, select_by) == result.epoch:
            weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
            with new_file(run.best_weights_path) as partial:
                partial.write_bytes(save(weights))
        if time.monotonic() >= next_drawing:
            draw_curves(metrics_path, run.path / "curves.png", select_by)
            next_drawing = time.monotonic() + SECONDS_BETWEEN_DRAWINGS

    return on_epoch_end


def warn_of_a_constant_network(
    logits: NDArray[np.floating], labels: NDArray[np.int64], classes: tuple[str, ...]
) -> None:
    """Warn if all dev faces have the same top-1 class, but not the same label."""
    predicted = logits.argmax(axis=1)
    if len(labels) and np.ptp(predicted) == 0 and len(np.unique(labels[labels != NO_LABEL])) > 1:
        _log.warning(
            f"The selected network predicts {classes[int(predicted[0])]} for every dev face: it tells no classes apart. "
            "Train longer, or with another `schedule.learning_rate`"
        )


def finish_run(run: Run, module: FaceModule) -> dict[str, Any]:
    """Evaluate the selected weights once more, and write what `export` needs; return the content of result.json."""
    select_by = module.recipe.schedule.select_by
    metrics_path = run.path / "metrics.csv"
    draw_curves(metrics_path, run.path / "curves.png", select_by)
    predictions = predict_dev(module, load_file(run.best_weights_path))
    dev = module.faces.dev
    scores = score_dev(predictions, dev, module.faces.annotations)
    if module.recipe.schedule.loss.expression_weight > 0:
        warn_of_a_constant_network(predictions.outputs["expression"], dev.labels, run.classes)
    # What `export` fits and checks is the expression.
    is_labeled = dev.labels != NO_LABEL
    dev = dev.part(is_labeled)
    size = module.recipe.data.input_size
    crops = [resize_crop(dev.image(face), size) for face in range(min(N_STORED_CROPS, len(dev)))]
    arrays = {
        "logits": predictions.outputs["expression"][is_labeled],
        "labels": dev.labels,
        "crops": np.stack(crops),
        "pack_numbers": dev.pack_numbers,
        "rows": dev.rows,
    }
    with new_file(run.path / "dev.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    result = {
        "best_epoch": best_epoch(metrics_path, select_by),
        "epochs": len(read_metrics(metrics_path)),
        "select_by": select_by,
        "dev": {"n": scores.n, **scores.values},
    }
    run.write_result(result)
    return result
