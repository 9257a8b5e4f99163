"""What `mien teach` is worth: balanced accuracy by the number of photographs, and what kept classes lose to a new one.

    python benchmarks/teach.py --photos faces.pack --ferplus ferplus.pack

`faces.pack` and `ferplus.pack` are those of "The bundled model" in docs/results.md. Shots are drawn from a pack's train split,
and measured on its val split, which selects nothing. In `faces.pack` no person is in both. FER+'s train faces have trained
the network, so that the second table shows what kept classes lose rather than how few faces are enough.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from mien.assets.bundled_models import find_model
from mien.errors import ModelError
from mien.formats.class_fractions import read_class_fractions
from mien.formats.expression_head import BIAS, WEIGHT, ExpressionHead, replace_head
from mien.formats.model_file import read_model_content
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.formats.pack.selection import FaceSelection, read_batches
from mien.inference.teaching.lesson import Shots, teach
from mien.metrics.bootstrap import bootstrap_confusion
from mien.metrics.classification import balanced_accuracy, confusion_matrix
from mien.metrics.softmax import softmax

# Those with enough faces on both sides; Fear has 11 and 2, Contempt 5 and none.
PHOTO_CLASSES = ("Neutral", "Happy", "Sad", "Surprise", "Disgust", "Anger")
NEW_CLASSES = ("Happy", "Sad", "Surprise", "Anger")
COUNTS = (5, 10, 20, 40)


def read_faces(
    path: Path, split: str, size: int, classes: tuple[str, ...]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the crops ``(N, S, S, 3)`` of some classes and their labels."""
    pack = Pack.open(path)
    faces = pack.split(split)
    rows = np.flatnonzero(np.isin(faces.labels, [pack.info.classes.index(name) for name in classes]))
    labels = np.asarray(faces.labels)[rows]
    selection = FaceSelection((faces,), np.zeros(len(rows), np.int64), rows, labels)
    crops = np.concatenate(list(read_batches(selection, size=size, batch_size=256)))
    return crops, [pack.info.classes[label] for label in labels]


def draw(labels: list[str], names: tuple[str, ...], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of n faces of each class."""
    return np.concatenate(
        [rng.choice(np.flatnonzero(np.array(labels) == name), n, replace=False) for name in names]
    )


class Faces:
    """Crops to measure on, with the features that every model with this network has for them.

    Attributes:
        features: ``(N, F)``.
        probabilities: ``(N, C)`` of the model.
    """

    def __init__(self, model: OnnxModel, crops: NDArray[np.uint8]) -> None:
        batches = (crops[start : start + 64] for start in range(0, len(crops), 64))
        outputs, self.features = model.run_batches_with_features(batches)
        self.probabilities = outputs["expression"]

    def predict(self, taught: OnnxModel) -> NDArray[np.str_]:
        """Return the classes that a taught file predicts, by the tensors of its head."""
        weight, bias = read_head(taught)
        keeps_classes = bool(taught.info.training["taught"]["kept_classes"])
        head = ExpressionHead(weight, bias, taught.info.temperature, keeps_classes)
        gate = softmax(self.features @ weight.T + bias, temperature=head.temperature)
        return np.array(taught.info.classes)[head.combine(gate, self.probabilities).argmax(axis=1)]


def read_head(model: OnnxModel) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight and bias of a file's last expression head."""
    tensors = onnx.load_from_string(model.content()).graph.initializer
    weight, bias = ([entry for entry in tensors if entry.name.startswith(key)][-1] for key in (WEIGHT, BIAS))
    return onnx.numpy_helper.to_array(weight), onnx.numpy_helper.to_array(bias)


def recalls(
    predicted: NDArray[np.str_], labels: NDArray[np.str_], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """Return the recall of each class, in percent."""
    return np.array([100 * (predicted[labels == name] == name).mean() for name in names])


def over_draws(values: list[float]) -> str:
    """Return the mean and the central 95% of the draws."""
    if not values:
        return "-"
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{np.mean(values):.1f} [{low:.1f}, {high:.1f}]"


def measure_photos(base: OnnxModel, path: Path, n_draws: int) -> None:
    """Print the table of photographs."""
    size = base.info.input_size
    crops, labels = read_faces(path, "train", size, PHOTO_CLASSES)
    val_crops, val_names = read_faces(path, "val", size, PHOTO_CLASSES)
    val_labels = np.array(val_names)
    faces = Faces(base, val_crops)
    own = faces.probabilities[:, [base.info.classes.index(name) for name in PHOTO_CLASSES]]
    fractions = read_class_fractions(base.info)[[base.info.classes.index(name) for name in PHOTO_CLASSES]]
    print(f"\nPhotographs, {len(PHOTO_CLASSES)} classes, n = {len(val_labels)}; {n_draws} draws\n")
    print(
        "| head | shots per class | balanced accuracy, % | its own cross-validation, % | refused | CPU seconds |"
    )
    print("|---|---|---|---|---|---|")
    for title, values in (("the model's own", own), ("the same, prior `balanced`", own / fractions)):
        truth = np.array([PHOTO_CLASSES.index(name) for name in val_labels])
        confusion = confusion_matrix(truth, values.argmax(axis=1), n_classes=len(PHOTO_CLASSES))
        low, high = bootstrap_confusion(confusion, balanced_accuracy)
        estimate = f"{100 * float(balanced_accuracy(confusion)):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        print(f"| {title} | | {estimate} | | | |", flush=True)
    for n in COUNTS:
        found, estimated, seconds = [], [], []
        for number in range(n_draws):
            chosen = draw(labels, PHOTO_CLASSES, n, np.random.default_rng([number, n]))
            shots = Shots(crops[chosen], tuple(labels[index] for index in chosen), (None,) * len(chosen))
            start = time.process_time()
            try:
                taught = teach(base, shots)
            except ModelError:
                continue
            seconds.append(time.process_time() - start)
            found.append(recalls(faces.predict(taught), val_labels, PHOTO_CLASSES).mean())
            estimated.append(100 * taught.info.training["taught"]["cross_validation"]["balanced_accuracy"])
        row = (over_draws(found), over_draws(estimated), n_draws - len(found), f"{np.mean(seconds):.1f}")
        print(f"| taught | {n} | {' | '.join(map(str, row))} |", flush=True)


def without_class(base: OnnxModel, name: str) -> OnnxModel:
    """Return the model without one class: its row of the expression head is left out."""
    rows = [index for index, other in enumerate(base.info.classes) if other != name]
    weight, bias = (tensor[rows] for tensor in read_head(base))
    training = {key: value for key, value in base.info.training.items() if key != "pack"}
    info = replace(base.info, classes=tuple(base.info.classes[row] for row in rows), training=training)
    content = replace_head(base.content(), ExpressionHead(weight, bias, base.info.temperature), info)
    return OnnxModel(base.path, read_model_content(content, where=name), threads=base.threads, in_memory=True)


def measure_kept(base: OnnxModel, path: Path, n_draws: int) -> None:
    """Print the table of a class that is taught beside the kept ones."""
    size, classes = base.info.input_size, base.info.classes
    crops, labels = read_faces(path, "train", size, classes)
    val_crops, val_names = read_faces(path, "val", size, classes)
    val_labels, full = (
        np.array(val_names),
        np.array(classes)[Faces(base, val_crops).probabilities.argmax(axis=1)],
    )
    print(
        f"\nFER+ valid, n = {len(val_labels)}: one class left out of the head, and taught with --keep-classes; {n_draws} draws\n"
    )
    print(
        "| new class | shots of it, and of the others | its recall, % | other faces taken for it, % | accuracy on the other classes, % | refused |"
    )
    print("|---|---|---|---|---|---|")
    for name in NEW_CLASSES:
        small = without_class(base, name)
        is_new, others = val_labels == name, small.info.classes
        faces = Faces(small, val_crops)
        before = np.array(others)[faces.probabilities.argmax(axis=1)]

        def describe(
            predicted: NDArray[np.str_], is_new: NDArray[np.bool_] = is_new, name: str = name
        ) -> list[float]:
            wrong = 100 * (predicted[~is_new] == name).mean()
            kept = 100 * (predicted[~is_new] == val_labels[~is_new]).mean()
            return [100 * (predicted[is_new] == name).mean(), wrong, kept]

        print(f"| {name} | left out | 0 | 0 | {describe(before)[2]:.1f} | |")
        print(
            f"| | the model's own | {' | '.join(f'{value:.1f}' for value in describe(full))} | |", flush=True
        )
        for n in COUNTS:
            rows = []
            for number in range(n_draws):
                rng = np.random.default_rng([number, n, classes.index(name)])
                new = draw(labels, (name,), n, rng)
                rest = rng.permutation(draw(labels, others, -(-n // len(others)), rng))[:n]
                chosen = np.concatenate([new, rest])
                shots = Shots(crops[chosen], tuple(labels[index] for index in chosen), (None,) * len(chosen))
                try:
                    taught = teach(small, shots, keep_classes=True)
                except ModelError:
                    continue
                rows.append(describe(faces.predict(taught)))
            cells = [over_draws(list(column)) for column in zip(*rows, strict=True)] or ["-"] * 3
            print(f"| | {n} | {' | '.join(cells)} | {n_draws - len(rows)} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, metavar="PACK", help="photographs, in the model's crop")
    parser.add_argument("--ferplus", type=Path, metavar="PACK", help="FER+, in the model's crop")
    parser.add_argument("--draws", type=int, default=20, metavar="N")
    parser.add_argument("--model", help="file or bundled model (default: the bundled default model)")
    args = parser.parse_args()
    base = OnnxModel.load(find_model(args.model), threads=1)
    if args.photos is not None:
        measure_photos(base, args.photos, args.draws)
    if args.ferplus is not None:
        measure_kept(base, args.ferplus, args.draws)


if __name__ == "__main__":
    main()
