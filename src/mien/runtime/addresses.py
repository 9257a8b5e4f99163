"""Telling addresses, such as ``s3://bucket/folder``, from paths, and what in them is secret."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def path_or_address(text: str) -> Path | str:
    """Return an address such as ``s3://bucket/folder`` as it is, and anything else as a path."""
    return text if _ADDRESS.match(text) else Path(text)


def split_userinfo(rest: str) -> tuple[str, str]:
    """Return user name and password of an address, "" without, and its host and path.

    Args:
        rest: what follows ``://``, without query and fragment.

    Example:
        >>> split_userinfo("me:pass@host/a.csv"), split_userinfo("bucket/me@home.csv")
        (('me:pass', 'host/a.csv'), ('', 'bucket/me@home.csv'))
        >>> split_userinfo("key:sec/ret@bucket/a.csv")  # a slash that should have been escaped
        ('key:sec/ret', 'bucket/a.csv')
    """
    host, slash, path = rest.partition("/")
    if "@" in path and ":" in host and not host.rpartition(":")[2].isdigit():
        host, slash, path = rest, "", ""
    userinfo, _, host = host.rpartition("@")
    return userinfo, f"{host}{slash}{path}"


def path_list(name: str, paths: Sequence[str | Path]) -> list[Path]:
    """Return paths, of which there may be one.

    Raises:
        TypeError: it is a single path, not in a list, whose characters would be taken for paths.
    """
    if isinstance(paths, str | os.PathLike):
        raise TypeError(
            f"`{name}` must be a list of paths, got {os.fspath(paths)!r}: write [{os.fspath(paths)!r}]"
        )
    return [Path(path) for path in paths]


def local_path(path: str | Path) -> Path:
    """Return a path.

    Raises:
        ValueError: it is an address, which would otherwise become a folder that is named like its protocol.
    """
    if _ADDRESS.match(str(path)):
        protocol = str(path).partition(":")[0].lower()
        command = f"python -c \"import fsspec; fsspec.filesystem('{protocol}')"
        fetch = f"{command}.get('{path}', 'PATH', recursive=True)\""
        write = f", or write to a path, and copy it afterwards with {command}.put('PATH', '{path}', recursive=True)\""
        raise ValueError(
            f"must be a path of this machine, got an address: copy what is to be read first, with {fetch}"
            f"{'' if protocol in ('http', 'https') else write}"
        )
    return Path(path)
