"""Inference time per face with a mien model, relative to EfficientNet-B0 at 224 px in onnxruntime and in eager PyTorch.

    python benchmarks/inference.py [--model MODEL] [--other MODEL] [--rounds 15] [--threads N] [--skip-torch]

EfficientNet-B0 is the most common backbone in the field. Its weights are random here, which does not affect its speed; it is exported
by the code that exports mien's models, and runs with onnxruntime's defaults. The three alternate; the output is medians over all
counted calls, and ratios of medians. Targets: a third of B0's time in onnxruntime, a seventh of its time in eager PyTorch.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mien.assets.bundled_models import find_model
from mien.export.graph import CalibratedNetwork, to_file, to_onnx
from mien.faces.classes import EXPRESSIONS_8
from mien.faces.crop import CropContract
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import ModelConfig

PEER_SIZE = 224
BATCH_SIZES = (1, 8, 32)
# A library's threads spin for a while after a call, and would slow down another library's.
REST_SECONDS = 0.3
WARM_UPS = 3
CALLS_A_TURN = 5
AIMS = {"EfficientNet-B0, onnxruntime": 1 / 3, "EfficientNet-B0, eager PyTorch": 1 / 7}


def build_peer() -> FaceNetwork:
    """Return EfficientNet-B0 with one head of eight classes and random weights."""
    torch.manual_seed(0)
    config = ModelConfig(backbone="efficientnet_b0", pretrained=False, landmarks=False, valence_arousal=False)
    return build_face_network(config, len(EXPRESSIONS_8), input_size=PEER_SIZE, pretrained=False).eval()


def export_peer(network: FaceNetwork, path: Path) -> Path:
    """Write EfficientNet-B0 as `mien export` would."""
    info = ModelInfo(EXPRESSIONS_8, CropContract(), PEER_SIZE, network.tasks)
    path.write_bytes(to_file(to_onnx(CalibratedNetwork(network, 1.0).eval(), info), info))
    return path


def crops(n: int, size: int) -> np.ndarray:
    """Return noise in the shape of faces."""
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def run_model(bundle: OnnxModel, n: int) -> Callable[[], object]:
    """Return a call that runs a model file on n faces."""
    images = crops(n, bundle.info.input_size)
    return lambda: bundle.run(images)


def run_eager(network: FaceNetwork, n: int) -> Callable[[], object]:
    """Return a call that runs a PyTorch model on n faces."""
    images = torch.from_numpy(crops(n, PEER_SIZE))

    def call() -> object:
        with torch.inference_mode():
            return network(images)

    return call


def medians_ms(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median times of alternating calls, several per turn, after a pause and some warm-up calls."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(REST_SECONDS)
            for _ in range(WARM_UPS):
                call()
            for _ in range(CALLS_A_TURN):
                start = time.perf_counter()
                call()
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="model file, or name of a bundled model (default: the bundled one)")
    parser.add_argument("--other", metavar="MODEL", help="another model of mien, in the same run")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, help="threads per call (default: each library's own choice)")
    parser.add_argument("--skip-torch", action="store_true", help="skip eager PyTorch")
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    model = find_model(args.model)
    ours, network = OnnxModel.load(model, threads=args.threads), build_peer()
    with tempfile.TemporaryDirectory() as folder:
        peer_path = export_peer(network, Path(folder) / "b0.onnx")
        peer, peer_bytes = OnnxModel.load(peer_path, threads=args.threads), peer_path.stat().st_size
    size = ours.info.input_size
    kind = "float" if ours.info.quantization is None else "int8"
    print(f"{model.name}: {kind}, {size} px, {model.stat().st_size / 1e6:.2f} MB")
    print(f"EfficientNet-B0: float, {PEER_SIZE} px, {peer_bytes / 1e6:.2f} MB, random weights")
    print(f"onnxruntime threads: {args.threads or 'its default'}; PyTorch threads: {torch.get_num_threads()}")
    for n in BATCH_SIZES:
        calls = {"mien": run_model(ours, n), "EfficientNet-B0, onnxruntime": run_model(peer, n)}
        if args.other is not None:
            calls[args.other] = run_model(OnnxModel.load(find_model(args.other), threads=args.threads), n)
        if not args.skip_torch:
            calls["EfficientNet-B0, eager PyTorch"] = run_eager(network, n)
        found = medians_ms(calls, args.rounds)
        print(f"\nbatch {n} (medians of {args.rounds} rounds)")
        print(f"  mien: {found['mien'] / n:.2f} ms per face")
        for name, time_ms in found.items():
            if name != "mien":
                target = f" (target: at most {AIMS[name]:.3f})" if name in AIMS else ""
                print(
                    f"  {name}: {time_ms / n:.2f} ms per face; mien takes {found['mien'] / time_ms:.3f} of it{target}"
                )


if __name__ == "__main__":
    main()
