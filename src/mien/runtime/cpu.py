"""The number of CPU cores this process may use, which in a container is often smaller than the machine's."""

import math
import os
from pathlib import Path

from mien.runtime.control_groups import group_folders


def usable_cpu_cores() -> int:
    """Return the number of cores this process may use, at least 1: by its affinity, and by its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cpu_quota()
    return n_cores if quota is None else max(1, min(n_cores, math.ceil(quota)))


def threads_for_video() -> int:
    """Return the threads per model call while other threads decode and detect faces: half of the cores."""
    return max(1, usable_cpu_cores() // 2)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the number of cores that the control groups of this process allow, None if they set no limit.

    The smallest of all groups from the process's own up to the top one counts: ``cpu.max`` of version 2 [0], or
    ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` of version 1 [1].

    Args:
        root: the folder with ``proc`` and ``sys``.

    References:
        [0] https://docs.kernel.org/admin-guide/cgroup-v2.html
        [1] https://docs.kernel.org/scheduler/sched-bwc.html
    """
    return min(filter(None, map(_read_quota, group_folders("cpu", root))), default=None)


def _read_quota(folder: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = [word for name in names for word in (folder / name).read_text().split()]
            quota, period = map(int, words)
        except (OSError, ValueError):  # "max" and no limit
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
