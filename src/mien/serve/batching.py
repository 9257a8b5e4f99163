"""Dynamic batching: the faces of several clients' images share a model call.

An image waits a short time for others. While the model is busy, arriving images queue up for its next call.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.pipeline import BATCH_FACES, CroppedImage, infer, postprocess_image
from mien.inference.results import ImagePrediction
from mien.serve.settings import ServeSettings
from mien.serve.worker_threads import Workers


class _QueuedImage(NamedTuple):
    image: CroppedImage
    rule: DecisionRule
    result: asyncio.Future[ImagePrediction]


class Batcher:
    """Runs the model on cropped images in one thread, batching the queued ones. Belongs to one event loop."""

    def __init__(
        self,
        model: OnnxModel,
        settings: ServeSettings,
        *,
        on_batch: Callable[[int], None] = lambda _n_faces: None,
    ) -> None:
        """Start waiting for images.

        Args:
            model: loaded model.
            settings: maximum wait and batch size.
            on_batch: callback that receives the number of faces of each model call, from the model's thread.
        """
        self._model, self._settings, self._on_batch = model, settings, on_batch
        self.workers = Workers(1, "mien-model")
        self._queue: deque[_QueuedImage] = deque()
        self._arrival = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def predict(self, image: CroppedImage, rule: DecisionRule) -> ImagePrediction:
        """Return the predictions for an image's faces.

        Raises:
            ModelError: the model returned non-finite values.
        """
        if not image.faces:
            return postprocess_image(image, iter(()), self._model.info, rule)
        result: asyncio.Future[ImagePrediction] = asyncio.get_running_loop().create_future()
        self._queue.append(_QueuedImage(image, rule, result))
        self._arrival.set()
        return await result

    async def close(self) -> None:
        """Stop. Queued images never get a result: close only when no request is in flight."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.workers.close()

    async def _run(self) -> None:
        while True:
            batch = await self._next_batch()
            try:
                predictions = await self.workers.run(self._predict_batch, batch)
            except Exception as error:  # noqa: BLE001 - any exception belongs to the waiting requests
                for queued in batch:
                    if not queued.result.done():
                        queued.result.set_exception(error)
            else:
                for queued, prediction in zip(batch, predictions, strict=True):
                    if not queued.result.done():
                        queued.result.set_result(prediction)

    async def _next_batch(self) -> list[_QueuedImage]:
        """Wait for images and return the next batch.

        It has at least one image and otherwise at most `batch_faces` faces; images whose request was canceled meanwhile
        are dropped, so that it may be empty.
        """
        while not self._queue:
            self._arrival.clear()
            await self._arrival.wait()
        try:
            async with asyncio.timeout(self._settings.window_ms / 1000):
                while sum(len(queued.image.faces) for queued in self._queue) < self._settings.batch_faces:
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            pass
        batch = [self._queue.popleft()]
        n_faces = len(batch[0].image.faces)
        while self._queue:
            n_faces += len(self._queue[0].image.faces)
            if n_faces > self._settings.batch_faces:
                break
            batch.append(self._queue.popleft())
        return [queued for queued in batch if not queued.result.done()]

    def _predict_batch(self, batch: list[_QueuedImage]) -> list[ImagePrediction]:
        crops = [face.crop for queued in batch for face in queued.image.faces]
        for start in range(0, len(crops), BATCH_FACES):
            self._on_batch(min(BATCH_FACES, len(crops) - start))
        outputs = infer(crops, self._model)
        return [postprocess_image(queued.image, outputs, self._model.info, queued.rule) for queued in batch]
