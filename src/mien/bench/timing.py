"""Timing several calls in alternation."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mien.runtime.progress import Progress

# Untimed calls per step: the first ones allocate buffers and fill caches.
WARM_UPS = 3


class Step(NamedTuple):
    """Something to time.

    Attributes:
        name: ``detect``, ``crop`` or ``infer``.
        batch_size: faces per call.
        call: runs the step once.
    """

    name: str
    batch_size: int
    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a step takes.

    Attributes:
        step: name of the step.
        batch_size: faces per call.
        median_ms: median time per call.
        p95_ms: 95th percentile of the time per call.
    """

    step: str
    batch_size: int
    median_ms: float
    p95_ms: float


def time_steps(steps: Sequence[Step], rounds: int) -> tuple[Timing, ...]:
    """Time steps in rounds of one call each, so that a busy moment of the machine affects all of them alike."""
    for step in steps:
        for _ in range(WARM_UPS):
            step.call()
    seconds = np.empty((rounds, len(steps)))
    with Progress("Timing", total=rounds, unit="round") as progress:
        for round_index in range(rounds):
            for step_index, step in enumerate(steps):
                start = time.perf_counter()
                step.call()
                seconds[round_index, step_index] = time.perf_counter() - start
            progress.advance()
    return tuple(
        Timing(step.name, step.batch_size, *(1000 * float(np.percentile(column, p)) for p in (50, 95)))
        for step, column in zip(steps, seconds.T, strict=True)
    )
