"""Working ahead: a thread makes the next items while the last are used."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_LOOK_S = 0.1


def ahead(items: Generator[Item, None, None], n_ahead: int) -> Generator[Item, None, None]:
    """Yield the items of a generator that runs in a thread of its own, at most so many items ahead.

    An error of the generator is raised here, behind the items before it. Closing this generator closes that one.
    """
    made: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(n_ahead)
    is_stopped = threading.Event()

    def put(entry: tuple[bool, Item | BaseException | None]) -> None:
        while not is_stopped.is_set():
            try:
                made.put(entry, timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def work() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                put((True, item))
                if is_stopped.is_set():
                    break
            items.close()
        except BaseException as error:  # noqa: BLE001 - it is raised where the items are used
            end = error
        put((False, end))

    thread = threading.Thread(target=work, name="mien ahead", daemon=True)
    thread.start()
    try:
        yield from _taken(made)
    finally:
        is_stopped.set()
        thread.join()


def _taken(made: "queue.Queue[tuple[bool, Item | BaseException | None]]") -> Iterator[Item]:
    while True:
        is_item, value = made.get()
        if is_item:
            yield value  # type: ignore[misc]
        elif value is None:
            return
        else:
            raise value  # type: ignore[misc]
