"""Are the maps of `mien explain` more than decoration? Two checks, on faces of a pack.

1. Randomization (Adebayo et al., Sanity Checks for Saliency Maps, 2018, https://arxiv.org/abs/1810.03292): a map must change
   when the weights do. Spearman's rank correlation between the maps of the model and of the same network with random weights,
   drawn per tensor with its mean and standard deviation; in all layers, or in the expression's layer only. As a control, the
   correlation between the int8 file and its float network, which should be high.
2. Deletion: hiding what a map marks must cost the answer more than hiding as much elsewhere: the same shape at a random
   place, and the part that another face's map marks. The answer's probability falls by so many points; the differences are
   paired by face.

Intervals are 95%, over faces (bootstrap).

    python benchmarks/explain.py my.pack
"""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mien.assets.bundled_models import find_model
from mien.faces.blur import blur_crop
from mien.faces.crop import resize_crop
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.inference.occlusion import occlusion_map
from mien.metrics.bootstrap import bootstrap_rows
from mien.nets.integrated_gradients import integrated_gradients
from mien.nets.model_file_network import rebuild_network
from mien.nets.network import FaceNetwork
from mien.runtime.progress import Progress

# Maps are compared as means over so many cells along each side.
CELLS = 12
FRACTIONS = (0.1, 0.2)
N_SHIFTS = 5
METHODS = ("occlusion", "integrated gradients")
Crop = NDArray[np.uint8]
Map = NDArray[np.float32]


def main() -> None:
    """Print two tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", help="file or bundled model (default: the bundled default model)")
    parser.add_argument("--faces", type=int, default=120, help="for the deletion test; 0 skips it")
    parser.add_argument("--random-faces", type=int, default=20, help="for the randomization test; 0 skips it")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    path = find_model(args.model)
    model, network = OnnxModel.load(path), rebuild_network(path).network
    faces = Pack.open(args.pack).split(args.split)
    chosen = np.random.default_rng(0).permutation(len(faces))[: max(args.faces, args.random_faces)]
    crops = [resize_crop(faces.image(int(index)), model.info.input_size) for index in chosen]
    targets = [int(model.run(crop[None])["expression"].argmax()) for crop in crops]
    if args.faces:
        print_deletion(model, network, crops[: args.faces], targets)
    if args.random_faces:
        print_randomization(model, network, crops[: args.random_faces], targets, args.seeds)


def print_randomization(
    model: OnnxModel, network: FaceNetwork, crops: list[Crop], targets: list[int], n_seeds: int
) -> None:
    """Print how similar the maps of other weights are to those of the model."""
    others = {"random weights in all layers": [randomize(network, seed) for seed in range(n_seeds)]}
    others["a random expression layer"] = [
        randomize(network, seed, only="expression_head") for seed in range(n_seeds)
    ]
    n_maps = len(crops) * len(METHODS) * (1 + 2 * n_seeds)
    print(f"n = {len(crops)} faces, {n_seeds} draws of the weights\n")
    print("| method | compared with | rank correlation |\n|---|---|---|")
    with Progress("Randomizing", total=n_maps, unit="map") as progress:
        for method in METHODS:
            trained = [explain(network, method, *pair) for pair in zip(crops, targets, strict=False)]
            progress.advance(len(crops))
            if method == "occlusion":
                int8 = [
                    occlusion_map(crop, target, lambda images: model.run(images)["expression"])
                    for crop, target in zip(crops, targets, strict=False)
                ]
                found = [rank_correlation(*pair) for pair in zip(trained, int8, strict=True)]
                print(f"| {method} | the int8 file, same weights | {estimate(found, 2)} |")
            for name, networks in others.items():
                found = []
                for crop, target, one in zip(crops, targets, trained, strict=False):
                    maps = [explain(random, method, crop, target) for random in networks]
                    found.append(float(np.mean([rank_correlation(one, other) for other in maps])))
                    progress.advance(len(networks))
                print(f"| {method} | {name} | {estimate(found, 2)} |", flush=True)
    print()


def print_deletion(model: OnnxModel, network: FaceNetwork, crops: list[Crop], targets: list[int]) -> None:
    """Print by how much the probability of the answer falls when a part of the face is hidden."""
    random = np.random.default_rng(1)
    print(f"n = {len(crops)} faces; points of probability\n")
    print("| map | hidden | fill | marked part | same shape elsewhere | another face's part | more than elsewhere | more than "
          "another's |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for method in METHODS:
        maps = []
        with Progress(f"Deletion, {method}", total=len(crops), unit="face") as progress:
            for crop, target in zip(crops, targets, strict=False):
                # The maps of the file itself, which is what hiding is measured on; gradients are those of its float network.
                if method == "occlusion":
                    maps.append(occlusion_map(crop, target, lambda images: model.run(images)["expression"]))
                else:
                    maps.append(explain(network, method, crop, target))
                progress.advance()
        for fraction in FRACTIONS:
            masks = [largest(heat, fraction) for heat in maps]
            for fill in ("mean color", "blur"):
                drops = []
                for index, (crop, target, mask) in enumerate(zip(crops, targets, masks, strict=False)):
                    side = mask.shape[0]
                    shifts = random.integers(0, side, (N_SHIFTS, 2))
                    elsewhere = [np.roll(mask, tuple(shift), axis=(0, 1)) for shift in shifts]
                    hidden = [mask, masks[(index + 1) % len(masks)], *elsewhere]
                    drops.append(measure_drops(model, crop, target, hidden, fill))
                marked, another = np.array(drops)[:, 0], np.array(drops)[:, 1]
                shifted = np.array(drops)[:, 2:].mean(axis=1)
                cells = [estimate(values, 1) for values in (marked, shifted, another)]
                cells += [estimate(marked - other, 1) for other in (shifted, another)]
                print(f"| {method} | {fraction:.0%} | {fill} | {' | '.join(cells)} |", flush=True)


def explain(network: FaceNetwork, method: str, crop: Crop, target: int) -> Map:
    """Return a map ``(S, S)`` of a torch network."""
    if method != "occlusion":
        return integrated_gradients(network, crop, target)

    @torch.inference_mode()
    def predict(images: Crop) -> NDArray[np.float32]:
        logits = network(torch.from_numpy(images))["expression"]
        return torch.softmax(logits.double(), dim=1).numpy()

    return occlusion_map(crop, target, predict)


def randomize(network: FaceNetwork, seed: int, *, only: str = "") -> FaceNetwork:
    """Return a copy with random weights in the layers whose names begin with a text."""
    random, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in random.named_parameters():
            if name.startswith(only) and value.numel() > 1:
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(noise * value.std() + value.mean())
    return random.eval()


def rank_correlation(first: Map, second: Map) -> float:
    """Return Spearman's correlation between the cells of two maps; 0 if one is constant."""
    ranks = []
    for heat in (first, second):
        step = heat.shape[0] // CELLS
        cells = heat[: CELLS * step, : CELLS * step].reshape(CELLS, step, CELLS, step).mean(axis=(1, 3))
        ranks.append(cells.ravel().argsort().argsort().astype(np.float64))
        if np.ptp(cells) == 0:
            return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def largest(heat: Map, fraction: float) -> NDArray[np.bool_]:
    """Return the mask of the largest values of a map."""
    flat = heat.ravel().argsort()[::-1][: round(fraction * heat.size)]
    mask = np.zeros(heat.size, dtype=bool)
    mask[flat] = True
    return mask.reshape(heat.shape)


def measure_drops(
    model: OnnxModel, crop: Crop, target: int, masks: list[NDArray[np.bool_]], fill: str
) -> list[float]:
    """Return the drop of the answer's probability in points for each part that is hidden."""
    filled = blur_crop(crop) if fill == "blur" else np.broadcast_to(crop.mean(axis=(0, 1)), crop.shape)
    hidden = [np.where(mask[..., None], np.rint(filled).astype(np.uint8), crop) for mask in masks]
    full, *rest = model.run(np.stack([crop, *hidden]))["expression"][:, target].tolist()
    return [100 * (full - value) for value in rest]


def estimate(values: list[float] | NDArray[np.float64], digits: int) -> str:
    """Return a mean with its interval."""
    array = np.asarray(values, dtype=np.float64)
    mean: Callable[[NDArray[np.floating]], float] = lambda rows: float(rows.mean())  # noqa: E731
    low, high = bootstrap_rows(array, mean) or (np.nan, np.nan)
    return f"{array.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


if __name__ == "__main__":
    main()
