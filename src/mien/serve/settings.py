"""The server's limits and timeouts, each an option of `mien serve`. Imports nothing heavy, so that `--help` stays fast."""

from dataclasses import dataclass, fields
from typing import Any

from mien.runtime.options import option

# Faces per model call (`mien.inference.pipeline.BATCH_FACES`); a larger batch would be split.
MAX_BATCH_FACES = 32

# Upper bound of every setting that has no smaller one.
_MAX_VALUE = 10**12


def _setting(default: float, meaning: str, *, least: float = 1, most: float = _MAX_VALUE) -> Any:
    return option(default, meaning, metavar="N", least=least, most=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """The server's limits and timeouts. The `meaning` of a field is its help text on the command line."""

    body_bytes: int = _setting(32 * 1024**2, "maximum request body size in bytes; larger bodies get 413")
    images: int = _setting(64, "maximum images per request; more get 413")
    image_pixels: int = _setting(
        25_000_000, "maximum pixels per image, checked before decoding; larger images are rejected"
    )
    faces: int = _setting(
        100, "maximum faces predicted per image, largest first; an extra row reports how many were skipped"
    )
    queue: int = _setting(64, "maximum requests in flight; further ones get 429")
    queue_bytes: int = _setting(
        0,
        "maximum total size in bytes of the bodies of all requests in flight, beyond which a request gets 429; 0: 256 MiB, "
        "or an eighth of the memory if that is less",
        least=0,
    )
    connections: int = _setting(
        0, "maximum open connections; 0: as many as the open-file limit allows, at most 1,000", least=0
    )
    connections_per_client: int = _setting(
        0, "maximum open connections per client address; 0: half of all, at most 100", least=0
    )
    head_seconds: float = _setting(
        10.0,
        "seconds to receive the request line and headers; slower connections are closed",
        least=0.001,
    )
    body_seconds: float = _setting(
        30.0, "seconds to receive the request body; slower requests get 408", least=0.001
    )
    request_seconds: float = _setting(
        30.0, "seconds to process a request once its body has arrived; slower ones get 504", least=0.001
    )
    answer_seconds: float = _setting(
        30.0,
        "seconds within which a client must read at least 48 kB of the response, or the rest of it; otherwise its "
        "connection is closed",
        least=0.001,
    )
    keep_alive_seconds: int = _setting(5, "seconds to keep an idle connection open between requests")
    drain_seconds: float = _setting(
        0.0, "seconds to keep answering 503 after a stop signal, so that a load balancer notices", least=0
    )
    stop_seconds: float = _setting(
        7.0, "seconds after that to finish the requests in flight; the rest get 503", least=0
    )
    stall_seconds: float = _setting(
        60.0,
        "seconds after which an image decode or a model call counts as stuck in the health checks",
        least=0.001,
    )
    streams: int = _setting(16, "maximum open streams; more get 429", least=0)
    stream_bytes: int = _setting(
        4 * 1024**2, "maximum size of a stream's frame in bytes; a larger one ends the stream"
    )
    stream_seconds: float = _setting(
        30.0, "seconds without a frame after which a stream is closed", least=0.001
    )
    window_ms: float = _setting(
        2.0, "milliseconds that a face waits for others to share a model call with", least=0
    )
    batch_faces: int = _setting(
        MAX_BATCH_FACES, "maximum faces per model call, across images", most=MAX_BATCH_FACES
    )
    threads: int = _setting(
        0,
        "threads for decoding images and detecting faces; 0: one per core, or fewer where memory is limited",
        least=0,
        most=1024,
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            value, least, most = (
                getattr(self, setting.name),
                setting.metadata["least"],
                setting.metadata["most"],
            )
            if not least <= value <= most:
                raise ValueError(f"`{setting.name}` must be from {least:,} to {most:,}, got {value!r}")
