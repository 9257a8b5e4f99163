"""The stage: a pack and a recipe become a run folder."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from mien.artifacts import (
    disk_errors,
    make_folder,
    new_file,
    one_writer,
    remove_partials,
    write_atomically,
    write_json,
    write_text,
)
from mien.errors import ArtifactError, ModelError
from mien.faces.crop import CropContract, resize_crop
from mien.formats.pack import Pack
from mien.formats.run import WEIGHTS, Run
from mien.nets.checkpoint import load_network
from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import Recipe, format_recipe
from mien.recipe.validation import check_values
from mien.runtime.nested import flatten
from mien.train.dataset import TrainingFaces, read_training_faces
from mien.train.earlier_run import claim_run, keep_earlier_run
from mien.train.lightning_adapter import EpochResult, FaceModule, build_trainer, fit, read_dev
from mien.train.logs import (
    append_metrics,
    best_epoch,
    draw_curves,
    quiet_event_writer,
    read_metrics,
    write_provenance,
)
from mien.train.objective import Teacher
from mien.train.optimization import fit_to_epochs
from mien.train.validation import score_dev

N_KEPT_CROPS = 64
# Drawing the curves takes a second, as long as an epoch of a small pack.
SECONDS_BETWEEN_DRAWINGS = 30.0


@dataclass(frozen=True)
class TrainSummary:
    """How a run ended. Its text is what the command prints."""

    out: Path
    result: dict[str, Any]
    n_train: int
    n_leaks: int

    def __str__(self) -> str:
        dev = self.result["dev"]
        scores = ", ".join(f"{name} {value:.4f}" for name, value in dev.items() if name != "n")
        left_out = f", {self.n_leaks:,} left out that repeat a face of another split" if self.n_leaks else ""
        chosen = (
            f"epoch {self.result['best_epoch']} of {self.result['epochs']}, by {self.result['select_by']} "
            f"on the dev split of train (n = {dev['n']:,})"
        )
        lines = [
            f"trained on {self.n_train:,} faces" + left_out,
            f"chosen: {chosen}: {scores}",
            f"run: {self.out}",
        ]
        return "\n".join(lines)


def train(
    recipe: Recipe, pack_paths: Sequence[Path], out: Path, *, resume: bool = False, force: bool = False
) -> TrainSummary | None:
    """Train a network.

    Args:
        recipe: what to do.
        pack_paths: what to learn from, one pack or several.
        out: the run's folder.
        resume: go on in an unfinished run folder; begin where there is none.
        force: replace an existing run.

    Returns:
        How it ended; None on the other processes of a distributed run.

    Raises:
        ArtifactError: OUT exists, or cannot be resumed.
        DatasetError: the packs do not suit the recipe.
        ModelError: the network cannot be built, or the loss is no longer finite.
        RecipeError: a value makes no sense, or the machine has not what the recipe asks for.
    """
    check_values(recipe)
    packs = [Pack.open(path) for path in pack_paths]
    faces = read_training_faces(packs, recipe.data)
    asked, recipe = recipe, fit_recipe(recipe, faces)
    run = _describe(recipe, packs, faces, out)
    trainer = build_trainer(recipe, out, _keep_epoch(run, recipe.schedule.select_by))
    is_first = trainer.is_global_zero
    with ExitStack() as held:
        if is_first:
            held.enter_context(one_writer(out))
        goes_on = resume and (out / "run.json").exists()
        resume_from = _checkpoint_of(run) if goes_on else None
        network = build_network(recipe, faces.classes, from_scratch=resume_from is not None)
        module = FaceModule(network, faces, recipe, teacher=load_teacher(recipe, faces.classes, run.crop))
        held.enter_context(disk_errors(out, "free some space and add --resume"))
        if is_first:
            held.enter_context(keep_earlier_run(run))
        if is_first and resume_from is None:
            warn_of_short_phases(asked, recipe)
            _warn_of_doubled_corrections(recipe)
            _warn_of_learnt_dev_faces(run)
            if not goes_on:
                claim_run(out, force=force)
            _begin(run, recipe)
        if is_first:
            remove_partials(out)
            remove_partials(out / "checkpoints")
        with quiet_event_writer():
            fit(trainer, module, resume_from=resume_from)
        if not is_first:
            return None
        return TrainSummary(out, _finish(run, module), len(faces.train), faces.n_leaks)


def warn_of_short_phases(asked: Recipe, recipe: Recipe) -> None:
    """Tell that the head epochs or the warm-up gave way to a small number of epochs."""
    was, now = asked.schedule, recipe.schedule
    if was != now:
        sys.stderr.write(
            f"mien: `schedule.head_epochs` {was.head_epochs:g} and `schedule.warmup_epochs` {was.warmup_epochs:g} do not "
            f"fit into `schedule.epochs` {was.epochs}: taken as {now.head_epochs:g} and {now.warmup_epochs:g}\n"
        )


def _warn_of_doubled_corrections(recipe: Recipe) -> None:
    """Warn of several cures of one imbalance: together they make rare classes count too much."""
    loss = recipe.schedule.loss
    cures = {
        f"`data.sampling: {recipe.data.sampling}`": recipe.data.sampling != "uniform",
        f"`schedule.loss.class_weights: {loss.class_weights}`": loss.class_weights != "none",
        f"`schedule.loss.logit_adjustment: {loss.logit_adjustment:g}`": loss.logit_adjustment > 0,
    }
    stacked = [name for name, is_on in cures.items() if is_on]
    if len(stacked) > 1:
        sys.stderr.write(
            f"mien: {' and '.join(stacked)} correct the same imbalance twice, and rare classes may be answered "
            "too often. One of them is enough\n"
        )


def _warn_of_learnt_dev_faces(run: Run) -> None:
    """Warn of an earlier run on the same set that kept back other faces: it learnt some of this run's dev faces."""
    data = run.recipe["data"]
    for name in (run.recipe["model"]["weights"], run.recipe["schedule"]["loss"]["teacher"]):
        if name is None or not Path(name).is_dir():
            continue
        earlier = Run.open(Path(name))
        before = earlier.recipe["data"]
        changed = [
            key for key in ("dev_fraction", "split_seed", "folds", "fold") if before.get(key) != data[key]
        ]
        if changed and earlier.pack["source"] == run.pack["source"]:
            differ = ", ".join(f"`data.{key}` was {before.get(key)}, is {data[key]}" for key in changed)
            sys.stderr.write(
                f"mien: {name} kept back other dev faces ({differ}), so it learnt some of those that will choose the "
                "checkpoint: the figures on them will be too good. Give the same values\n"
            )


def load_teacher(recipe: Recipe, classes: tuple[str, ...], crop: CropContract) -> Teacher | None:
    """Return the recipe's teacher, which must know every class that is learnt and faces that are cut alike.

    Raises:
        ArtifactError: the run is missing, unfinished or damaged.
        ModelError: it does not know a class, or learnt other crops.
    """
    if recipe.schedule.loss.teacher is None:
        return None
    run = Run.open(Path(recipe.schedule.loss.teacher))
    run.read_result()
    unknown = [name for name in classes if name not in run.classes]
    if unknown:
        raise ModelError(
            f"The teacher {run.path} does not know {', '.join(unknown)}, it knows {', '.join(run.classes)}. "
            "Name the classes that it knows in `data.classes`"
        )
    if not run.crop.crops_like(crop):
        raise ModelError(
            f"The teacher {run.path} learnt {run.crop.method} crops with margin {run.crop.margin:g}, the pack's are "
            f"{crop.method} with margin {crop.margin:g}. Prepare the pack like the teacher's"
        )
    columns = [run.classes.index(name) for name in classes]
    return Teacher(load_network(run), columns, run.recipe["data"]["input_size"])


def fit_recipe(recipe: Recipe, faces: TrainingFaces) -> Recipe:
    """Return what of a recipe can be done.

    Heads that no training face has labels for are off: they would learn nothing and still answer. Head epochs and
    warm-up give way to a small number of epochs.
    """
    model = recipe.model
    landmarks = model.landmarks and bool(np.isfinite(faces.train.landmarks).any())
    valence_arousal = model.valence_arousal and bool(np.isfinite(faces.train.valence_arousal).any())
    return replace(
        recipe,
        model=replace(
            model,
            landmarks=landmarks,
            valence_arousal=valence_arousal,
            feed_landmarks=model.feed_landmarks and landmarks,
        ),
        schedule=fit_to_epochs(recipe.schedule),
    )


def build_network(recipe: Recipe, classes: tuple[str, ...], *, from_scratch: bool = False) -> FaceNetwork:
    """Build the network of a recipe with its first weights.

    Args:
        recipe: what to build.
        classes: expressions to tell apart.
        from_scratch: leave the first weights random, since others will be loaded.

    Raises:
        ModelError: there is no such backbone, or its weights cannot be had.
    """
    torch.manual_seed(recipe.runtime.seed)
    model = recipe.model
    network = build_face_network(
        model,
        len(classes),
        input_size=recipe.data.input_size,
        pretrained=model.pretrained and model.weights is None and not from_scratch,
    )
    if model.weights is not None and not from_scratch:
        _load_weights(network, Path(model.weights), classes)
    return network


def _load_weights(network: FaceNetwork, path: Path, classes: tuple[str, ...]) -> None:
    """Take over every weight of the right name and shape, of a run or a file; heads of other classes begin anew."""
    if not path.exists():
        raise ModelError(f"`model.weights` {path} does not exist. Name an earlier run or a safetensors file")
    run = Run.open(path) if path.is_dir() else None
    if run is not None:
        run.require_unchanged("run.json")
        run.require_unchanged(WEIGHTS)
        path = run.best_weights_path
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"`model.weights` {path} cannot be read as safetensors: {error}") from None
    if run is not None and run.classes != classes:
        weights = {name: value for name, value in weights.items() if not name.startswith("expression_head.")}
    own = network.state_dict()
    named = {
        name: value
        for key, value in weights.items()
        for name in (key, f"backbone.{key}")
        if name in own and own[name].shape == value.shape
    }
    n_backbone = sum(name.startswith("backbone.") for name in own)
    n_found = sum(name.startswith("backbone.") for name in named)
    if n_found < n_backbone:
        raise ModelError(
            f"`model.weights` {path} fits only {n_found} of the backbone's {n_backbone} tensors. "
            "Name the backbone that it was made with in `model.backbone`"
        )
    network.load_state_dict(named, strict=False)


def _describe(recipe: Recipe, packs: Sequence[Pack], faces: TrainingFaces, out: Path) -> Run:
    contents = [pack.info.content_sha256 for pack in packs]
    return Run(
        out,
        faces.classes,
        packs[0].info.crop,
        asdict(recipe),
        {
            "source": " + ".join(dict.fromkeys(pack.info.source for pack in packs)),
            "path": ", ".join(str(pack.path) for pack in packs),
            "content_sha256": contents[0]
            if len(packs) == 1
            else sha256("".join(contents).encode()).hexdigest(),
            "members": contents,
            "n_train": len(faces.train),
            "n_dev": len(faces.dev),
            "n_leaks_left_out": faces.n_leaks,
            "train_counts": np.bincount(faces.train.labels, minlength=len(faces.classes)).tolist(),
        },
    )


def _checkpoint_of(run: Run) -> Path | None:
    """Return where a run goes on, after checking that it is the same run; None if it has no checkpoint yet.

    Raises:
        ArtifactError: the recipe or the pack is another, or the run is finished.
    """
    earlier = Run.open(run.path)
    if (run.path / "result.json").exists():
        raise ArtifactError(
            f"Run {run.path} is finished. Train in another folder, or begin again with --force in place of --resume"
        )
    if earlier.pack["content_sha256"] != run.pack["content_sha256"]:
        raise ArtifactError(
            f"Run {run.path} was begun on another pack: {earlier.pack['path']}. Resume with that"
        )
    was, now = flatten(earlier.recipe), flatten(run.recipe)
    # The seed decides every draw; the rest of `runtime` may differ.
    keys = [key for key in now if not key.startswith("runtime.") or key == "runtime.seed"]
    changed = [key for key in keys if was.get(key) != now[key]]
    if changed:
        raise ArtifactError(
            f"Run {run.path} was begun with another recipe: {', '.join(changed)} differ. "
            f"Resume with --recipe {run.path / 'recipe.yaml'}"
        )
    path = run.last_checkpoint_path
    if path.exists():
        _require_readable(path)
        return path
    return None


def _require_readable(path: Path) -> None:
    try:
        torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ArtifactError(
            f"Checkpoint {path} cannot be read ({reason}). Remove it to begin the run again"
        ) from error


def _begin(run: Run, recipe: Recipe) -> None:
    make_folder(run.path)
    # first, so that a folder which a kill leaves can be gone on in, or replaced
    write_json(run.path / "run.json", run.to_dict())
    make_folder(run.path / "checkpoints")
    write_text(run.path / "recipe.yaml", format_recipe(recipe))
    write_provenance(run.path / "provenance.json", {"seed": recipe.runtime.seed, "pack": run.pack})


def _keep_epoch(run: Run, select_by: str) -> Callable[[FaceNetwork, EpochResult], None]:
    """Return the callback that logs an epoch and keeps the weights if it is the best so far."""
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
            write_atomically(run.best_weights_path, lambda partial: _write_bytes(partial, save(weights)))
        if time.monotonic() >= next_drawing:
            draw_curves(metrics_path, run.path / "curves.png")
            next_drawing = time.monotonic() + SECONDS_BETWEEN_DRAWINGS

    return on_epoch_end


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _finish(run: Run, module: FaceModule) -> dict[str, Any]:
    """Measure the chosen weights once more and write what `export` needs."""
    select_by = module.recipe.schedule.select_by
    metrics_path = run.path / "metrics.csv"
    draw_curves(metrics_path, run.path / "curves.png")
    reading = read_dev(module, load_file(run.best_weights_path))
    dev = module.faces.dev
    scores = score_dev(reading, dev)
    size = module.recipe.data.input_size
    crops = [resize_crop(dev.image(face), size) for face in range(min(N_KEPT_CROPS, len(dev)))]
    arrays = {
        "logits": reading.logits,
        "labels": dev.labels,
        "crops": np.stack(crops),
        "pack_numbers": dev.pack_numbers,
        "rows": dev.rows,
    }
    with new_file(run.path / "dev.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    result = {
        "best_epoch": best_epoch(metrics_path, select_by),
        "epochs": len(read_metrics(metrics_path)),
        "select_by": select_by,
        "dev": {"n": scores.n, **scores.values},
    }
    run.write_result(result)
    return result
