"""The limits and times of the server, each an option of `mien serve`. Imports nothing, so that the help stays quick."""

from dataclasses import dataclass, field, fields
from typing import Any

# The model reads so many faces in one call at most (`mien.reading.recognise.BATCH_FACES`).
MOST_BATCH_FACES = 32


# No wait and no count is longer than this.
_MOST = 10**12


def _setting(default: float, meaning: str, *, least: float = 1, most: float = _MOST) -> Any:
    return field(default=default, metadata={"meaning": meaning, "least": least, "most": most})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What the server takes and how long it waits. The meaning of a field is its help on the command line."""

    body_bytes: int = _setting(32 * 1024**2, "bytes of a request's body; a larger one is refused with 413")
    images: int = _setting(64, "pictures of a request; more are refused with 413")
    image_pixels: int = _setting(
        25_000_000, "pixels of a picture, looked at before it is decoded; a larger one is not read"
    )
    faces: int = _setting(100, "faces read in a picture, the largest first; more are left out and said to be")
    queue: int = _setting(64, "requests in hand at once; one more is refused with 429")
    queue_bytes: int = _setting(
        256 * 1024**2,
        "bytes of the bodies of all requests in hand; one that would pass it is refused with 429",
    )
    connections: int = _setting(
        0, "connections at once; 0: as many as the limit of open files allows, 1,000 at most", least=0
    )
    connections_per_client: int = _setting(
        0, "connections at once from one address; 0: half of all, 100 at most", least=0
    )
    head_seconds: float = _setting(
        10.0,
        "seconds for a request's first line and headers to come; a slower connection is closed",
        least=0.001,
    )
    body_seconds: float = _setting(
        30.0, "seconds for a request's body to come; a slower one is refused with 408", least=0.001
    )
    request_seconds: float = _setting(
        30.0, "seconds to answer a request whose body is there; a longer one ends with 504", least=0.001
    )
    answer_seconds: float = _setting(
        30.0,
        "seconds in which a client must take something of its answer, 48 kB or all; else its connection is closed",
        least=0.001,
    )
    keep_alive_seconds: int = _setting(5, "seconds that a connection is kept open between requests")
    drain_seconds: float = _setting(
        0.0, "seconds to go on answering 503 after a signal to stop, so that a proxy sees it", least=0
    )
    stop_seconds: float = _setting(
        7.0, "seconds after that to answer what was accepted; what is not done by then is given up", least=0
    )
    stall_seconds: float = _setting(
        60.0,
        "seconds after which a picture being decoded or a call of the model is taken for stuck, and told by health",
        least=0.001,
    )
    window_ms: float = _setting(
        2.0, "milliseconds that a face waits for others to be read in the same call of the model", least=0
    )
    batch_faces: int = _setting(
        MOST_BATCH_FACES, "faces of several pictures in one call of the model", most=MOST_BATCH_FACES
    )
    threads: int = _setting(
        0, "threads that decode pictures and find faces; 0: one per core", least=0, most=1024
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            value, least, most = getattr(self, one.name), one.metadata["least"], one.metadata["most"]
            if not least <= value <= most:
                raise ValueError(f"`{one.name}` must be from {least:,} to {most:,}, got {value!r}")
