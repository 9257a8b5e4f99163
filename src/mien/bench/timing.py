"""Timing calls that take turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mien.runtime.progress import Progress

# Calls before the clock starts: in the first ones buffers are made and caches filled.
WARM_UPS = 3


@dataclass(frozen=True, slots=True)
class Step:
    """Something to time.

    Attributes:
        name: ``detect``, ``crop`` or ``infer``.
        batch_size: faces of a call.
        call: does it once.
    """

    name: str
    batch_size: int
    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a step took.

    Attributes:
        step: its name.
        batch_size: faces of a call.
        median_ms: of a call.
        p95_ms: that 95 % of the calls did not pass.
    """

    step: str
    batch_size: int
    median_ms: float
    p95_ms: float


def time_in_turns(steps: Sequence[Step], rounds: int) -> tuple[Timing, ...]:
    """Time steps, one call of each a round, so that a moment in which the machine is busy falls on all of them."""
    for step in steps:
        for _ in range(WARM_UPS):
            step.call()
    seconds = np.empty((rounds, len(steps)))
    with Progress("Timing", total=rounds, unit="round") as progress:
        for this in range(rounds):
            for place, step in enumerate(steps):
                start = time.perf_counter()
                step.call()
                seconds[this, place] = time.perf_counter() - start
            progress.advance()
    return tuple(
        Timing(step.name, step.batch_size, *(1000 * float(np.percentile(column, p)) for p in (50, 95)))
        for step, column in zip(steps, seconds.T, strict=True)
    )
