"""The memory this process may use, which in a container is often less than the machine's."""

import os
from pathlib import Path

from mien.runtime.control_groups import group_folders

# Version 1 of the control groups writes a number near 2**63 for no limit.
_NO_LIMIT_BYTES = 2**60


def usable_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that the machine and the control groups of this process allow, in bytes; None if unknown.

    The smallest of all groups from the process's own up to the top one counts: ``memory.max`` of version 2 [0], or
    ``memory.limit_in_bytes`` of version 1 [1].

    Args:
        root: the folder with ``proc`` and ``sys``.

    References:
        [0] https://docs.kernel.org/admin-guide/cgroup-v2.html
        [1] https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
    """
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for folder in group_folders("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):  # no such file, or "max"
                continue
    return min((limit for limit in limits if 0 < limit < _NO_LIMIT_BYTES), default=None)
