"""Engines: names, results, and workers that are lost. Ray itself: tests/end_to_end/test_ray_engine.py."""

import math
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from mien.errors import EngineError, MissingExtraError
from mien.runtime.engines import ENGINES, open_engine, parse_engine


@pytest.mark.parametrize("text", ["pool", "ray", "ray://head:10001"])
def test_known_engines(text: str) -> None:
    assert parse_engine(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be one of pool, ray, or ray://HOST:PORT, got ''"),
        ("spark", "must be one of pool, ray, or ray://HOST:PORT, got 'spark'"),
        ("pool://host:1", "'pool' takes no address"),
        ("ray://", "'ray' takes an address of the form ray://HOST:PORT"),
    ],
)
def test_unknown_engines_name_the_known_ones(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse_engine(text)
    with pytest.raises(ValueError, match=f"^{message}$"):
        open_engine(text, workers=1, advice="")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_has_its_result(workers: int) -> None:
    with open_engine("pool", workers=workers, advice="") as engine:
        assert sorted(engine.run(abs, range(-50, 0))) == [(n, -n) for n in range(-50, 0)]


def test_tasks_are_taken_as_they_are_needed() -> None:
    """A list of a billion rows must not be read before the first task is done."""
    n_taken = 0

    def endless() -> Iterator[int]:
        nonlocal n_taken
        while True:
            n_taken += 1
            yield n_taken

    with open_engine("pool", workers=2, advice="") as engine:
        results = engine.run(abs, endless())
        for _ in range(20):
            next(results)
        results.close()  # type: ignore[attr-defined]
    assert n_taken < 30


def test_an_error_of_a_task_is_raised() -> None:
    with open_engine("pool", workers=2, advice="") as engine, pytest.raises(ValueError, match="math domain"):
        list(engine.run(math.sqrt, [2.0, -1.0, 1.0]))


def test_a_killed_worker_is_one_line() -> None:
    with (
        open_engine("pool", workers=2, advice="Do it again") as engine,
        pytest.raises(EngineError, match=r"^A worker process was killed, .*\. Do it again$"),
    ):
        list(engine.run(os._exit, [9, 9, 9]))


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_extra_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'mien\[ray\]'"):
        open_engine("ray", workers=None, advice="").__enter__()


def test_engines_are_not_imported_before_they_are_chosen() -> None:
    assert "ray" in ENGINES
    assert "ray" not in sys.modules
