"""Prefetching: a thread produces the next items while the last ones are used."""

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

Item = TypeVar("Item")

# How often a full queue is checked for a stop.
_POLL_S = 0.1


def prefetch(items: Generator[Item, None, None], size: int) -> Generator[Item, None, None]:
    """Yield the items of a generator that runs in its own thread, at most ``size`` items ahead.

    An error in the generator is raised here, after the items before it. Closing this generator closes that one.
    """
    # (True, item), then (False, error) or, at the end, (False, None)
    entries: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(size)
    is_stopped = threading.Event()

    def put(entry: tuple[bool, Item | BaseException | None]) -> None:
        while not is_stopped.is_set():
            try:
                entries.put(entry, timeout=_POLL_S)
            except queue.Full:
                continue
            return

    def produce() -> None:
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

    thread = threading.Thread(target=produce, name="mien prefetch", daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = entries.get()
            if is_item:
                yield value  # type: ignore[misc]
            elif value is None:
                return
            else:
                raise value  # type: ignore[misc]
    finally:
        is_stopped.set()
        thread.join()
