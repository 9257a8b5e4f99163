"""The engine `pool`: processes of this machine."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self

from mien.errors import EngineError
from mien.runtime.child_process import start_worker
from mien.runtime.cpu import usable_cpu_cores
from mien.runtime.engines import Result, Task


class ProcessPool:
    """Runs tasks in worker processes, or in this process if there is to be one worker."""

    def __init__(self, *, workers: int | None, advice: str) -> None:
        """Take the settings; processes start with the first tasks."""
        self._n_workers = workers or usable_cpu_cores()
        self._advice = advice

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result: see `Engine.run`."""
        if self._n_workers == 1:
            for task in tasks:
                yield task, work(task)
            return
        # Not by fork: OpenCV's threads, if the caller has used any, would hang in the copy.
        can_fork_server = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if can_fork_server else "spawn")
        if can_fork_server:
            context.set_forkserver_preload([getattr(work, "__module__", "builtins")])
        running: dict[Future[Result], Task] = {}

        def finished() -> Iterator[tuple[Task, Result]]:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()

        with ProcessPoolExecutor(self._n_workers, mp_context=context, initializer=start_worker) as pool:
            try:
                for task in tasks:
                    running[pool.submit(work, task)] = task
                    if len(running) > 2 * self._n_workers:
                        yield from finished()
                while running:
                    yield from finished()
            except BrokenProcessPool:
                raise EngineError(
                    f"A worker process was killed, usually for lack of memory. {self._advice}"
                ) from None
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
