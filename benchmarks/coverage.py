"""Whether the sets of `mien predict --coverage` keep their promise, and whether a low probability betrays foreign faces.

    python benchmarks/coverage.py --report REPORT [--other NAME=REPORT ...] [--pack PACK] [--coverage 0.9] [--repeats 100]

REPORT is one of `mien evaluate`. The faces of a class are halved at random: one half sets the quantiles, the other is covered or
not, and the mean over the repeats is printed with the mean size of the sets; then all of REPORT sets the quantiles for the faces
of each other report. For the alarm, it prints the area under the ROC curve of two scores, 1 minus the largest probability and the
entropy, for the faces of REPORT against those of each other report, by class where the model does not know it, and against the faces
of PACK's val split with black over their lower 40%.
"""

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.assets.bundled_models import find_model
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.formats.pack.selection import read_batches
from mien.metrics.conformal import class_quantiles, is_in_set

SEED = 0
COVERED_FROM = 0.6


def read_report(report: Path) -> tuple[list[str], NDArray[np.str_], NDArray[np.float64]]:
    """Return the classes of the model, the true class of each face, and the probabilities ``(N, C)``."""
    with (report / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = [name.removeprefix("p_") for name in rows[0] if name.startswith("p_")]
    probabilities = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
    return classes, np.array([row["true"] for row in rows]), probabilities


def scores(probabilities: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return what rises where the model is unsure, ``(N,)`` each."""
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1)
    return {"1 - largest": 1 - probabilities.max(axis=1), "entropy": entropy}


def roc_area(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Return the probability that a score of ``high`` is above one of ``low``, ties counting half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")
    return float(below.mean() / 2 / len(low))


def black_bar(pack: Path) -> NDArray[np.float64]:
    """Return the probabilities of the val faces of a pack with black over mouth and chin."""
    model = OnnxModel.load(find_model(None))
    faces = Pack.open(pack).split("val")

    def covered() -> Iterable[NDArray[np.uint8]]:
        for images_rgb in read_batches(faces, size=model.info.input_size, batch_size=32):
            changed = images_rgb.copy()
            changed[:, round(COVERED_FROM * images_rgb.shape[1]) :] = 0
            yield changed

    return np.concatenate([model.run(batch)["expression"] for batch in covered()]).astype(np.float64)


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=REPORT")
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--repeats", type=int, default=100)
    args = parser.parse_args()
    classes, names, probabilities = read_report(args.report)
    labels = np.array([classes.index(name) if name in classes else -1 for name in names])
    labels, probabilities = labels[labels >= 0], probabilities[labels >= 0]
    others = {text.partition("=")[0]: read_report(Path(text.partition("=")[2])) for text in args.other}

    random = np.random.default_rng(SEED)
    hits, sizes = np.zeros((args.repeats, len(classes))), np.zeros((args.repeats, len(classes)))
    for repeat in range(args.repeats):
        is_calibration = np.zeros(len(labels), bool)
        for label in range(len(classes)):
            members = random.permutation(np.flatnonzero(labels == label))
            is_calibration[members[: len(members) // 2]] = True
        quantiles = class_quantiles(probabilities[is_calibration], labels[is_calibration], args.coverage)
        sets = is_in_set(probabilities[~is_calibration], quantiles)
        rest = labels[~is_calibration]
        for label in range(len(classes)):
            hits[repeat, label] = sets[rest == label, label].mean()
            sizes[repeat, label] = sets[rest == label].sum(axis=1).mean()
    quantiles = class_quantiles(probabilities, labels, args.coverage)
    print(
        "| class | n | covered, halves | set size | "
        + "".join(f"{name}: n, covered, size | " for name in others)
    )
    print("|---" * (4 + len(others)) + "|")
    for label, name in enumerate(classes):
        cells = [
            name,
            f"{(labels == label).sum():,}",
            f"{hits[:, label].mean():.1%}",
            f"{sizes[:, label].mean():.2f}",
        ]
        for _, true, found in others.values():
            sets = is_in_set(found[true == name], quantiles)
            is_none = not len(sets)
            cells.append(
                "0" if is_none else f"{len(sets)}, {sets[:, label].mean():.1%}, {sets.sum(axis=1).mean():.2f}"
            )
        print("| " + " | ".join(cells) + " |")

    foreign = {}
    for name, (_, true, found) in others.items():
        foreign[name] = found[np.isin(true, classes)]
        for label_name in sorted({*true} - {*classes, ""}):
            foreign[f"{name}: {label_name}"] = found[true == label_name]
    if args.pack is not None:
        foreign["black over the lower 40%"] = black_bar(args.pack)
    known = scores(probabilities)
    print("\n| against | n | " + " | ".join(f"AUC of {score}" for score in known) + " |")
    print("|---" * (2 + len(known)) + "|")
    for name, found in foreign.items():
        areas = [f"{roc_area(known[score], values):.3f}" for score, values in scores(found).items()]
        print(f"| {name} | {len(found):,} | " + " | ".join(areas) + " |")


if __name__ == "__main__":
    main()
