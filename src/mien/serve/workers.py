"""Threads that work beside the event loop, and for how long they have been at what they do."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """A few threads. A library that never returns keeps its thread for good: Python cannot end one."""

    def __init__(self, n_threads: int, name: str) -> None:
        self.n_threads = n_threads
        self._threads = ThreadPoolExecutor(n_threads, name)
        # Since when each piece of work is wanted, those that wait for a thread among them.
        self._since: dict[Future[Any], float] = {}

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work in one of the threads; one that nobody waits for any more does not begin."""
        future = self._threads.submit(work, *args, **kwargs)
        self._since[future] = time.monotonic()
        future.add_done_callback(lambda done: self._since.pop(done, None))
        return await asyncio.wrap_future(future)

    def seconds_of_oldest(self) -> float:
        """Return how long the oldest piece of work has been wanted that is not done, 0 where there is none."""
        now = time.monotonic()
        return max((now - since for since in list(self._since.values())), default=0.0)

    def are_all_stuck(self, seconds: float) -> bool:
        """Say whether every thread is at a piece of work that has been wanted for longer."""
        now = time.monotonic()
        stuck = [one for one, since in list(self._since.items()) if now - since > seconds and one.running()]
        return len(stuck) >= self.n_threads

    def is_at_work(self) -> bool:
        """Say whether a thread would have to be waited for."""
        return any(one.running() for one in list(self._since))

    def close(self) -> None:
        """Let the threads end when they have done what they are at."""
        self._threads.shutdown(wait=False, cancel_futures=True)
