"""Prometheus metrics for `/metrics`: one registry per app, and the middleware that measures requests."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mien_requests", "Completed HTTP requests.", ("route", "status"), registry=self.registry
        )
        self.latency = Histogram(
            "mien_request_duration_seconds",
            "Time from the start of a request to the end of its response.",
            ("route",),
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.faces = Counter("mien_faces_read", "Faces predicted.", registry=self.registry)
        self.batches = Histogram(
            "mien_batch_faces",
            "Faces per model call.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self.closed_connections = Counter(
            "mien_connections_ended",
            "Connections rejected or closed by the server, by the phase they were in.",
            ("reason",),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "mien_requests_in_flight", "Prediction requests in flight.", registry=self.registry
        )
        self.oldest_task = Gauge(
            "mien_oldest_work_seconds",
            "Age of the oldest unfinished image decode or model call.",
            registry=self.registry,
        )

        self.streams = Gauge("mien_streams_open", "Open streams.", registry=self.registry)
        self.frames = Counter(
            "mien_stream_frames",
            "Frames of streams, by whether they were answered, failed, or were replaced by a newer one.",
            ("outcome",),
            registry=self.registry,
        )

    def count_batch(self, n_faces: int) -> None:
        """Record a model call."""
        self.batches.observe(n_faces)
        self.faces.inc(n_faces)

    def to_text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)


class MeasureRequests:
    """Counts and times requests by route; all unknown paths share the route label ``other``."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, record_status)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.latency.labels(route).observe(time.perf_counter() - start)
