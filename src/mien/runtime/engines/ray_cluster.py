"""The engine `ray`: the workers of a Ray cluster, by Ray's core tasks. The only module that imports ray.

Tasks carry paths, rows and settings, and return counts: no image passes through Ray's object store.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from mien.errors import EngineError, MienError, MissingExtraError
from mien.runtime.engines import Result, Task

# A worker that imports mien and the libraries under it takes as long as a few tasks: some wait at each worker.
TASKS_PER_WORKER = 2
# After a worker was killed, its task runs again, on another one.
RETRIES = 3


class RayCluster:
    """Runs tasks on a Ray cluster.

    The address is that of Ray's client server. Without one, Ray decides: the cluster named by `RAY_ADDRESS`, one that
    `ray start` started on this machine, or one of all cores of this machine that lives as long as the command. A program
    that has called `ray.init` stays connected as it is.
    """

    def __init__(self, address: str = "", *, workers: int | None, advice: str) -> None:
        """Take the settings; `__enter__` connects."""
        self._address, self._workers, self._advice = address, workers, advice
        self._most = workers  # tasks in flight

    def __enter__(self) -> Self:
        try:
            import ray  # noqa: PLC0415 - large, and only this engine needs it
        except ModuleNotFoundError as error:
            raise MissingExtraError("... --engine ray", "ray") from error
        self._ray: Any = ray
        self._is_mine = not ray.is_initialized()
        if not self._is_mine:  # by the program that calls mien
            return self
        logging.getLogger("ray").setLevel(logging.ERROR)  # its advice would interrupt the progress
        where = self._address or os.environ.get("RAY_ADDRESS") or "this machine"
        settings: dict[str, object] = {"log_to_driver": False, "configure_logging": False}
        if self._address:
            settings["address"] = f"ray://{self._address}"
        elif "://" not in where:
            settings["include_dashboard"] = False
        try:
            with warnings.catch_warnings(action="ignore"):
                self._connect(settings)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise EngineError(
                f"The Ray cluster at {where} cannot be reached: {reason.rstrip('.')}. Check the address, that "
                "Ray and Python have the same versions there, and the cluster's token, which is used with "
                "RAY_AUTH_MODE=token; `ray stop` forgets a cluster of this machine that crashed"
            ) from error
        return self

    def _connect(self, settings: dict[str, object]) -> None:
        """Connect to a cluster, or start one that has a core for each worker, where more tasks can wait."""
        if self._workers is not None and not self._address:
            with suppress(ValueError):  # it exists, and so do its cores
                self._ray.init(**settings, num_cpus=self._workers)
                self._most = None
                return
        self._ray.init(**settings)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_mine:
            self._ray.shutdown()

    def run(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result: see `Engine.run`."""
        remote = self._ray.remote(num_cpus=1, max_retries=RETRIES)(work)
        running: dict[Any, Task] = {}

        def finished() -> Iterator[tuple[Task, Result]]:
            done, _ = self._ray.wait(list(running))
            for reference in done:
                yield running.pop(reference), self._result(reference)

        try:
            for task in tasks:
                running[remote.remote(task)] = task
                # A cluster can grow and shrink.
                n_cores = int(self._ray.cluster_resources().get("CPU", 1))
                if len(running) >= (self._most or TASKS_PER_WORKER * max(n_cores, 1)):
                    yield from finished()
            while running:
                yield from finished()
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)

    def _result(self, reference: Any) -> Any:
        failures = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except failures.RayTaskError as error:
            if isinstance(error.cause, MienError):
                raise error.cause from None
            if "No module named" in str(error) or isinstance(error.cause, (ImportError, AttributeError)):
                raise EngineError(
                    "The workers of the Ray cluster cannot import mien, or have another release of it. Install the same "
                    f"one with the same extras on every machine of the cluster: {str(error.cause).splitlines()[-1]}"
                ) from None
            raise
        except (failures.WorkerCrashedError, failures.OutOfMemoryError, failures.NodeDiedError) as error:
            raise EngineError(
                f"Workers of the Ray cluster were lost {RETRIES + 1} times with the same task, usually for lack of "
                f"memory. {self._advice}"
            ) from error
        except failures.RayError as error:
            reason = str(error).strip().partition("\n")[0]
            raise EngineError(f"The Ray cluster failed: {reason.rstrip('.')}. {self._advice}") from error
