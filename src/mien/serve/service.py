"""The prediction service: handles the images of one request among those of others."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from starlette.requests import Request

from mien.faces.detector import SelectiveDetector
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.results import FacePrediction, ImagePrediction
from mien.serve.api_errors import ApiError
from mien.serve.batching import Batcher
from mien.serve.memory_budget import MemoryBudget
from mien.serve.metrics import Metrics
from mien.serve.preprocessing import Preprocessor
from mien.serve.schemas import PredictQuery
from mien.serve.settings import ServeSettings
from mien.serve.uploads import Upload, extract_images, read_body, require_media_type

# Images of all requests between decoding and prediction; bounds the memory of their face crops.
MAX_ACTIVE_IMAGES = 64
# Status of the extra row of an image with more faces than the limit.
TOO_MANY_FACES = "too_many_faces"
ONLY_DETECTED = "`min_face_px` is for faces that are detected: leave it out with `boxes_xyxy`, `landmarks` and `crop=whole`"
_NOT_IMAGES = ("not_an_image", "empty_file")


class FaceService:
    """Answers prediction requests within the limits. Belongs to one event loop.

    Attributes:
        settings: the limits.
        budget: the memory for bodies and frames that are in flight.
        is_stopping: whether new work is rejected.
    """

    def __init__(
        self,
        model: OnnxModel,
        settings: ServeSettings,
        *,
        make_detector: Callable[[], SelectiveDetector],
        metrics: Metrics,
    ) -> None:
        """Start the threads; call it inside the running event loop."""
        self.is_stopping = False
        self._in_flight: set[asyncio.Task[object]] = set()
        self._is_aborting = False
        self._n_streams = 0
        self.settings, self._metrics = settings, metrics
        self.budget = MemoryBudget(settings.queue_bytes)
        self._active_images = asyncio.Semaphore(MAX_ACTIVE_IMAGES)
        self._preprocessor = Preprocessor(model.info, settings, make_detector)
        self._batcher = Batcher(model, settings, on_batch=metrics.count_batch)
        self._workers = (self._preprocessor.workers, self._batcher.workers)
        metrics.oldest_task.set_function(self._oldest_task_seconds)

    async def predict(self, request: Request, rule: DecisionRule, query: PredictQuery) -> bytes:
        """Return the predictions for a request's images as JSON text.

        Args:
            request: the request, its body not yet read.
            rule: how classes and confidences are reported.
            query: how the faces are found.

        Raises:
            ApiError: see the API reference.
            ModelError: the model returned non-finite values.
        """
        content_type = request.headers.get("content-type", "")
        require_media_type(content_type)
        run = self._preprocessor.workers.run
        with self._admit():
            body = await read_body(request, self.settings, self.budget)
            n_bytes = len(body)
            try:
                async with self._time_limit("Send fewer or smaller images, or raise `--request-seconds`"):
                    uploads = await run(extract_images, body, content_type, self.settings)
                    body.clear()
                    if any(upload.faces is not None for upload in uploads):
                        if query.crop == "whole":
                            message = "`boxes_xyxy` and `landmarks` say where the faces are, and `crop=whole` that there is no more"
                            raise ApiError(422, "invalid_parameter", f"{message}. Leave one of them out")
                        if query.min_face_px:
                            raise ApiError(422, "invalid_parameter", ONLY_DETECTED)
                    predictions = await self._predict_all(uploads, rule, query)
                    return await run(_to_json, predictions)
            finally:
                self.budget.release(n_bytes)

    async def predict_frame(self, data: bytes, rule: DecisionRule, query: PredictQuery) -> ImagePrediction:
        """Return the prediction for a frame of a stream, which counts as a request in flight.

        Raises:
            ApiError: as for a request.
            ModelError: the model returned non-finite values.
        """
        with self._admit():
            async with self._time_limit("Send smaller frames"):
                (prediction,) = await self._predict_all([Upload("", data)], rule, query)
        return prediction

    @contextmanager
    def open_stream(self) -> Iterator[None]:
        """Count a stream as open for the duration of the context, or reject it with 429."""
        if self._n_streams >= self.settings.streams:
            message = f"The server has {self._n_streams} open streams, its maximum. Try again later"
            raise ApiError(429, "too_many_streams", message, headers={"Retry-After": "5"})
        self._n_streams += 1
        self._metrics.streams.set(self._n_streams)
        try:
            yield
        finally:
            self._n_streams -= 1
            self._metrics.streams.set(self._n_streams)

    @asynccontextmanager
    async def _time_limit(self, advice: str) -> AsyncIterator[None]:
        """Reject with 504 what takes longer than a request may."""
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                yield
        except TimeoutError:
            message = f"Processing took more than {self.settings.request_seconds:g} seconds. {advice}"
            raise ApiError(504, "processing_timeout", message) from None

    @property
    def n_in_flight(self) -> int:
        """Prediction requests in flight."""
        return len(self._in_flight)

    def abort_requests(self) -> None:
        """Fail all requests in flight with 503, since the time to finish them is up."""
        if self._is_aborting:
            return
        self._is_aborting = True
        for task in self._in_flight:
            task.cancel()

    def is_slow(self) -> bool:
        """Return whether a decode or a model call takes so long that it may be stuck."""
        return self._oldest_task_seconds() > self.settings.stall_seconds

    def is_stuck(self) -> bool:
        """Return whether no progress is possible: the model's thread or every preprocessing thread is stuck."""
        return any(workers.are_all_stuck(self.settings.stall_seconds) for workers in self._workers)

    def is_busy(self) -> bool:
        """Return whether a thread is running a task, which only the end of the process can interrupt."""
        return any(workers.is_busy() for workers in self._workers)

    def _oldest_task_seconds(self) -> float:
        return max(workers.oldest_task_seconds() for workers in self._workers)

    async def close(self) -> None:
        """Stop the threads; no request may be in flight."""
        await self._batcher.close()
        self._preprocessor.workers.close()

    @contextmanager
    def _admit(self) -> Iterator[None]:
        """Count a request as in flight for the duration of the context, or reject it with 429."""
        task = asyncio.current_task()
        if task is None or self.n_in_flight >= self.settings.queue:
            message = f"The server has {self.n_in_flight} requests in flight, its maximum. Try again later"
            raise ApiError(429, "too_many_requests", message, headers={"Retry-After": "1"})
        self._in_flight.add(task)
        self._metrics.in_flight.set(self.n_in_flight)
        try:
            yield
        except asyncio.CancelledError:
            if not self._is_aborting:
                raise
            task.uncancel()
            message = "The server is shutting down and could not finish in time. Try another server, or try again later"
            raise ApiError(503, "service_unavailable", message) from None
        finally:
            self._in_flight.discard(task)
            self._metrics.in_flight.set(self.n_in_flight)

    async def _predict_all(
        self, uploads: Sequence[Upload], rule: DecisionRule, query: PredictQuery
    ) -> list[ImagePrediction]:
        async def predict_image(upload: Upload) -> ImagePrediction:
            async with self._active_images:
                image, n_skipped = await self._preprocessor.crop_faces(upload, query)
                prediction = await self._batcher.predict(image, rule)
            if n_skipped:
                detail = f"{n_skipped} more faces, the limit is {self.settings.faces}"
                rest = FacePrediction(upload.source, status=TOO_MANY_FACES, detail=detail)
                prediction = replace(prediction, rows=(*prediction.rows, rest))
            return prediction

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(predict_image(upload)) for upload in uploads]
        predictions = [task.result() for task in tasks]
        if all(prediction.rows[0].status in _NOT_IMAGES for prediction in predictions):
            row = predictions[0].rows[0]
            what = (
                "No file in the request is an image; the first"
                if len(predictions) > 1
                else "It is not an image"
            )
            message = f"{what}: {row.detail}"
            raise ApiError(422, "not_an_image", message)
        return predictions


def _to_json(predictions: Sequence[ImagePrediction]) -> bytes:
    results = {"results": [prediction.to_dict() for prediction in predictions]}
    return json.dumps(results, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
