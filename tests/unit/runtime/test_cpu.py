"""The number of usable cores."""

import os
import subprocess
import sys

import pytest

from mien.runtime.cpu import usable_cpu_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_cores_outside_the_affinity_mask_do_not_count() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from mien.runtime.cpu import usable_cpu_cores; print(usable_cpu_cores())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_there_is_at_least_one_core() -> None:
    assert 1 <= usable_cpu_cores() <= (os.cpu_count() or 1)
