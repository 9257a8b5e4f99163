"""The control groups of this process on Linux, which limit what a container may use of the machine."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def group_folders(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, each from its own up to the top one; they may not exist.

    Args:
        controller: ``cpu`` or ``memory``, the name of a hierarchy of version 1.
        root: the folder with ``proc`` and ``sys``.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controllers and controller)
        # In a container the path is often that of the machine, and its own group is mounted at the top.
        inner = PurePosixPath(group.lstrip("/"))
        for folder in (inner, *inner.parents):
            yield top / folder
