"""The number of CPU cores this process may use, which in a container is often smaller than the machine's."""

import os


def usable_cpu_cores() -> int:
    """Return the number of cores this process may run on, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
