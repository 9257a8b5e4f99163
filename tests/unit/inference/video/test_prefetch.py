"""Prefetching in a thread."""

from collections.abc import Iterator

import pytest

from mien.inference.video.prefetch import prefetch


def test_prefetching_keeps_the_order_and_forwards_errors() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("five")

    given: list[int] = []
    with pytest.raises(KeyError, match="five"):
        given.extend(prefetch(items(), 2))  # type: ignore[arg-type]
    assert list(prefetch((index for index in range(50)), 3)) == list(range(50))


def test_closing_a_prefetching_generator_closes_its_source() -> None:
    is_closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            is_closed.append(True)

    running = prefetch(items(), 2)  # type: ignore[arg-type]
    assert next(running) == 0
    running.close()
    assert is_closed == [True]
