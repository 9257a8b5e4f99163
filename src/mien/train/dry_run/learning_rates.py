"""The learning rates of a run over its steps, as numbers, as text and as an image."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mien.artifacts import disk_errors, write_atomically
from mien.recipe import ScheduleConfig
from mien.train.optimization import count_frozen_steps, count_warmup_steps, lr_factors

# Steps at which a long run's rates are evaluated; for a shorter one, every step.
MOST_STEPS = 2000
TEXT_WIDTH, TEXT_HEIGHT = 64, 8
_BLOCKS = " ▁▂▃▄▅▆▇█"

_HEADS, _BACKBONE, _TEXT, _GRID, _SHADE = "#f0a27c", "#3554d1", "#2b3038", "#e1e5eb", "#f3f5f9"


class RateCurve(NamedTuple):
    """The learning rates of a run.

    Attributes:
        steps: ``(N,)`` from 0, increasing.
        heads: ``(N,)`` rate of the heads in each of these steps.
        backbone: ``(N,)`` rate of the backbone's last layers.
        first_layers: ``(N,)`` rate of its first layers, the same without layer decay.
        steps_per_epoch: steps per epoch.
        n_epochs: number of epochs.
        frozen_steps: steps in which only the heads are trained.
        warmup_steps: steps of the warm-up, which follows.
    """

    steps: NDArray[np.int64]
    heads: NDArray[np.float64]
    backbone: NDArray[np.float64]
    first_layers: NDArray[np.float64]
    steps_per_epoch: int
    n_epochs: int
    frozen_steps: int
    warmup_steps: int

    @property
    def n_steps(self) -> int:
        """Number of steps of the run."""
        return self.n_epochs * self.steps_per_epoch

    @property
    def epochs(self) -> NDArray[np.float64]:
        """``(N,)`` epochs completed before each of the steps."""
        return self.steps / self.steps_per_epoch


def trace_rates(
    optimizer: torch.optim.Optimizer, config: ScheduleConfig, *, steps_per_epoch: int
) -> RateCurve:
    """Return the learning rates of an optimizer of `build_optimizer` over a run."""
    n_steps = config.epochs * steps_per_epoch
    frozen_steps = count_frozen_steps(config, steps_per_epoch)
    warmup_steps = count_warmup_steps(config, steps_per_epoch)
    changes = np.array([frozen_steps - 1, frozen_steps, frozen_steps + warmup_steps]).clip(0, n_steps - 1)
    even = np.linspace(0, n_steps - 1, min(n_steps, MOST_STEPS)).round().astype(np.int64)
    steps = np.unique(np.concatenate([even, changes]))
    factors = lr_factors(optimizer, config, steps_per_epoch=steps_per_epoch)
    rates: dict[bool, list[list[float]]] = {True: [], False: []}
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        rates[group["heads"]].append([group["lr"] * factor(step) for step in steps.tolist()])
    return RateCurve(
        steps,
        np.max(rates[True], axis=0),
        np.max(rates[False], axis=0),
        np.min(rates[False], axis=0),
        steps_per_epoch,
        config.epochs,
        frozen_steps,
        warmup_steps,
    )


def draw_as_text(curve: RateCurve) -> str:
    """Return the curve as lines of block characters; two curves if the backbone is frozen at first."""
    if not curve.frozen_steps:
        return _draw_part(curve, curve.heads, "learning rate")
    parts = {"learning rate of the heads": curve.heads, "learning rate of the backbone": curve.backbone}
    return "\n\n".join(_draw_part(curve, rates, title) for title, rates in parts.items())


def _draw_part(curve: RateCurve, rates: NDArray[np.float64], title: str) -> str:
    highest = float(rates.max())
    top = f"{highest:.3g}"
    margin = max(len(top), 1)
    centers = (np.arange(TEXT_WIDTH) + 0.5) / TEXT_WIDTH * curve.n_epochs
    heights = np.interp(centers, curve.epochs, rates) / (highest or 1) * TEXT_HEIGHT * (len(_BLOCKS) - 1)
    lines = [title, ""]
    for row in range(TEXT_HEIGHT - 1, -1, -1):
        levels = (heights - row * (len(_BLOCKS) - 1)).round().clip(0, len(_BLOCKS) - 1).astype(int)
        label = top if row == TEXT_HEIGHT - 1 else ""
        lines.append(f"{label:>{margin}} |" + "".join(_BLOCKS[level] for level in levels).rstrip())
    last = f"{curve.n_epochs} {'epoch' if curve.n_epochs == 1 else 'epochs'}"
    lines.append(f"{'0':>{margin}} +" + "-" * TEXT_WIDTH)
    lines.append(" " * (margin + 2) + "0" + f"{last:>{TEXT_WIDTH - 1}}")
    return "\n".join(lines)


def draw_as_image(curve: RateCurve, path: Path, *, title: str) -> None:
    """Write the curve as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that only an image is worth
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    figure = Figure(figsize=(8.0, 4.2), layout="constrained", dpi=160)
    axes = figure.subplots()
    epochs = curve.epochs
    phases = {"frozen backbone": curve.frozen_steps, "warm-up": curve.warmup_steps}
    start = 0.0
    for number, (name, n_steps) in enumerate(phases.items()):
        end = start + n_steps / curve.steps_per_epoch
        if n_steps:
            axes.axvspan(start, end, color=_SHADE if number % 2 else _GRID, lw=0, label=name)
        start = end
    if np.array_equal(curve.heads, curve.first_layers):
        axes.plot(epochs, curve.heads, color=_BACKBONE, lw=2, label="heads and backbone")
    else:
        axes.plot(epochs, curve.heads, color=_HEADS, lw=5, label="heads")
        axes.plot(epochs, curve.backbone, color=_BACKBONE, lw=1.8, label="backbone")
    if not np.array_equal(curve.backbone, curve.first_layers):
        shade = axes.fill_between(
            epochs, curve.first_layers, curve.backbone, color=_BACKBONE, alpha=0.15, lw=0
        )
        shade.set_label("its layers, down to the first")
    axes.set(xlabel="epochs", ylabel="learning rate", xlim=(0, curve.n_epochs), ylim=(0, None))
    axes.set_title(title, loc="left", fontsize=10, color=_TEXT)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    with disk_errors(path):
        write_atomically(path, lambda partial: figure.savefig(partial, format="png"))
