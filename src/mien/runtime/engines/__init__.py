"""Engines: what gives workers to a command whose work is split into independent tasks.

An engine only runs a function on tasks. That a task is finished is recorded by the file the task writes, never by the
engine, so that a lost worker, a killed command and a second start need nothing from it: the same command finds the
files and runs the other tasks.
"""

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# Name -> ``module:class``; called with the address, the number of workers, and what to do after a lost worker.
ENGINES = {
    "pool": "mien.runtime.engines.process_pool:ProcessPool",
    "ray": "mien.runtime.engines.ray_cluster:RayCluster",
}
# The engines that run on other machines.
WITH_ADDRESS = ("ray",)


class Engine(Protocol):
    """Runs tasks on workers."""

    def run(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result, as they finish. Tasks are taken a few ahead of the workers.

        Args:
            work: a function of a module, which the workers import.
            tasks: small and picklable; paths in them are absolute.

        Raises:
            EngineError: a worker was lost, as often as the engine tries again.
        """


def parse_engine(text: str) -> str:
    """Return the name of an engine with its address, such as ``pool``, ``ray`` or ``ray://head:10001``.

    Raises:
        ValueError: there is no such engine, or it takes no address.
    """
    name, has_address, address = text.partition("://")
    if name not in ENGINES:
        raise ValueError(
            f"must be one of {', '.join(ENGINES)}, or {WITH_ADDRESS[0]}://HOST:PORT, got {name!r}"
        )
    if has_address and name not in WITH_ADDRESS:
        raise ValueError(f"{name!r} takes no address")
    if has_address and not address:
        raise ValueError(f"{name!r} takes an address of the form {name}://HOST:PORT")
    return text


def open_engine(text: str, *, workers: int | None, advice: str) -> AbstractContextManager[Engine]:
    """Start an engine, or connect to it; it is left when the block ends.

    Args:
        text: see `parse_engine`.
        workers: the number of tasks that run at the same time; None for as many as there are cores.
        advice: what to do after a lost worker, for the message.

    Raises:
        ValueError: as in `parse_engine`.
        EngineError: it cannot be reached.
        MissingExtraError: its package is not installed.
    """
    name, _, address = parse_engine(text).partition("://")
    arguments = (address,) if address else ()
    engine: AbstractContextManager[Engine] = pkgutil.resolve_name(ENGINES[name])(
        *arguments, workers=workers, advice=advice
    )
    return engine
