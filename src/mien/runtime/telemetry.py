"""Turns off the telemetry of the libraries that mien uses, before they load: the first thing `import mien` does.

Only environment variables reach these libraries early enough. A value that the user has set is kept.
"""

import os
import sys
import warnings

# On import, onnxruntime from 1.29 on writes a machine identifier and a queue of events to the user's cache, and uploads
# them some seconds later. It does not do so on CI systems.
ONNXRUNTIME_SWITCH = "ORT_DISABLE_TELEMETRY"
ONNXRUNTIME_SINCE = (1, 29)
# huggingface_hub, which timm uses to download pretrained weights, reports installed packages and coding agents.
HUGGINGFACE_SWITCH = "HF_HUB_DISABLE_TELEMETRY"
# What a run may be logged to, if a recipe asks for it: mlflow reports which of its functions are used, and wandb its errors.
MLFLOW_SWITCH = "MLFLOW_DISABLE_TELEMETRY"
WANDB_SWITCH = "WANDB_ERROR_REPORTING"
# A Ray cluster reports its size, versions and libraries to its makers, from the process that starts it.
RAY_SWITCH = "RAY_USAGE_STATS_ENABLED"


def switch_off_telemetry() -> None:
    """Set the environment variables that turn telemetry off, for this process and its children.

    Warns:
        UserWarning: onnxruntime was imported before and may have queued its first event; later events are turned off.
    """
    onnxruntime = sys.modules.get("onnxruntime")
    is_decided = bool(os.environ.get(ONNXRUNTIME_SWITCH))
    switches = {
        ONNXRUNTIME_SWITCH: "1",
        HUGGINGFACE_SWITCH: "1",
        MLFLOW_SWITCH: "true",
        WANDB_SWITCH: "false",
        RAY_SWITCH: "0",
    }
    for name, off in switches.items():
        if not os.environ.get(name):
            os.environ[name] = off
    if onnxruntime is None or is_decided:
        return
    onnxruntime.disable_telemetry_events()
    if tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= ONNXRUNTIME_SINCE:
        warnings.warn(
            f"onnxruntime {onnxruntime.__version__} was imported before mien and may send one event with an identifier of "
            f"this machine to its maker: import mien first, or set {ONNXRUNTIME_SWITCH}=1",
            stacklevel=3,
        )
