"""The estimated duration of a run, from timed steps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.recipe import Recipe, RuntimeConfig
from mien.train.dataloader import Batch, FaceBatches
from mien.train.dry_run import duration
from mien.train.dry_run.duration import RunDuration, format_duration
from mien.train.dry_run.plan import plan_training
from mien.train.sampler import Draw


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (130, "2.2 min"),
        (5000, "83 min"),
        (7300, "2.0 h"),
        (180_000, "50 h"),
        (3e5, "3.5 days"),
    ],
)
def test_durations_have_two_digits(seconds: float, text: str) -> None:
    """In the unit that suits them."""
    assert format_duration(seconds) == text


def test_a_run_is_its_steps_and_the_ends_of_its_epochs() -> None:
    """The text names the parts."""
    run = RunDuration("this CPU", 0.5, 10.0, n_steps=600, n_epochs=6)
    assert run.seconds == 360
    assert "about 6.0 min on this CPU" in str(run)
    assert "0.5 s a step, 10 s for the dev faces" in str(run)


@pytest.mark.parametrize("limit", [3.0, 0.1])
def test_steps_and_dev_faces_are_timed(
    training_pack: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    """With a clock by which a face takes 10 ms, also where a full step would take too long and is timed on fewer faces."""
    elapsed = 0.0
    read_faces = FaceBatches.__getitems__

    def read_and_wait(self: FaceBatches, draws: Sequence[Draw]) -> Batch:
        nonlocal elapsed
        elapsed += 0.01 * len(draws)
        return read_faces(self, draws)

    monkeypatch.setattr(duration, "time", SimpleNamespace(perf_counter=lambda: elapsed))
    monkeypatch.setattr(FaceBatches, "__getitems__", read_and_wait)
    monkeypatch.setattr(duration, "MOST_SECONDS_PER_STEP", limit)
    threads = torch.get_num_threads()
    plan = plan_training(
        replace(tiny_recipe, runtime=RuntimeConfig(accelerator="cpu", threads=1)), [training_pack]
    )
    assert torch.get_num_threads() == threads
    assert plan.duration.step_seconds == pytest.approx(0.16)
    assert plan.duration.epoch_end_seconds == pytest.approx(0.01 * plan.dev_counts.sum())
    assert plan.duration.seconds == pytest.approx(54 * 0.16 + 6 * 0.39)
    assert "duration       about 11 s on this CPU with 1 thread, " in str(plan)
