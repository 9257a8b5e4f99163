"""Worker threads: which of them are stuck."""

import asyncio
import threading
import time

from mien.serve.worker_threads import Workers


def test_waiting_for_a_thread_is_not_being_stuck() -> None:
    """A busy server must not be restarted: only the time that a thread spends on one task counts."""

    async def run() -> None:
        workers, release = Workers(1, "test"), threading.Event()
        first = asyncio.create_task(workers.run(time.sleep, 0.4))
        second = asyncio.create_task(workers.run(release.wait, 20))
        await first
        await asyncio.sleep(0.05)
        assert workers.is_busy()
        assert workers.oldest_task_seconds() > 0.4
        assert not workers.are_all_stuck(0.4)
        await asyncio.sleep(0.4)
        assert workers.are_all_stuck(0.4)
        release.set()
        await second
        workers.close()

    asyncio.run(run())
