"""The plan of an unfinished output, which every worker compares with itself before it adds a part to it.

Workers may be on other machines, or outlive a command that was killed. A plan is a JSON object of everything that
determines the output, with at least ``mien_version`` and ``libraries``.
"""

import os
import socket
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import PIL
import simplejpeg

from mien.artifacts import file_sha256, read_json
from mien.errors import ArtifactError
from mien.faces.images import heif_version

PLAN = "plan.json"


def library_versions() -> dict[str, str | None]:
    """Return the versions of the libraries on which pixels and predictions depend."""
    return {
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
        "pillow_heif": heif_version(),
        "simplejpeg": simplejpeg.__version__,
    }


def require_plan(path: Path, sha256: str, *, reads: Path, mien_version: str) -> None:
    """Refuse to work for a plan that this worker cannot carry out, or that is no longer the output's.

    Args:
        path: the plan's file.
        sha256: its hash when the output was begun or resumed.
        reads: what the worker is going to read.
        mien_version: that of this worker.

    Raises:
        ArtifactError: the plan is not there, or another one is; this worker cannot see what it is going to read; or it
            has another version of mien or of a library.
    """
    worker = f"a worker on {socket.gethostname()}"
    advice = "It must stay where it is, on a file system that all workers share, under the same path"
    try:
        found = file_sha256(path)
    except OSError as error:
        raise ArtifactError(
            f"{path.parent} vanished while it was written, or {worker} cannot see it: {error.strerror}. {advice}"
        ) from None
    if found != sha256:
        raise ArtifactError(f"{path.parent} was begun again by another command. Run one of them at a time")
    if not os.path.lexists(reads):
        raise ArtifactError(f"{reads} vanished, or {worker} cannot see it. {advice}")
    if different := _different_versions(path, sha256, mien_version):
        raise ArtifactError(
            f"All workers must have the command's versions, and {worker} has {different}. Install the same ones there"
        )


@cache
def _different_versions(path: Path, _sha256: str, mien_version: str) -> str:
    """Return what differs here from a plan's versions, read once for each plan."""
    plan = read_json(path, what="unfinished output")
    wanted = {"mien": plan["mien_version"], **plan["libraries"]}
    own = {"mien": mien_version, **library_versions()}
    return ", ".join(
        f"{name} {own.get(name)} instead of {wanted[name]}"
        for name in wanted
        if wanted[name] != own.get(name)
    )
