"""Predictions for the faces of a pack by networks that were not trained on them: the only ones that can judge a label.

A network that was trained on a label has learned it, right or wrong.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import read_json
from mien.assets.bundled_models import find_model
from mien.errors import ArtifactError
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.formats.pack.selection import FaceSelection, read_batches
from mien.formats.run import Run
from mien.formats.trained_on import may_have_seen, source_names
from mien.metrics.calibration import fit_temperature
from mien.metrics.softmax import softmax
from mien.runtime.nested import find_dict
from mien.runtime.progress import Progress

BATCH_SIZE = 32
_SERIES, _SERIES_SUMMARY = "runs.json", "summary.json"


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """What networks predict for N faces that they were not trained on.

    Attributes:
        classes: C classes, in the order of the columns.
        probabilities: ``(N, C)`` float64; NaN for a face without a prediction.
        landmarks: ``(N, 68, 2)`` fractions of the crop; None if they are not predicted.
        source: where the predictions come from, as a phrase.
        record: the same for audit.json.
        warnings: why they may say less about the labels than they seem to, a sentence each.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    landmarks: NDArray[np.float32] | None
    source: str
    record: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())


def predict_by_model(name: str | None, pack: Pack, faces: FaceSelection) -> HeldOutPredictions:
    """Predict faces with a model file.

    Args:
        name: name of a bundled model, a file, or None for the default model.
        pack: the pack of the faces.
        faces: the faces.

    Raises:
        ArtifactError: the model cannot be read, or was trained on the pack.
        ModelError: its outputs are not finite.
    """
    model = OnnxModel.load(find_model(name))
    info = model.info
    seen = [split.name for split in faces.splits if may_have_seen(info, pack.info, split.name)]
    if seen:
        others = [split for split in pack.splits if not may_have_seen(info, pack.info, split)]
        instead = "".join(f" Audit only --split {split}, or" for split in others[:1]) or " Instead,"
        raise ArtifactError(
            f"Model {model.path.name} was trained on split {seen[0]} of pack {pack.path.resolve().name}: it has learned these "
            f"labels, wrong ones too, so that it cannot tell which are wrong.{instead} cross-validate with `mien train "
            f"--pack {pack.path} --folds 5 --out FOLDS` and give --folds FOLDS, or choose a model that was trained on "
            "other faces"
        )
    warnings = []
    trained_on = find_dict(info.training, "pack")
    sources = source_names(trained_on)
    if pack.info.content_sha256 not in trained_on.get("members", ()) and pack.info.source in sources:
        warnings.append(
            f"The model was trained on another pack of the same kind of set ({pack.info.source}), perhaps of these very "
            "faces. If it was, it has learned their labels, wrong ones too, and most wrong labels are missed: use --folds"
        )
    elif not trained_on:
        warnings.append(
            "The model file does not say what the model was trained on: make sure that it was not this pack"
        )
    if misfit := info.crop.explain_misfit(pack.info.crop, input_size=info.input_size):
        warnings.append(misfit)
    batches = read_batches(faces, size=info.input_size, batch_size=BATCH_SIZE)
    with Progress("Predicting", total=len(faces), unit="face") as progress:
        outputs = model.run_batches(batches, progress=progress)
    return HeldOutPredictions(
        info.classes,
        outputs["expression"].astype(np.float64),
        outputs.get("landmarks"),
        f"model {model.path.name}",
        {"kind": "model", "file": model.path.name, "training_pack": trained_on},
        tuple(warnings),
    )


def read_run_predictions(path: Path, pack: Pack, faces: FaceSelection) -> HeldOutPredictions:
    """Return a finished run's predictions for its dev split.

    Raises:
        ArtifactError: the run cannot be read, has not finished, or was not trained on the pack.
    """
    if (path / _SERIES).exists():
        raise ArtifactError(
            f"{path} holds several runs. Give a cross-validation as --folds, or one of its runs as --run"
        )
    run = Run.open(path)
    probabilities, epoch = _scatter(run, None, pack, faces)
    return HeldOutPredictions(
        run.classes,
        probabilities,
        None,
        f"run {path.resolve().name}, for the dev split that it held out",
        {"kind": "run", "folder": path.resolve().name, "best_epoch": epoch},
        _warn_of_start(run),
    )


def read_fold_predictions(path: Path, pack: Pack, faces: FaceSelection) -> HeldOutPredictions:
    """Return the predictions of a cross-validation: each face's by the network that did not train on it.

    Raises:
        ArtifactError: the cross-validation cannot be read, has not finished, or was not on the pack.
    """
    series = read_json(path / _SERIES, what="cross-validation", advice="Make one with `mien train --folds 5`")
    if series.get("kind") != "folds":
        raise ArtifactError(
            f"{path} holds runs of a sweep, which all train on the same faces. Give a folder of `mien train --folds K`"
        )
    if not (path / _SERIES_SUMMARY).exists():
        raise ArtifactError(
            f"The cross-validation {path} has not finished. Resume it with `mien train ... --resume`"
        )
    try:
        summary = read_json(path / _SERIES_SUMMARY, what="cross-validation")
        folds = [(str(fold["folder"]), float(fold["temperature"])) for fold in summary["folds"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path / _SERIES_SUMMARY} is damaged: {error!r:.100}. Train again with --force"
        ) from None
    if not folds or not all(0 < temperature < np.inf for _, temperature in folds):
        raise ArtifactError(
            f"{path / _SERIES_SUMMARY} is damaged: it has no temperatures. Train again with --force"
        )
    probabilities = np.empty(0)
    warnings: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    for folder, temperature in folds:
        run = Run.open(path / Path(folder).name)
        found, _ = _scatter(run, temperature, pack, faces)
        if classes and run.classes != classes:
            raise ArtifactError(f"The folds of {path} have different classes. Train again with --force")
        classes, warnings = run.classes, _warn_of_start(run)
        probabilities = np.where(np.isnan(found), probabilities, found) if len(probabilities) else found
    return HeldOutPredictions(
        classes,
        probabilities,
        None,
        f"{len(folds)}-fold cross-validation {path.resolve().name}",
        {"kind": "folds", "folder": path.resolve().name, "n_folds": len(folds)},
        warnings,
    )


def _scatter(
    run: Run, temperature: float | None, pack: Pack, faces: FaceSelection
) -> tuple[NDArray[np.float64], int]:
    """Return a run's probabilities for the faces that it held out, NaN for the others, and its epoch.

    Args:
        run: a finished run.
        temperature: divides the logits; None: fitted on these faces, one number for all of them.
        pack: the pack of the faces.
        faces: the whole train split of the pack.
    """
    epoch = run.read_result()["best_epoch"]
    members = run.pack.get("members", [run.pack.get("content_sha256")])
    if pack.info.content_sha256 not in members:
        raise ArtifactError(
            f"Run {run.path} was trained on another pack ({run.pack.get('path')}), or on this one before it was prepared "
            f"again: its faces cannot be matched with those of {pack.path}. Give the pack that it was trained on"
        )
    outputs = run.read_dev_outputs()
    if outputs.pack_numbers is None or outputs.rows is None:
        raise ArtifactError(
            f"Run {run.path} is from an earlier release, which did not record which faces were held out. Train again"
        )
    is_here = outputs.pack_numbers == members.index(pack.info.content_sha256)
    rows = outputs.rows[is_here]
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(faces):
        raise ArtifactError(f"The held-out faces of {run.path} are not in pack {pack.path}. Train again")
    if temperature is None:
        temperature = fit_temperature(outputs.logits, outputs.labels)
    probabilities = np.full((len(faces), len(run.classes)), np.nan)
    probabilities[rows] = softmax(outputs.logits, temperature=temperature)[is_here]
    return probabilities, epoch


def _warn_of_start(run: Run) -> tuple[str, ...]:
    """Warn of weights or of a teacher that may have learned the faces that the run held out."""
    weights = find_dict(run.recipe, "model").get("weights")
    teacher = find_dict(run.recipe, "schedule", "loss").get("teacher")
    started = [
        f"`{name}: {value}`"
        for name, value in (("model.weights", weights), ("loss.teacher", teacher))
        if value
    ]
    return (
        (
            (
                f"The network was trained with {' and '.join(started)}: if that was trained on faces of this pack, it has "
                "learned their labels, and wrong ones are missed"
            ),
        )
        if started
        else ()
    )
