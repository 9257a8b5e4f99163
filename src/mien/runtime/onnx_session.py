"""An onnxruntime session that survives `fork`, and the devices that it can run on."""

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import onnxruntime

from mien.errors import ModelError
from mien.runtime.cpu import cpu_quota, usable_cpu_cores

CPU_PROVIDER = "CPUExecutionProvider"
# onnxruntime's execution providers by the names that people use. Tested on the CPU only.
DEVICES = {
    "cpu": CPU_PROVIDER,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
# A name as in `onnxruntime.get_available_providers()`, or a pair of it and its options.
Provider: TypeAlias = str | tuple[str, Mapping[str, Any]]


def resolve_device(device: str) -> tuple[Provider, ...]:
    """Return the providers for a device such as ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises:
        ModelError: the device is unknown, or this onnxruntime does not support it.
    """
    name, _, number = str(device).lower().partition(":")
    if name not in DEVICES or (number and not number.isdecimal()):
        raise ModelError(
            f"Device {device!r} is unknown. Use one of {', '.join(DEVICES)}, or name onnxruntime's own with `providers`"
        )
    provider: Provider = (DEVICES[name], {"device_id": number}) if number else DEVICES[name]
    return require_providers([provider])


def require_providers(providers: Sequence[Provider]) -> tuple[Provider, ...]:
    """Return providers that this onnxruntime has, with the CPU as the last.

    Raises:
        ModelError: it lacks one.
    """
    names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
    available = onnxruntime.get_available_providers()
    for name in names:
        if name not in available:
            raise ModelError(
                f"onnxruntime {onnxruntime.__version__} has no {name!r}: it has {', '.join(available)}. Use one of these, or "
                "install the build of onnxruntime for the device, such as onnxruntime-gpu, in its place"
            )
    return (*providers, *([] if CPU_PROVIDER in names else [CPU_PROVIDER]))


class OnnxSession:
    """An `onnxruntime.InferenceSession`, thread-safe as it is, which is opened again in a forked process.

    Fork copies no threads: a session with several would wait for them forever.
    """

    def __init__(
        self,
        content: bytes,
        *,
        read_again: Callable[[], bytes],
        threads: int | None = None,
        providers: Sequence[Provider] = (CPU_PROVIDER,),
    ) -> None:
        """Open a session.

        Args:
            content: bytes of an ONNX file.
            read_again: returns the same bytes, for a forked process; they are not kept in memory here.
            threads: threads per call; None: one per core that the process may use.
            providers: what runs the graph, in order of preference.

        Raises:
            ModelError: a provider that was asked for cannot be started.
            Exception: onnxruntime cannot load the file; its exceptions have no common base class of their own.
        """
        self._read_again, self._threads, self._providers = read_again, threads, tuple(providers)
        self._session: Any = self._open(content)
        self._pid = os.getpid()
        _SESSIONS.add(self)

    def _open(self, content: bytes) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # failures are raised with a one-line message
        # Otherwise onnxruntime would also accept its own format, which is not inspected before.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # By default its threads occupy their cores for a while after a call, in which images are decoded and prepared.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        elif cpu_quota() is not None:
            # onnxruntime knows the cores of the process, but not the quota of its container.
            options.intra_op_num_threads = usable_cpu_cores()
        session = onnxruntime.InferenceSession(content, options, providers=list(self._providers))
        first = self._providers[0] if isinstance(self._providers[0], str) else self._providers[0][0]
        if first not in session.get_providers():
            raise ModelError(
                f"onnxruntime cannot start {first!r}, and would run on {session.get_providers()[0]} instead. Check that the "
                "device and its libraries are installed, or leave out `device` and `providers`"
            )
        return session

    def run(self, names: Sequence[str] | None, values: Mapping[str, Any]) -> list[Any]:
        """Run the graph, see `onnxruntime.InferenceSession.run`."""
        if self._pid != os.getpid():
            self._open_in_child()
        outputs: list[Any] = self._session.run(names, values)
        return outputs

    def _open_in_child(self) -> None:
        # Threads of the child may open it twice, which costs time only.
        self._session = self._open(self._read_again())
        self._pid = os.getpid()

    def get_inputs(self) -> list[Any]:
        """Return the graph's inputs."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> list[Any]:
        """Return the graph's outputs."""
        return list(self._session.get_outputs())


_SESSIONS: "weakref.WeakSet[OnnxSession]" = weakref.WeakSet()
# The parent's sessions, in a forked process: their destructor would wait for threads that it does not have.
_OF_PARENT: list[Any] = []


def _keep_sessions_of_parent() -> None:
    _OF_PARENT.extend(opened._session for opened in _SESSIONS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_sessions_of_parent)
