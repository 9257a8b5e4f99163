"""The stream: frames of a camera in over a WebSocket, rows out, with the newest frame first.

A client may send faster than its frames can be predicted, or read slower than they are. Of each stream at most one frame is
being predicted and one is waiting; a newer frame replaces the one that waits. What a client does not read holds up its
own stream alone.
"""

import asyncio
import json
import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.faces.detector import DetectedFace
from mien.inference.decision_rule import DecisionRule
from mien.inference.results import ImagePrediction
from mien.inference.video.tracking import TrackMatcher
from mien.serve.api_errors import INTERNAL_ERROR, ApiError, invalid_parameters
from mien.serve.metrics import Metrics
from mien.serve.schemas import PredictQuery
from mien.serve.service import FaceService

_log = logging.getLogger(__name__)

# The client does what it should not, RFC 6455, section 7.4.1; the server stops.
UNSUPPORTED, STOPPING, IDLE = 1003, 1012, 1000
# No camera is faster, and reading frames only to leave them out takes the time of other clients.
MIN_SECONDS_BETWEEN_FRAMES = 0.01


def parse_stream_query(websocket: WebSocket) -> PredictQuery:
    """Return the options of a stream, the same as those of a prediction.

    Raises:
        ApiError: 422, one is unknown or invalid.
    """
    try:
        return PredictQuery.model_validate(dict(websocket.query_params))
    except ValidationError as error:
        raise invalid_parameters(error.errors()) from None


class Stream:
    """One client's stream. Belongs to one event loop."""

    def __init__(
        self,
        websocket: WebSocket,
        service: FaceService,
        metrics: Metrics,
        rule: DecisionRule,
        query: PredictQuery,
    ) -> None:
        """Prepare a stream over an accepted WebSocket.

        Args:
            websocket: the connection.
            service: predicts the frames.
            metrics: counts them.
            rule: how classes and confidences are reported.
            query: how the faces are found.
        """
        self._websocket, self._service, self._metrics = websocket, service, metrics
        self._rule, self._query = rule, query
        self._matcher = TrackMatcher()
        self._started = time.monotonic()
        # The frame that waits: its number, when it came, and its bytes.
        self._waiting: tuple[int, float, bytes] | None = None
        self._arrival = asyncio.Event()
        self._n_received = self._n_skipped = 0

    async def run(self) -> None:
        """Answer frames until the client closes the stream, breaks its rules or sends nothing for too long."""
        answering = asyncio.create_task(self._answer_frames())
        try:
            receiving = asyncio.create_task(self._receive_frames())
            await asyncio.wait({answering, receiving}, return_when=asyncio.FIRST_COMPLETED)
            receiving.cancel()
            closing = await asyncio.gather(receiving, return_exceptions=True)
        finally:
            answering.cancel()
            (failure,) = await asyncio.gather(answering, return_exceptions=True)
            self._keep_waiting(None)
        if isinstance(failure, Exception) and not isinstance(failure, WebSocketDisconnect):
            raise failure
        code, reason = (
            closing[0] if isinstance(closing[0], tuple) else (STOPPING, "The server is shutting down")
        )
        with suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
            await self._websocket.close(code, reason)

    async def _receive_frames(self) -> tuple[int, str]:
        """Keep the newest frame; return why no further one is wanted."""
        seconds = self._service.settings.stream_seconds
        while True:
            try:
                async with asyncio.timeout(seconds):
                    message = await self._websocket.receive()
            except TimeoutError:
                return IDLE, f"No frame for {seconds:g} seconds"
            if message["type"] != "websocket.receive":
                return IDLE, ""
            data = message.get("bytes")
            if data is None:
                return (
                    UNSUPPORTED,
                    "Send each frame as one binary message: the bytes of a JPEG, PNG or WebP image",
                )
            frame = (self._n_received, time.monotonic() - self._started, data)
            self._n_received += 1
            try:
                self._keep_waiting(frame)
            except ApiError:
                # All of the memory for requests is in use; a later frame may find some.
                self._skip()
            self._arrival.set()
            # Until then, what comes fills the buffers of the network, which hold up the client.
            await asyncio.sleep(MIN_SECONDS_BETWEEN_FRAMES)

    def _keep_waiting(self, frame: tuple[int, float, bytes] | None) -> None:
        """Put a frame in the place of the one that waits, if any.

        Raises:
            ApiError: 429, there is no memory for it; the one that waited is dropped all the same.
        """
        if self._waiting is not None:
            self._service.budget.release(len(self._waiting[2]))
            self._waiting = None
            self._skip()
        if frame is not None:
            self._service.budget.reserve(len(frame[2]))
            self._waiting = frame

    def _skip(self) -> None:
        self._n_skipped += 1
        self._metrics.frames.labels("skipped").inc()

    async def _answer_frames(self) -> None:
        """Predict the newest frame and send its rows, again and again, until the server stops."""
        while not self._service.is_stopping:
            await self._arrival.wait()
            self._arrival.clear()
            if self._waiting is None:
                continue
            (number, seconds, data), self._waiting = self._waiting, None
            answer: dict[str, Any] = {
                "frame": number,
                "seconds": round(seconds, 3),
                "skipped": self._n_skipped,
            }
            try:
                prediction = await self._service.predict_frame(data, self._rule, self._query)
                answer["rows"] = self._with_tracks(prediction, number, seconds).to_dict()["rows"]
            except ApiError as error:
                answer["error"] = error.to_dict()
            except Exception:  # noqa: BLE001 - a bug fails a frame, as it would fail a request
                _log.exception("A frame of a stream failed")
                answer["error"] = ApiError(500, "internal_server_error", INTERNAL_ERROR).to_dict()
            finally:
                self._service.budget.release(len(data))
            self._metrics.frames.labels("failed" if "error" in answer else "answered").inc()
            await self._websocket.send_text(json.dumps(answer, ensure_ascii=False, allow_nan=False))

    def _with_tracks(self, prediction: ImagePrediction, number: int, seconds: float) -> ImagePrediction:
        """Return the prediction with the frame's number and time, and with the track of each face."""
        boxes = [
            DetectedFace(row.box_xyxy, row.score, None) for row in prediction.rows if row.box_xyxy is not None
        ]
        numbers = iter([track.number for track in self._matcher.assign(boxes, seconds)])
        rows = (
            replace(row, frame=number, seconds=seconds, track=None if row.box_xyxy is None else next(numbers))
            for row in prediction.rows
        )
        return replace(prediction, rows=tuple(rows))
