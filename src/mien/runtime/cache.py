"""The folder of what mien keeps on this machine to save a download."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder ``mien`` in ``XDG_CACHE_HOME``, or in ``~/.cache``, whether it exists or not.

    Without a home folder, as in a container with a bare user ID, it is `temporary_folder`.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(cache) if cache else Path.home() / ".cache"
    except RuntimeError:
        return temporary_folder()
    return folder / "mien"


def temporary_folder() -> Path:
    """Return the folder of this user for a cache that cannot be used. Other users may write to it: check what is read from it."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"mien-{user}"
