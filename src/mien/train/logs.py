"""Training logs: metrics.csv, curves.png, provenance.json."""

import csv
import errno
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import mien
from mien.artifacts import write_atomically, write_json
from mien.drawing.figures import save_figure
from mien.runtime.csv_text import CsvLines

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numpy",
    "opencv-python-headless",
    "pyarrow",
    "simplejpeg",
)
_CURVE_COLUMNS = 3
_CURVE_COLORS = ("#3554d1", "#e8743b")


@contextmanager
def quiet_event_writer() -> Iterator[None]:
    """Hide the traceback of TensorBoard's thread for disk errors, which the training thread raises as well."""
    report = threading.excepthook

    def report_others(failure: threading.ExceptHookArgs) -> None:
        if not issubclass(failure.exc_type, OSError):
            report(failure)

    threading.excepthook = report_others
    try:
        yield
    finally:
        threading.excepthook = report


def append_metrics(path: Path, row: dict[str, float | int]) -> None:
    """Append an epoch to metrics.csv. Rows of this epoch and later, left by a killed run, are replaced."""
    rows = [old for old in read_metrics(path) if int(old["epoch"]) < row["epoch"]]
    rows.append({name: f"{value:.6g}" for name, value in row.items()})

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            # A metric may be undefined in some epochs, such as a correlation with a constant.
            writer = csv.DictWriter(
                CsvLines(file), list(dict.fromkeys(name for each in rows for name in each))
            )
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv, or none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _require_metrics(path: Path) -> list[dict[str, str]]:
    rows = read_metrics(path)
    if not rows:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return rows


def best_epoch(metrics_path: Path, select_by: str) -> int:
    """Return the epoch with the best dev metric in metrics.csv, the first if several tie.

    The best loss and NME are the lowest. An epoch in which the metric is undefined, such as a correlation with a constant,
    is the best only if it is so in all.
    """
    rows = _require_metrics(metrics_path)
    sign = -1 if select_by in ("loss", "nme") else 1

    def rank(row: dict[str, str]) -> float:
        value = float(row.get(f"dev_{select_by}") or "nan")
        return -math.inf if math.isnan(value) else sign * value

    return int(max(rows, key=rank)["epoch"])


def draw_curves(metrics_path: Path, out: Path, select_by: str) -> None:
    """Plot metrics.csv as PNG: one quantity per panel, with its value in the selected epoch.

    Args:
        metrics_path: the file.
        out: the image.
        select_by: the dev metric that selects the epoch, see `best_epoch`; its panel is marked.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that only the first process spends
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    rows = _require_metrics(metrics_path)
    epochs, chosen = [int(row["epoch"]) for row in rows], best_epoch(metrics_path, select_by)
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "epoch"]
    # The dev loss is that of the expression, so that one panel shows both.
    panels = {
        name: {"": name}
        for name in sorted(names, key=lambda name: (not name.startswith("dev_"), name == "learning_rate"))
    }
    if "train_expression" in panels:
        panels["dev_loss"] = {"dev": "dev_loss", "train": panels.pop("train_expression")[""]}
    n_rows = -(-len(panels) // _CURVE_COLUMNS)
    figure = Figure(figsize=(11, 0.5 + 2.3 * n_rows), layout="constrained", dpi=110)
    axes = figure.subplots(n_rows, _CURVE_COLUMNS, squeeze=False, sharex=True).ravel()
    for panel, (first, columns) in zip(axes, panels.items(), strict=False):
        for number, (label, name) in enumerate(columns.items()):
            values = [float(row.get(name) or "nan") for row in rows]
            panel.plot(epochs, values, color=_CURVE_COLORS[number], label=label, linewidth=1.6)
            at = values[epochs.index(chosen)]
            panel.plot([chosen], [at], "o", color=_CURVE_COLORS[number], markersize=5)
            panel.annotate(
                f"{at:.4g}", (chosen, at), xytext=(-4, 5), textcoords="offset points", ha="right", fontsize=8
            )
        title = "expression loss" if first == "dev_loss" else first.replace("_", " ")
        selected = " (selects the epoch)" if first == f"dev_{select_by}" else ""
        panel.set_title(f"{title}{selected}", loc="left", fontsize=9)
        panel.axvline(chosen, color="#2b3038", linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        panel.margins(y=0.18)
        panel.grid(color="#e1e5eb")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(columns) > 1:
            panel.legend(fontsize=8, frameon=False)
    for panel in axes[len(panels) :]:
        panel.remove()
    figure.suptitle(
        f"epoch {chosen} of {epochs[-1]} selected by dev {select_by}", x=0.01, ha="left", fontsize=10
    )
    save_figure(figure, out)


def write_provenance(path: Path, extra: dict[str, Any]) -> None:
    """Write where, when and with which versions a run was made."""
    is_checkout = _git("ls-files", "--error-unmatch", Path(__file__).name) is not None
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU"
    write_json(
        path,
        {
            "mien": mien.__version__,
            "commit": _git("rev-parse", "HEAD") if is_checkout else None,
            "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no"))
            if is_checkout
            else None,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {name: _version(name) for name in PACKAGES},
            "hardware": {"device": device, "cpu_cores": os.cpu_count(), "gpus": torch.cuda.device_count()},
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            **extra,
        },
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Run git in mien's own folder, which may be a checkout, or installed inside another one."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
