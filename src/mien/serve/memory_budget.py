"""Threads and request bodies that fit the memory of the machine or container: beyond it, the system kills the process."""

import logging
from dataclasses import replace

from mien.serve.api_errors import ApiError
from mien.serve.settings import ServeSettings

_log = logging.getLogger(__name__)

MAX_QUEUE_BYTES = 256 * 1024**2
# At rest, with the bundled model. Measured, as is the peak of decoding and detection per pixel (PNG with a palette).
_RESTING_BYTES = 200 * 1024**2
_BYTES_PER_PIXEL = 20


class MemoryBudget:
    """Bounds the bytes that the bodies of all requests hold together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def reserve(self, n_bytes: int) -> None:
        """Reserve bytes.

        Raises:
            ApiError: 429, the budget is exhausted.
        """
        if self.used + n_bytes > self.limit:
            message = (
                f"Requests in flight hold {self.used:,} of at most {self.limit:,} bytes. Try again later"
            )
            raise ApiError(429, "too_many_requests", message, headers={"Retry-After": "1"})
        self.used += n_bytes

    def release(self, n_bytes: int) -> None:
        """Return reserved bytes."""
        self.used -= n_bytes


def fit_to_memory(settings: ServeSettings, n_cores: int, memory_bytes: int | None) -> ServeSettings:
    """Return the settings with automatic values filled in; warn if they need more than the memory.

    Args:
        settings: the limits asked for; 0 threads and 0 queue bytes are automatic.
        n_cores: cores that this process may use.
        memory_bytes: memory that this process may use, None if unknown.
    """
    if memory_bytes is None:
        return replace(
            settings, threads=settings.threads or n_cores, queue_bytes=settings.queue_bytes or MAX_QUEUE_BYTES
        )
    queue_bytes = settings.queue_bytes or min(MAX_QUEUE_BYTES, memory_bytes // 8)
    per_thread = settings.image_pixels * _BYTES_PER_PIXEL
    left = max(0, memory_bytes - _RESTING_BYTES - queue_bytes)
    threads = settings.threads or max(1, min(n_cores, left // per_thread))
    if threads * per_thread > left:
        _log.warning(
            "Decoding %d images of %s pixels at once may take %s MB, and about %s MB of memory are left for it: lower "
            "`--image-pixels` to %s%s",
            threads,
            f"{settings.image_pixels:,}",
            f"{threads * per_thread / 1e6:,.0f}",
            f"{left / 1e6:,.0f}",
            f"{max(1, left // threads // _BYTES_PER_PIXEL):,}",
            " or use fewer `--threads`" if threads > 1 else "",
        )
    return replace(settings, threads=threads, queue_bytes=queue_bytes)
