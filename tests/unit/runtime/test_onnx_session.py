"""Sessions in a forked process."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from mien.formats.onnx_model import OnnxModel

TASKS = Path("/proc/self/task")
pytestmark = pytest.mark.skipif(not TASKS.exists(), reason="this system does not list a process's threads")


def test_a_model_with_several_threads_runs_after_a_fork(model_path: Path) -> None:
    """The child has threads of its own: fork copies none, and onnxruntime does not promise to run without them."""
    model = OnnxModel.load(model_path, threads=3)
    crops = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3)).astype(np.uint8)
    expected = model.run(crops)["expression"]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of forking a process with threads, from Python 3.12 on
        child = os.fork()
    if child == 0:
        is_same = np.array_equal(model.run(crops)["expression"], expected)
        os._exit(0 if is_same and len(list(TASKS.iterdir())) == 3 else 1)
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the forked process hangs")
    assert status == 0
