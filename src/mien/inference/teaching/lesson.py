"""Teaching: from labeled crops to a model file with other classes, or an honest refusal.

The layers of the network stay as they are; a new linear layer takes its features. Every class has the same share in the
loss, however many faces it has, so that the classes are taken to be equally common. With ``keep_classes`` the model's
classes stay beside the new ones: the layer tells only "none of the new classes" from each new class, and that probability is
divided among the kept classes as the model does. So the odds between two kept classes never change, and the labels of
faces of kept classes do not matter. A new class is then taken to be as common as the kept ones are on average.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mien
from mien.errors import DatasetError, ModelError
from mien.faces.classes import canonical_class, check_class_names, check_new_class_names, ordered_classes
from mien.faces.near_duplicates import find_groups
from mien.faces.perceptual_hash import perceptual_hash
from mien.faces.thumbnail import thumbnail
from mien.formats.class_fractions import read_class_fractions
from mien.formats.expression_head import ExpressionHead, replace_head
from mien.formats.model_file import read_model_content
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.inference.teaching.cross_validation import balance, choose_folds, cross_validate, n_fits
from mien.inference.teaching.evidence import measure, require_evidence
from mien.metrics.calibration import fit_temperature, smooth_labels
from mien.metrics.softmax import softmax
from mien.runtime.progress import Progress

# What the faces of all kept classes are together.
REST = "none of the new classes"
BATCH_FACES = 32
# The file is computed in float32.
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """Faces to learn from.

    Attributes:
        crops: ``(N, S, S, 3)`` uint8 RGB, as the model takes them.
        labels: the class of each face.
        persons: who each face is, or None where that is not known; faces of a person stay together in cross-validation.
    """

    crops: NDArray[np.uint8]
    labels: tuple[str, ...]
    persons: tuple[str | None, ...]


def teach(
    model: OnnxModel,
    shots: Shots,
    *,
    keep_classes: bool = False,
    merge: Mapping[str, Sequence[str]] | None = None,
) -> OnnxModel:
    """Return a model with the classes of the shots. It is not saved yet: `OnnxModel.content` is its file.

    Args:
        model: the model whose features are used.
        shots: enough faces of each class for `choose_folds`.
        keep_classes: keep the model's classes beside the new ones. Faces of the model's classes are then needed too, as
            examples of what is not a new class.
        merge: classes to combine to one, by the name of the new one.

    Raises:
        DatasetError: there are too few faces or classes, or ``merge`` names an unknown class.
        ModelError: cross-validation gives no evidence that the classes can be told apart by these features.
    """
    if not len(shots.crops):
        raise DatasetError("There is no face to teach on: give at least five images of each class")
    if problem := check_class_names(dict.fromkeys(shots.labels)):
        raise DatasetError(f"The labels must be names of classes: {problem}")
    merged = _merged_names({*shots.labels, *(model.info.classes if keep_classes else ())}, merge or {})
    if keep_classes:
        new = ordered_classes(set(shots.labels) - set(model.info.classes))
        rows = (REST, *new)
        labels = np.array([rows.index(name) if name in new else 0 for name in shots.labels], dtype=np.int64)
        all_names = (*model.info.classes, *new)
    else:
        names = tuple(merged.get(name, name) for name in shots.labels)
        rows = all_names = ordered_classes(set(names))
        labels = np.array([rows.index(name) for name in names], dtype=np.int64)
    classes = tuple(dict.fromkeys(merged.get(name, name) for name in all_names))
    if problem := check_new_class_names(classes):
        raise DatasetError(f"The classes must have names that a model file can hold: {problem}")
    groups = group_shots(shots)
    folds = choose_folds(labels, groups, rows, keep_classes=keep_classes)
    with Progress("Computing features", total=len(shots.crops), unit="face") as progress:
        outputs, features = model.run_batches_with_features(_batches(shots.crops), progress=progress)
    kept = outputs["expression"]
    shares = np.full(len(rows), 1 / len(all_names))
    shares[0] += 1 - shares.sum()
    with Progress("Cross-validating", total=n_fits(len(np.unique(folds))), unit="fit") as progress:
        found = cross_validate(features, labels, folds, shares, on_fit=progress.advance)
    targets = smooth_labels(labels, n_classes=len(rows))
    temperature = fit_temperature(found.logits, targets, weights=balance(labels, shares))
    merging = None
    if keep_classes and merged:
        merging = np.array(
            [[merged.get(name, name) == into for into in classes] for name in all_names], float
        )
    head = ExpressionHead(*found.layer, temperature, keep_classes, merging)
    probabilities = replace(head, merging=None).combine(softmax(found.logits, temperature=temperature), kept)
    predicted = np.maximum(probabilities.argmax(axis=1) - (len(all_names) - len(rows)), 0)
    measured = measure(labels, predicted, groups, rows)
    require_evidence(measured)
    taught = {
        "model": model.path.stem,
        "model_sha256": model.sha256,
        "kept_classes": list(model.info.classes) if keep_classes else [],
        "merged": {into: [name for name in merged if merged[name] == into] for into in merged.values()},
        "strength": found.strength,
        "folds": len(np.unique(folds)),
        "cross_validation": measured,
        "mien_version": mien.__version__,
    }
    info = _describe(model.info, classes, head, taught)
    expected = head.combine(softmax(found.layer.logits(features), temperature=temperature), kept)
    return _build(model, head, info, shots.crops, expected)


def _build(
    base: OnnxModel,
    head: ExpressionHead,
    info: ModelInfo,
    crops: NDArray[np.uint8],
    expected: NDArray[np.float64],
) -> OnnxModel:
    """Return a model with another head.

    Raises:
        ModelError: its probabilities for the crops are not those ``(N, C)`` that are expected.
    """
    file = read_model_content(replace_head(base.content(), head, info), where="the taught model")
    result = OnnxModel(
        Path("taught.onnx"), file, threads=base.threads, providers=base.providers, in_memory=True
    )
    difference = float(np.abs(result.run_batches(_batches(crops))["expression"] - expected).max())
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"The taught file's probabilities differ by {difference:.2g} from those that were computed, at most {_TOLERANCE} is "
            "accepted as rounding error. Start from another model"
        )
    return result


def _batches(crops: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    return (crops[start : start + BATCH_FACES] for start in range(0, len(crops), BATCH_FACES))


def group_shots(shots: Shots) -> NDArray[np.int64]:
    """Return a group ``(N,)`` for each face: near-duplicates and the faces of a person are in one."""
    hashes = np.frombuffer(b"".join(map(perceptual_hash, shots.crops)), np.uint8).reshape(-1, 32)
    groups = find_groups(hashes, np.stack([thumbnail(crop) for crop in shots.crops]))
    first_of: dict[str, int] = {}
    for index, person in enumerate(shots.persons):
        if person is not None:
            groups[groups == groups[index]] = groups[first_of.setdefault(person, index)]
    return groups


def _merged_names(known: set[str], merge: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the new name of each class that is merged into another.

    Raises:
        DatasetError: a class is unknown, or merged twice.
    """
    merged: dict[str, str] = {}
    for into, names in merge.items():
        for written in names:
            name = written if written in known else canonical_class(written) or written
            if name not in known:
                raise DatasetError(
                    f"There is no class {name!r} to merge into {into!r}. The classes are {', '.join(ordered_classes(known))}"
                )
            if merged.setdefault(name, into) != into:
                raise DatasetError(
                    f"The class {name!r} is merged into both {merged[name]!r} and {into!r}: choose one"
                )
    return merged


def _describe(
    base: ModelInfo, classes: tuple[str, ...], head: ExpressionHead, taught: dict[str, Any]
) -> ModelInfo:
    """Return the metadata of the taught model: the base model's, where they are still true."""
    pack = {key: value for key, value in base.training.get("pack", {}).items() if key != "train_counts"}
    pack.pop("class_fractions", None)
    try:
        fractions = np.full(len(classes), 1 / len(classes))
        if head.keeps_classes:
            n_new = len(head.bias) - 1
            kept = read_class_fractions(base) * len(base.classes)
            fractions = np.append(kept, np.ones(n_new)) / (len(base.classes) + n_new)
            fractions = fractions if head.merging is None else fractions @ head.merging
        pack["class_fractions"] = fractions.tolist()
    except ModelError:
        pass  # the base model does not record them
    scores = taught["cross_validation"]
    if "taught" in base.training:
        taught = taught | {"earlier": base.training["taught"]}
    training = base.training | {
        "pack": pack,
        "taught": taught,
        "selection": f"penalty by cross-validation over {scores['n']} taught faces",
        "dev": {key: scores[key] for key in ("n", "accuracy", "balanced_accuracy")},
    }
    training.pop("n_parameters", None)
    quantization = None
    if base.quantization is not None:
        quantization = {key: value for key, value in base.quantization.items() if key != "gate"}
    return replace(
        base, classes=classes, temperature=head.temperature, training=training, quantization=quantization
    )
