"""The page's files over HTTP: compressed as the build has compressed them, and cached for as long as is safe."""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

# Suffixes of the compressed copies, best first. A file may exist only compressed.
ENCODINGS = {"br": ".br", "gzip": ".gz"}
# The system's table of types, which Python uses, may be wrong or missing.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
# Hexadecimal digits of a file's SHA-256 that the page's build adds to its address as `?v=`.
_VERSION_DIGITS = 12
_CACHED_FOR_GOOD = "max-age=31536000, immutable"


async def respond_with_file(folder: StaticFiles, path: str, request: Request) -> Response:
    """Return a file, compressed if the client accepts it.

    The response may be cached for good if the address names the file's content; otherwise the client has to ask by the
    ETag whether it has changed.

    Raises:
        HTTPException: 404, there is no such file.
    """
    variants = {name: found for name, suffix in ENCODINGS.items() if (found := _find(folder, path + suffix))}
    accepted = _accepted_encodings(request.headers.get("accept-encoding", ""))
    encoding = next((name for name in variants if name in accepted), None)
    if encoding is not None:
        file = variants[encoding]
        response = folder.file_response(file, file.stat(), request.scope)
        response.headers["Content-Encoding"] = encoding
    elif "gzip" in variants and not _find(folder, path):
        file = variants["gzip"]
        response = Response(await run_in_threadpool(_decompress, file, file.stat().st_mtime_ns))
        response.headers["Accept-Ranges"] = "none"
    else:
        response = await folder.get_response(path, request.scope)
    if response.status_code != 304 and (kind := _TYPES.get(Path(path).suffix)):
        response.headers["Content-Type"] = kind
    if variants:
        response.headers["Vary"] = "Accept-Encoding"
    version = request.query_params.get("v")
    is_exact = version is not None and version == await run_in_threadpool(_version, folder, path)
    response.headers["Cache-Control"] = _CACHED_FOR_GOOD if is_exact else "no-cache"
    return response


def _find(folder: StaticFiles, path: str) -> Path | None:
    try:
        full_path, stat = folder.lookup_path(path)
    except (OSError, ValueError):
        return None
    return Path(full_path) if stat is not None and S_ISREG(stat.st_mode) else None


def _accepted_encodings(header: str) -> set[str]:
    """Return the accepted ones of `ENCODINGS` by an ``Accept-Encoding`` header."""
    weights = {}
    for entry in header.lower().split(","):
        name, _, parameter = entry.replace(" ", "").partition(";")
        weights[name] = not parameter.startswith("q=") or bool(parameter[2:].strip("0."))
    return {name for name in ENCODINGS if weights.get(name, weights.get("*", False))}


@lru_cache(maxsize=8)
def _decompress(file: Path, _modified_ns: int) -> bytes:
    return gzip.decompress(file.read_bytes())


def _version(folder: StaticFiles, path: str) -> str | None:
    """Return the version of a file that the page's build writes into its addresses, None without the file."""
    if file := _find(folder, path):
        return _hash_file(file, file.stat().st_mtime_ns)
    if file := _find(folder, path + ENCODINGS["gzip"]):
        return _hash_file(file, file.stat().st_mtime_ns)
    return None


@lru_cache(maxsize=64)
def _hash_file(file: Path, modified_ns: int) -> str:
    is_compressed = file.suffix == ENCODINGS["gzip"]
    data = _decompress(file, modified_ns) if is_compressed else file.read_bytes()
    return hashlib.sha256(data).hexdigest()[:_VERSION_DIGITS]
