"""Worker threads beside the event loop that report how long their work has been taking."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Times:
    """When a task was submitted, and when a thread began it; 0 while it waits."""

    submitted: float
    started: float = 0.0


class Workers:
    """A thread pool. A library call that never returns occupies its thread forever: Python cannot kill threads."""

    def __init__(self, n_threads: int, name: str) -> None:
        self.n_threads = n_threads
        self._threads = ThreadPoolExecutor(n_threads, name)
        self._times: dict[Future[Any], _Times] = {}

    async def run(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a task in one of the threads; a queued task whose caller is canceled never starts."""
        times = _Times(time.monotonic())

        def start() -> T:
            times.started = time.monotonic()
            return task(*args, **kwargs)

        future = self._threads.submit(start)
        self._times[future] = times
        future.add_done_callback(lambda done: self._times.pop(done, None))
        return await asyncio.wrap_future(future)

    def oldest_task_seconds(self) -> float:
        """Return the age of the oldest unfinished task in seconds, including its wait; 0 if there is none."""
        now = time.monotonic()
        return max((now - times.submitted for times in list(self._times.values())), default=0.0)

    def are_all_stuck(self, seconds: float) -> bool:
        """Return whether every thread has been running its task for longer than this."""
        now = time.monotonic()
        stuck = [
            times for times in list(self._times.values()) if times.started and now - times.started > seconds
        ]
        return len(stuck) >= self.n_threads

    def is_busy(self) -> bool:
        """Return whether any thread is running a task."""
        return any(task.running() for task in list(self._times))

    def close(self) -> None:
        """Cancel queued tasks and let the threads exit after their current ones."""
        self._threads.shutdown(wait=False, cancel_futures=True)
