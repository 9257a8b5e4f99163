"""Training logs: metrics.csv, curves.png, provenance.json."""

import csv
import errno
import importlib.metadata
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
    """Return the epoch with the best dev metric in metrics.csv, the first if several tie; the best loss is the lowest."""
    rows = _require_metrics(metrics_path)
    sign = -1 if select_by == "loss" else 1
    return int(max(rows, key=lambda row: sign * float(row[f"dev_{select_by}"]))["epoch"])


def draw_curves(metrics_path: Path, out: Path) -> None:
    """Plot losses, dev metrics and learning rate by epoch."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that only the first process spends

    rows = _require_metrics(metrics_path)
    epochs = [int(row["epoch"]) for row in rows]
    panels = {
        "loss": [name for name in rows[0] if name.startswith("train_") or name == "dev_loss"],
        "dev accuracy": ["dev_accuracy", "dev_balanced_accuracy", "dev_macro_f1"],
        "dev, other tasks": [],
        "learning rate": ["learning_rate"],
    }
    shown = {name for names in panels.values() for name in names}
    panels["dev, other tasks"] += [name for name in rows[0] if name.startswith("dev_") and name not in shown]
    figure = Figure(figsize=(11, 7), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for name in names:
            if all(row.get(name) for row in rows):
                axes.plot(epochs, [float(row[name]) for row in rows], label=name, marker=".")
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    write_atomically(out, lambda partial: figure.savefig(partial, format="png", dpi=110))


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
