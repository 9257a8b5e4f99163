"""The learning rates of a run, traced from the optimizer and drawn."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import numpy as np

from mien.nets.network import build_face_network
from mien.recipe import ModelConfig, ScheduleConfig
from mien.train.dry_run.learning_rates import (
    MOST_STEPS,
    TEXT_HEIGHT,
    TEXT_WIDTH,
    RateCurve,
    draw_as_image,
    draw_as_text,
    trace_rates,
)
from mien.train.optimization import build_optimizer


def curve_of(steps_per_epoch: int = 10, **schedule: Any) -> RateCurve:
    config = ScheduleConfig(**{"epochs": 5, "learning_rate": 0.01, **schedule})
    network = build_face_network(
        ModelConfig(backbone="resnet10t", valence_arousal=False), 3, input_size=32, pretrained=False
    )
    return trace_rates(build_optimizer(network, config), config, steps_per_epoch=steps_per_epoch)


def plot_of(text: str) -> list[str]:
    """The lines that hold the first plot's bars, without the axis."""
    return [line.split("|")[1].ljust(TEXT_WIDTH) for line in text.split("\n\n")[1].split("\n")[:TEXT_HEIGHT]]


def heights_of(text: str) -> np.ndarray:
    """Height of each column in blocks."""
    lines = plot_of(text)
    return np.array([[" ▁▂▃▄▅▆▇█".index(mark) / 8 for mark in line] for line in lines]).sum(axis=0)


def test_every_step_of_a_short_run() -> None:
    """Up during the warm-up, at the peak, down to the minimum; the same for heads and backbone."""
    curve = curve_of(warmup_epochs=1.0, warmup_lr_ratio=0.1, min_lr_ratio=0.01)
    assert curve.steps.tolist() == list(range(50))
    assert (curve.n_steps, curve.warmup_steps, curve.frozen_steps) == (50, 10, 0)
    assert curve.heads[0] == pytest.approx(0.001)
    assert curve.heads[10] == pytest.approx(0.01) == curve.heads.max()
    assert curve.heads[-1] < 0.0002
    np.testing.assert_array_equal(curve.heads, curve.backbone)
    np.testing.assert_array_equal(curve.heads, curve.first_layers)


def test_a_frozen_backbone_and_layer_decay() -> None:
    """The backbone is frozen at first; later the first layers have a lower rate than the last."""
    curve = curve_of(
        freeze_backbone_epochs=1.5, freeze_backbone_learning_rate=0.05, warmup_epochs=1.0, layer_decay=0.5
    )
    assert (curve.frozen_steps, curve.warmup_steps) == (15, 10)
    assert curve.heads[:15] == pytest.approx(np.full(15, 0.05))
    assert not curve.backbone[:15].any()
    assert curve.heads[25] == pytest.approx(0.01)
    assert curve.first_layers[25] < 0.3 * curve.backbone[25]


def test_a_long_run_is_sampled() -> None:
    """The sampled steps include the changes of phase and the peak."""
    curve = curve_of(steps_per_epoch=3777, epochs=40, warmup_epochs=1.37)
    assert MOST_STEPS <= len(curve.steps) <= MOST_STEPS + 3
    assert curve.heads.max() == pytest.approx(0.01, rel=1e-9)
    assert (curve.steps[0], curve.steps[-1]) == (0, 40 * 3777 - 1)


def test_the_text_shows_the_curve() -> None:
    """Columns are as high as the rate, and the axes name its peak and the epochs."""
    curve = curve_of(warmup_epochs=1.0, warmup_lr_ratio=0.0)
    text = draw_as_text(curve)
    heights = heights_of(text)
    centers = (np.arange(TEXT_WIDTH) + 0.5) / TEXT_WIDTH * 5
    expected = np.interp(centers, curve.epochs, curve.heads) / 0.01 * TEXT_HEIGHT
    np.testing.assert_allclose(heights, expected, atol=0.07)
    assert text.startswith("learning rate\n\n0.01 |")
    assert text.endswith("5 epochs")


def test_the_text_has_two_plots_with_a_frozen_backbone() -> None:
    """The backbone's is empty while it is frozen."""
    text = draw_as_text(curve_of(freeze_backbone_epochs=2.0))
    assert text.count("epochs") == 2
    of_backbone = text[text.index("learning rate of the backbone") :]
    assert not heights_of(of_backbone)[: TEXT_WIDTH // 3].any()


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param({"learning_rate": 0.0}, id="no rate"),
        pytest.param({"epochs": 1, "warmup_epochs": 0.0}, id="one epoch"),
        pytest.param({"freeze_backbone_epochs": 5.0, "warmup_epochs": 0.0}, id="heads alone throughout"),
        pytest.param({"warmup_epochs": 5.0}, id="warm-up throughout"),
        pytest.param({"learning_rate": 3e-7, "layer_decay": 0.7, "freeze_backbone_epochs": 1.0}, id="tiny"),
    ],
)
def test_any_schedule_can_be_drawn(schedule: dict[str, Any], tmp_path: Path) -> None:
    """No warning, no error, as text and as an image, with one step per epoch and with many."""
    for steps_per_epoch in (1, 30):
        curve = curve_of(steps_per_epoch, **schedule)
        assert len(plot_of(draw_as_text(curve))) == TEXT_HEIGHT
        draw_as_image(curve, tmp_path / "rates.png", title="a title")
        assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["rates.png"]
