"""Where YuNet's file comes from: a given path, the environment variable ``MIEN_DETECTOR``, the cache, or a download.

The file is not bundled; `find_detector_file` fetches it once into the user's cache and checks its hash.
"""

import hashlib
import http.client
import logging
import os
import queue
import tempfile
import threading
import urllib.request
from pathlib import Path

from mien.errors import SourceError
from mien.runtime.cache import cache_folder, temporary_folder
from mien.runtime.regular_files import read_regular

_log = logging.getLogger(__name__)

YUNET_NAME = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_URL = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx"  # not our word
YUNET_BYTES = 232_589
PATH_VARIABLE = "MIEN_DETECTOR"
# A different build of the network may be somewhat larger than YuNet; a file above this size is something else.
MAX_DETECTOR_BYTES = 16 * 1024 * 1024
# Timeouts of each network operation and of the whole download.
FETCH_TIMEOUT_S = 10.0
FETCH_DEADLINE_S = 60.0
CASCADE_FALLBACK = "OpenCV's cascade is used instead, which finds fewer faces and crops them less exactly"


def find_detector_file(
    path: Path | None = None, *, fetch: bool = True, fallback: str = CASCADE_FALLBACK
) -> Path | None:
    """Return the path of YuNet's file, downloading it into the user's cache if necessary and ``fetch`` allows.

    Looks at ``path``, then the environment variable ``MIEN_DETECTOR``, then the cache. A file in the cache that
    is not the official one is downloaded again; a file that was named explicitly is not checked.

    Args:
        path: YuNet's file, or None.
        fetch: download the file if it is not found.
        fallback: what happens if the download fails, to complete that warning.

    Returns:
        The file, or None if it is not found and was not or could not be downloaded.

    Raises:
        SourceError: ``path``, or what the variable names, does not exist.
    """
    named = path if path is not None else named_detector_file()
    if named is not None:
        if not os.path.isfile(named):  # noqa: PTH113 - `Path.is_file` raises for names that are too long
            origin = "" if path is not None else f" (from {PATH_VARIABLE})"
            raise SourceError(f"The face detector {named}{origin} does not exist. {how_to_get_yunet()}")
        return named
    cached = cached_detector_file()
    for file in (cached, _temporary_file()):
        if is_official_yunet(file):
            return file
    if not fetch:
        return None
    _log.info("Downloading the YuNet face detector (%.0f kB) to %s", YUNET_BYTES / 1000, cached)
    try:
        return _fetch_yunet(cached)
    except (OSError, http.client.HTTPException, ValueError) as error:
        _log.warning("YuNet could not be downloaded (%s): %s. %s", error, fallback, how_to_get_yunet())
        return None


def require_detection(path: Path | None, crop: str) -> None:
    """Refuse a detector that a user names for images that are taken whole.

    Raises:
        SourceError: ``path`` is given, and ``crop`` is ``whole``.
    """
    if path is not None and crop == "whole":
        raise SourceError("--detector is for faces that are detected: leave it out with --crop whole")


def how_to_get_yunet() -> str:
    """Return the sentence that explains how to install YuNet's file by hand."""
    return f"Download {YUNET_URL} to {cached_detector_file()}, or set {PATH_VARIABLE} to the path of a copy"


def named_detector_file() -> Path | None:
    """Return the file that ``MIEN_DETECTOR`` names, or None if it is not set."""
    name = os.environ.get(PATH_VARIABLE, "")
    # `Path.expanduser` raises if there is no home folder.
    return Path(os.path.expanduser(name)) if name else None  # noqa: PTH111


def cached_detector_file() -> Path:
    """Return the path of YuNet's file in the user's cache, whether it exists or not."""
    return cache_folder() / YUNET_NAME


def _temporary_file() -> Path:
    """Return the path of YuNet's file for a cache that cannot be used; its hash is checked at each use."""
    return temporary_folder() / YUNET_NAME


def is_official_yunet(path: Path) -> bool:
    """Return whether a file is the official YuNet, by its hash; False if there is no such file."""
    try:
        return hashlib.sha256(read_regular(path, max_bytes=MAX_DETECTOR_BYTES)).hexdigest() == YUNET_SHA256
    except OSError:
        return False


def read_detector_file(path: Path) -> bytes:
    """Return the bytes of a detector's file.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        return read_regular(path, max_bytes=MAX_DETECTOR_BYTES)
    except OSError as error:
        raise SourceError(f"The face detector {path} cannot be read: {error.strerror}") from None


def _fetch_yunet(target: Path) -> Path:
    """Download YuNet, check its hash, and only then move it to its path; return that, or another if it is read-only.

    Raises:
        OSError: the network or the disk fails, or the download takes too long.
        ValueError: the downloaded file is not the official one.
    """
    outcome: queue.Queue[bytes | Exception] = queue.Queue()

    def download() -> None:
        try:
            with urllib.request.urlopen(YUNET_URL, timeout=FETCH_TIMEOUT_S) as response:
                outcome.put(response.read(YUNET_BYTES + 1))
        except Exception as error:  # noqa: BLE001 - raised again below
            outcome.put(error)

    # In a thread, for the deadline: a server that sends one byte at a time never exceeds the timeout of a single read.
    threading.Thread(target=download, daemon=True).start()
    try:
        data = outcome.get(timeout=FETCH_DEADLINE_S)
    except queue.Empty:
        raise TimeoutError(f"it took longer than {FETCH_DEADLINE_S:g} s") from None
    if isinstance(data, Exception):
        raise data
    if hashlib.sha256(data).hexdigest() != YUNET_SHA256:
        raise ValueError(f"{YUNET_URL} returned {len(data):,} bytes that are not the official file")
    try:
        _write(target, data)
    except OSError as error:
        _log.info(
            "%s cannot be written (%s): the detector is kept in %s", target, error.strerror, _temporary_file()
        )
        target = _temporary_file()
        _write(target, data)
    return target


def _write(target: Path, data: bytes) -> None:
    """Write a file atomically, in a folder that is made for its owner alone."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(partial).replace(target)
    finally:
        Path(partial).unlink(missing_ok=True)
