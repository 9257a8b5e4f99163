"""Accuracy of a model on faces with blur, low light, JPEG artifacts, low resolution, inaccurate crops, rotation or occlusion.

    python benchmarks/robustness.py --pack PACK [--model MODEL] [--split val] [--protocol all] [--limit N]
                                    [--out FILE.json] [--plot FILE.png]

Each perturbation is applied to the pack's crops at their own resolution, before they are resized for the model, at increasing strengths.
Lengths are fractions of the crop's side, so that a strength means the same for every pack. Geometric perturbations use mien's own crop
function, with black outside. Every face is perturbed in every row, and the random choices are the same for every model. The output is a
Markdown table: accuracy with its 95% interval over faces, and its difference from the clean faces with the interval of the
paired difference.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.assets.bundled_models import find_model
from mien.errors import MienError
from mien.faces.crop import crop_image, resize_crop
from mien.faces.images import decode_jpeg_rgb, encode_jpeg
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack, PackSplit
from mien.metrics.bootstrap import Interval, bootstrap_confusion
from mien.metrics.classification import accuracy, confusion_matrix
from mien.metrics.comparison import compare_paired
from mien.metrics.protocols import ClassProtocol, class_protocols
from mien.runtime.progress import Progress

Crop = NDArray[np.uint8]
Change = Callable[[Crop, float, np.random.Generator], Crop]
BATCH_SIZE = 32
SEED = 0


def blur(crop: Crop, sigma: float, _random: np.random.Generator) -> Crop:
    """Gaussian blur; sigma as a fraction of the side."""
    return cv2.GaussianBlur(crop, (0, 0), sigma * crop.shape[0])


def darken(crop: Crop, factor: float, random: np.random.Generator) -> Crop:
    """Low light: values times a factor, plus camera noise of constant strength."""
    noise = random.normal(0, 3, crop.shape)
    return np.clip(crop * factor + noise, 0, 255).round().astype(np.uint8)


def compress(crop: Crop, quality: float, _random: np.random.Generator) -> Crop:
    """JPEG at a quality from 1 to 100."""
    return decode_jpeg_rgb(encode_jpeg(crop, int(quality)))


def shrink(crop: Crop, side: float, _random: np.random.Generator) -> Crop:
    """Low resolution: downscaled by mien's rule to a side in pixels, then upscaled again."""
    return resize_crop(resize_crop(crop, int(side)), crop.shape[0])


def cut_again(
    crop: Crop, *, scale: float = 1.0, shift: NDArray[np.float64] | None = None, roll_deg: float = 0.0
) -> Crop:
    """Crop again from a crop: scaled about the center, rotated, and shifted by fractions of the side."""
    side = crop.shape[0]
    angle = np.deg2rad(roll_deg)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([0.5, 0.5])
    offset = middle - turn @ middle + (np.zeros(2) if shift is None else shift)
    return crop_image(crop, np.column_stack([turn / side, offset]), side)


def jitter(crop: Crop, strength: float, random: np.random.Generator) -> Crop:
    """An inaccurate detector: shifted in a random direction, and scaled up or down, by a fraction of the side."""
    direction = random.uniform(0, 2 * np.pi)
    shift = strength * np.array([np.cos(direction), np.sin(direction)])
    return cut_again(crop, scale=1 + strength * random.choice([-1.0, 1.0]), shift=shift)


def roll(crop: Crop, degrees: float, random: np.random.Generator) -> Crop:
    """In-plane rotation, to either side."""
    return cut_again(crop, roll_deg=degrees * random.choice([-1.0, 1.0]))


def cover(crop: Crop, share: float, random: np.random.Generator) -> Crop:
    """A gray square at a random position; its side as a fraction of the crop's."""
    side = crop.shape[0]
    length = round(share * side)
    top, left = random.integers(0, side - length + 1, 2)
    covered = crop.copy()
    covered[top : top + length, left : left + length] = 128
    return covered


# Name, perturbation, unit, strengths from mild to strong.
CHANGES: tuple[tuple[str, Change, str, tuple[float, ...]], ...] = (
    ("blur", blur, "of the side (sigma)", (0.01, 0.02, 0.04)),
    ("low light", darken, "of the light", (0.5, 0.25, 0.1)),
    ("JPEG", compress, "quality", (30, 15, 5)),
    ("small face", shrink, "pixels", (32, 24, 16)),
    ("crop jitter", jitter, "of the side", (0.05, 0.1, 0.2)),
    ("roll", roll, "degrees", (10, 20, 40)),
    ("occlusion", cover, "of the side", (0.2, 0.3, 0.5)),
)


@dataclass(frozen=True)
class Row:
    """One row of the table. Rates in [0, 1].

    Attributes:
        change: name of the perturbation; ``clean`` for none.
        strength: how strong it is, in the unit below; None for ``clean``.
        unit: unit of the strength.
        n: number of faces.
        accuracy: fraction of correct predictions.
        ci95: 95% interval of the accuracy.
        difference: paired difference from the clean faces.
        difference_ci95: 95% interval of the difference.
    """

    change: str
    strength: float | None
    unit: str
    n: int
    accuracy: float
    ci95: Interval
    difference: float
    difference_ci95: Interval


class Measure:
    """Evaluates a model on the faces of a split under one protocol."""

    def __init__(self, bundle: OnnxModel, split: PackSplit, faces: NDArray[np.int64], protocol: str) -> None:
        self.bundle, self.split, self.faces, self.protocol = bundle, split, faces, protocol

    def count(self, change: Callable[[Crop, np.random.Generator], Crop], progress: Progress) -> ClassProtocol:
        """Predict every perturbed face, and return the outcome under the protocol."""
        batches = (
            np.stack([self._changed(int(face), change) for face in self.faces[start : start + BATCH_SIZE]])
            for start in range(0, len(self.faces), BATCH_SIZE)
        )
        found = class_protocols(
            self.bundle.run_batches(batches, progress=progress)["expression"],
            self.split.labels[self.faces],
            classes=self.bundle.info.classes,
            label_classes=self.split.pack.info.classes,
        )
        by_name = {protocol.name: protocol for protocol in found}
        if self.protocol not in by_name or not by_name[self.protocol].n:
            raise MienError(
                f"No face counts under the protocol {self.protocol!r}. Available: {', '.join(by_name)}"
            )
        return by_name[self.protocol]

    def _changed(self, face: int, change: Callable[[Crop, np.random.Generator], Crop]) -> Crop:
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([SEED, face])))
        return resize_crop(change(self.split.image(face), random), self.bundle.info.input_size)

    def row(self, name: tuple[str, float | None, str], counted: ClassProtocol, clean: ClassProtocol) -> Row:
        """Compare a perturbation with the clean faces."""
        confusion = confusion_matrix(
            counted.truth, counted.predicted, n_classes=len(self.bundle.info.classes)
        )
        paired = compare_paired(clean.predicted == clean.truth, counted.predicted == counted.truth)
        interval = bootstrap_confusion(confusion, accuracy)
        return Row(
            *name, counted.n, float(accuracy(confusion)), interval, paired.difference, paired.difference_ci95
        )


def measure_all(measure: Measure) -> list[Row]:
    """Measure the clean faces and every perturbation at every strength."""
    n_rows = 1 + sum(len(strengths) for *_, strengths in CHANGES)
    with Progress("Measuring", total=n_rows * len(measure.faces), unit="face") as progress:
        clean = measure.count(lambda crop, _random: crop, progress)
        rows = [measure.row(("clean", None, ""), clean, clean)]
        for name, change, unit, strengths in CHANGES:
            for strength in strengths:
                counted = measure.count(
                    lambda crop, random, f=change, s=strength: f(crop, s, random), progress
                )
                rows.append(measure.row((name, strength, unit), counted, clean))
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| change | strength | n | accuracy, % | difference, points |", "|---|---|---|---|---|"]
    for row in rows:
        strength = "" if row.strength is None else f"{row.strength:g} {row.unit}"
        lines.append(
            f"| {row.change} | {strength} | {row.n:,} | {_percent(row.accuracy, row.ci95)} | "
            + ("" if row.strength is None else _percent(row.difference, row.difference_ci95, sign="+"))
            + " |"
        )
    return "\n".join(lines)


def _percent(value: float, ci95: Interval, *, sign: str = "") -> str:
    low, high = ci95
    return f"{100 * value:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def plot(rows: list[Row], path: Path) -> None:
    """Plot accuracy by strength, one panel per perturbation, with the clean accuracy as a line."""
    import matplotlib as mpl  # noqa: PLC0415 - only where an image was asked for

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    clean = rows[0]
    figure, axes = plt.subplots(1, len(CHANGES), figsize=(2.2 * len(CHANGES), 2.6), sharey=True)
    for axis, (name, _, unit, _) in zip(axes, CHANGES, strict=True):
        mine = [row for row in rows if row.change == name]
        values = np.array([100 * row.accuracy for row in mine])
        ends = 100 * np.array([row.ci95 for row in mine]).T
        axis.axhline(100 * clean.accuracy, color="0.6", linewidth=1)
        axis.errorbar(range(len(mine)), values, [values - ends[0], ends[1] - values], marker="o", capsize=3)
        axis.set_xticks(range(len(mine)), [f"{row.strength:g}" for row in mine])
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(unit, fontsize=8)
    axes[0].set_ylabel(f"accuracy, % (n = {clean.n:,})", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="model file, or name of a bundled model (default: the bundled one)")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--protocol", default="all")
    parser.add_argument("--limit", type=int, help="number of faces, a seeded random choice (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    args = parser.parse_args()
    try:
        model = find_model(args.model)
        bundle, split = OnnxModel.load(model), Pack.open(args.pack).split(args.split)
        faces = np.sort(np.random.default_rng(SEED).permutation(len(split))[: args.limit])
        rows = measure_all(Measure(bundle, split, faces, args.protocol))
    except MienError as error:
        parser.error(str(error))
    print(f"{model.name} on {args.pack.name}, split {args.split}, protocol `{args.protocol}`\n")
    print(table(rows))
    if args.out is not None:
        subject = {
            "model": model.name,
            "pack": args.pack.name,
            "split": args.split,
            "protocol": args.protocol,
        }
        args.out.write_text(json.dumps({**subject, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    if args.plot is not None:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
