"""Faces of several clients' pictures, read in one call of the model.

A picture waits a short time for others. While the model is busy, those that arrive gather for its next call.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mien.bundle import Bundle
from mien.reading.answers import AnswerRule
from mien.reading.readings import PictureReading, without_face
from mien.reading.recognise import BATCH_FACES, CutPicture, reading_of, run_in_batches
from mien.serve.settings import ServeSettings
from mien.serve.workers import Workers


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    picture: CutPicture
    rule: AnswerRule
    answer: asyncio.Future[PictureReading]


class Batcher:
    """Reads cut pictures, in one thread, as many together as there are. Lives in one event loop."""

    def __init__(
        self, bundle: Bundle, settings: ServeSettings, *, count: Callable[[int], None] = lambda _n: None
    ) -> None:
        """Begin to wait for pictures.

        Args:
            bundle: the model.
            settings: how long to wait, and how many faces to read together.
            count: is told how many faces each call of the model reads.
        """
        self._bundle, self._settings, self._count = bundle, settings, count
        self.workers = Workers(1, "mien-read")
        self._waiting: deque[_Waiting] = deque()
        self._arrival = asyncio.Event()
        self._task = asyncio.create_task(self._read_all())

    async def read(self, picture: CutPicture, rule: AnswerRule) -> PictureReading:
        """Read a picture.

        Raises:
            ModelError: the model gives values that are not finite.
        """
        if not picture.faces:
            return PictureReading(picture.source, (without_face(picture.source, picture.problem),))
        answer: asyncio.Future[PictureReading] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(picture, rule, answer))
        self._arrival.set()
        return await answer

    async def close(self) -> None:
        """Stop. What still waits is never answered: close only when nothing is in hand."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.workers.close()

    async def _read_all(self) -> None:
        while True:
            batch = await self._next_batch()
            try:
                readings = await self.workers.run(self._read_batch, batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who wait
                _answer_all(batch, error)
            else:
                _answer_all(batch, readings)

    async def _next_batch(self) -> list[_Waiting]:
        """Return the pictures that are read next: no more faces than a batch has, if it can be; none if nobody waits any more."""
        while not self._waiting:
            self._arrival.clear()
            await self._arrival.wait()
        await self._wait_for_more()
        batch, n_faces = [self._waiting.popleft()], 0
        n_faces = len(batch[0].picture.faces)
        while self._waiting:
            n_faces += len(self._waiting[0].picture.faces)
            if n_faces > self._settings.batch_faces:
                break
            batch.append(self._waiting.popleft())
        return [one for one in batch if not one.answer.done()]

    async def _wait_for_more(self) -> None:
        try:
            async with asyncio.timeout(self._settings.window_ms / 1000):
                while sum(len(one.picture.faces) for one in self._waiting) < self._settings.batch_faces:
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            return

    def _read_batch(self, batch: list[_Waiting]) -> list[PictureReading]:
        crops = [face.crop for one in batch for face in one.picture.faces]
        for start in range(0, len(crops), BATCH_FACES):
            self._count(min(BATCH_FACES, len(crops) - start))
        outputs = run_in_batches(crops, self._bundle)
        return [reading_of(one.picture, outputs, self._bundle.info, one.rule) for one in batch]


def _answer_all(batch: list[_Waiting], answers: list[PictureReading] | Exception) -> None:
    """Answer those who have not gone meanwhile."""
    for index, one in enumerate(batch):
        if one.answer.done():
            continue
        if isinstance(answers, Exception):
            one.answer.set_exception(answers)
        else:
            one.answer.set_result(answers[index])
