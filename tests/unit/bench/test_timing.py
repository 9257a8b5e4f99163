"""Timing several calls in alternation."""

import time

from mien.bench.timing import Step, time_steps


def test_times_are_right() -> None:
    """Steps alternate; one slow call moves the 95th percentile but not the median."""
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        time.sleep(0.05 if calls.count("slow") == 10 else 0.002)

    timings = time_steps([Step("slow", 1, slow), Step("quick", 8, lambda: calls.append("quick"))], 7)
    assert calls[6:] == ["slow", "quick"] * 7
    assert 2 <= timings[0].median_ms < timings[0].p95_ms
    assert timings[0].p95_ms > 0.65 * 50
    assert timings[1].median_ms < timings[0].median_ms
    assert (timings[1].step, timings[1].batch_size) == ("quick", 8)
