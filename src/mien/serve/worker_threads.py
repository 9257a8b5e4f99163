"""Worker threads beside the event loop that report how long their work has been taking."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """A thread pool. A library call that never returns occupies its thread forever: Python cannot kill threads."""

    def __init__(self, n_threads: int, name: str) -> None:
        self.n_threads = n_threads
        self._threads = ThreadPoolExecutor(n_threads, name)
        # When each task was submitted, including tasks still queued.
        self._submitted_at: dict[Future[Any], float] = {}

    async def run(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a task in one of the threads; a queued task whose caller is canceled never starts."""
        future = self._threads.submit(task, *args, **kwargs)
        self._submitted_at[future] = time.monotonic()
        future.add_done_callback(lambda done: self._submitted_at.pop(done, None))
        return await asyncio.wrap_future(future)

    def oldest_task_seconds(self) -> float:
        """Return the age of the oldest unfinished task in seconds, 0 if there is none."""
        now = time.monotonic()
        return max((now - start for start in list(self._submitted_at.values())), default=0.0)

    def are_all_stuck(self, seconds: float) -> bool:
        """Return whether every thread is running a task that was submitted longer ago than this."""
        now = time.monotonic()
        stuck = [
            task
            for task, start in list(self._submitted_at.items())
            if now - start > seconds and task.running()
        ]
        return len(stuck) >= self.n_threads

    def is_busy(self) -> bool:
        """Return whether any thread is running a task."""
        return any(task.running() for task in list(self._submitted_at))

    def close(self) -> None:
        """Cancel queued tasks and let the threads exit after their current ones."""
        self._threads.shutdown(wait=False, cancel_futures=True)
