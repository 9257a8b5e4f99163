"""The telemetry of the libraries under mien, switched off before they load: `import mien` does it first of all.

Nothing but environment variables reaches these libraries early enough. A value that the user set stays.
"""

import os
import sys
import warnings

# onnxruntime from 1.29 writes an identifier of the machine and a queue of events into the user's cache when it is
# imported, and uploads them some seconds later. It stays quiet where it sees a CI system.
ONNXRUNTIME_SWITCH = "ORT_DISABLE_TELEMETRY"
ONNXRUNTIME_SINCE = (1, 29)
# huggingface_hub, by which timm downloads pretrained weights, adds installed packages and coding agents to its requests.
HUGGINGFACE_SWITCH = "HF_HUB_DISABLE_TELEMETRY"


def switch_off_telemetry() -> None:
    """Set the variables that switch telemetry off, in this process and those that it starts.

    Warns:
        UserWarning: an onnxruntime that was imported earlier may have written and queued its first event already.
            It gets no further ones.
    """
    onnxruntime = sys.modules.get("onnxruntime")
    is_decided = bool(os.environ.get(ONNXRUNTIME_SWITCH))
    for name in (ONNXRUNTIME_SWITCH, HUGGINGFACE_SWITCH):
        if not os.environ.get(name):
            os.environ[name] = "1"
    if onnxruntime is None or is_decided:
        return
    onnxruntime.disable_telemetry_events()
    if tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= ONNXRUNTIME_SINCE:
        warnings.warn(
            f"onnxruntime {onnxruntime.__version__} was imported before mien and may send one event to its maker, with an "
            f"identifier of this machine: import mien first, or set {ONNXRUNTIME_SWITCH}=1",
            stacklevel=3,
        )
