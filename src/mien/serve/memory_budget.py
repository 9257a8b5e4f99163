"""Threads and request bodies that fit the memory of the machine or container: beyond it, the system kills the process."""

import logging
from dataclasses import replace

from mien.serve.settings import ServeSettings

_log = logging.getLogger(__name__)

MAX_QUEUE_BYTES = 256 * 1024**2
# At rest, with the bundled model. Measured, as is the peak of decoding and detection per pixel (PNG with a palette).
_RESTING_BYTES = 200 * 1024**2
_BYTES_PER_PIXEL = 20


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
