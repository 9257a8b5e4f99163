"""What the server counts, for `/metrics`: a registry per app, and what measures every request."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Counters:
    """The figures of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mien_requests", "Requests answered.", ("route", "status"), registry=self.registry
        )
        self.latency = Histogram(
            "mien_request_seconds",
            "Seconds from a request's first line to the end of its answer.",
            ("route",),
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.faces = Counter("mien_faces_read", "Faces read.", registry=self.registry)
        self.batches = Histogram(
            "mien_batch_faces",
            "Faces in one call of the model.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self.ended = Counter(
            "mien_connections_ended",
            "Connections that were refused or ended, by what their client was at.",
            ("reason",),
            registry=self.registry,
        )
        self.queue = Gauge(
            "mien_queue_length", "Requests to read pictures that are in hand.", registry=self.registry
        )

        self.oldest_work = Gauge(
            "mien_oldest_work_seconds",
            "Seconds that the oldest picture being decoded, or call of the model, has taken so far.",
            registry=self.registry,
        )

    def count_batch(self, n_faces: int) -> None:
        """Count a call of the model."""
        self.batches.observe(n_faces)
        self.faces.inc(n_faces)

    def to_text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self.registry)


class CountRequests:
    """Counts and times every request by its route; addresses that are no route are one, however many there are."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self.app, self.counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.counters.requests.labels(route, status).inc()
            self.counters.latency.labels(route).observe(time.perf_counter() - start)
