"""Reading the pictures of one request, among those of others."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from starlette.requests import Request

from mien.bundle import Bundle
from mien.faces.detector import Detector
from mien.reading.answers import AnswerRule
from mien.reading.readings import FaceReading, PictureReading
from mien.serve.batching import Batcher
from mien.serve.counters import Counters
from mien.serve.cutting import CropWay, Cutter
from mien.serve.refusals import Refusal
from mien.serve.settings import ServeSettings
from mien.serve.uploads import BytesInHand, Upload, pictures_of, read_body, require_media_type

# Pictures of all requests that may be between their decoding and their reading: bounds the memory of cut faces.
MAX_PICTURES_AT_WORK = 64
# What a row says of a picture with more faces than are read.
TOO_MANY_FACES = "too_many_faces"
_NO_IMAGE = ("not_an_image", "empty_file")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the pictures of a request.

    Attributes:
        rule: how answers are given.
        crop: find the faces, or take every picture as one.
    """

    rule: AnswerRule
    crop: CropWay


class FaceService:
    """Takes requests, as many as it can hold, and answers them. Lives in one event loop."""

    def __init__(
        self,
        bundle: Bundle,
        settings: ServeSettings,
        *,
        make_detector: Callable[[], Detector],
        counters: Counters,
    ) -> None:
        """Begin to wait for requests; to be called where the event loop runs."""
        self.is_stopping = False
        self._in_hand: set[asyncio.Task[object]] = set()
        self._is_giving_up = False
        self._settings, self._counters = settings, counters
        self._bytes = BytesInHand(settings.queue_bytes)
        self._at_work = asyncio.Semaphore(MAX_PICTURES_AT_WORK)
        self._cutter = Cutter(bundle.info, settings, make_detector)
        self._batcher = Batcher(bundle, settings, count=counters.count_batch)
        self._workers = (self._cutter.workers, self._batcher.workers)
        counters.oldest_work.set_function(self._seconds_of_oldest)

    async def answer(self, request: Request, question: Question) -> bytes:
        """Return the JSON text of the readings of a request's pictures.

        Raises:
            Refusal: see the pages of the API.
            ModelError: the model gives values that are not finite.
        """
        content_type = request.headers.get("content-type", "")
        require_media_type(content_type)
        with self._place():
            body = await read_body(request, self._settings, self._bytes)
            n_bytes = len(body)
            try:
                async with asyncio.timeout(self._settings.request_seconds):
                    uploads = await self._cutter.workers.run(pictures_of, body, content_type, self._settings)
                    body.clear()
                    readings = await self._read_all(uploads, question)
                    return await self._cutter.workers.run(_to_json, readings)
            except TimeoutError:
                message = f"The answer took more than {self._settings.request_seconds:g} seconds. Send fewer pictures"
                raise Refusal(504, "too_slow", message) from None
            finally:
                self._bytes.give_back(n_bytes)

    @property
    def n_in_hand(self) -> int:
        """Requests to read pictures that are not answered yet."""
        return len(self._in_hand)

    def give_up(self) -> None:
        """Refuse what is in hand, now that there is no time left for it."""
        if self._is_giving_up:
            return
        self._is_giving_up = True
        for task in self._in_hand:
            task.cancel()

    def is_slow(self) -> bool:
        """Say whether a piece of work takes so long that it may be stuck."""
        return self._seconds_of_oldest() > self._settings.stall_seconds

    def is_stuck(self) -> bool:
        """Say whether nothing can get on any more: the model's thread, or every decoder's, is stuck."""
        return any(one.are_all_stuck(self._settings.stall_seconds) for one in self._workers)

    def is_at_work(self) -> bool:
        """Say whether a thread is at work that nothing can end but the end of the process."""
        return any(one.is_at_work() for one in self._workers)

    def _seconds_of_oldest(self) -> float:
        return max(one.seconds_of_oldest() for one in self._workers)

    async def close(self) -> None:
        """Stop; nothing may be in hand."""
        await self._batcher.close()
        self._cutter.workers.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        task = asyncio.current_task()
        if task is None or self.n_in_hand >= self._settings.queue:
            message = (
                f"The server has {self.n_in_hand} requests in hand, as many as it takes. Try again later"
            )
            raise Refusal(429, "busy", message, headers={"Retry-After": "1"})
        self._in_hand.add(task)
        self._counters.queue.set(self.n_in_hand)
        try:
            yield
        except asyncio.CancelledError:
            if not self._is_giving_up:
                raise
            task.uncancel()
            message = "The server stops, and could not answer in time. Ask again elsewhere, or later"
            raise Refusal(503, "stopping", message) from None
        finally:
            self._in_hand.discard(task)
            self._counters.queue.set(self.n_in_hand)

    async def _read_all(self, uploads: Sequence[Upload], question: Question) -> list[PictureReading]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read(upload, question)) for upload in uploads]
        readings = [task.result() for task in tasks]
        if all(reading.rows[0].status in _NO_IMAGE for reading in readings):
            row = readings[0].rows[0]
            message = f"Nothing in the request is a picture; the first: {row.status}, {row.detail}"
            raise Refusal(422, "not_an_image", message)
        return readings

    async def _read(self, upload: Upload, question: Question) -> PictureReading:
        async with self._at_work:
            picture, n_left_out = await self._cutter.cut(upload, question.crop)
            reading = await self._batcher.read(picture, question.rule)
        if n_left_out:
            detail = f"{n_left_out} more faces, the limit is {self._settings.faces}"
            rest = FaceReading(upload.source, status=TOO_MANY_FACES, detail=detail)
            reading = replace(reading, rows=(*reading.rows, rest))
        return reading


def _to_json(readings: Sequence[PictureReading]) -> bytes:
    results = {"results": [reading.to_dict() for reading in readings]}
    return json.dumps(results, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
