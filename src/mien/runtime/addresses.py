"""Telling addresses, such as ``s3://bucket/folder``, from paths."""

import re
from pathlib import Path

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def path_or_address(text: str) -> Path | str:
    """Return an address such as ``s3://bucket/folder`` as it is, and anything else as a path."""
    return text if _ADDRESS.match(text) else Path(text)


def local_path(text: str) -> Path:
    """Return a path.

    Raises:
        ValueError: it is an address, which would otherwise become a folder that is named like its protocol.
    """
    if _ADDRESS.match(text):
        protocol = text.partition(":")[0].lower()
        raise ValueError(
            "must be a path of this machine, got an address: give a path, and copy it afterwards, for example with "
            f"python -c \"import fsspec; fsspec.filesystem('{protocol}').put('PATH', 'BUCKET/NAME', recursive=True)\""
        )
    return Path(text)
