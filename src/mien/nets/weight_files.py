"""Reading the tensors of a weights file of any library: safetensors, or torch's format without running code from it."""

import argparse
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mien.errors import ModelError

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
# Entries of a training checkpoint that hold weights, in order of preference: as in timm, the moving average first.
_WRAPPINGS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "backbone",
    "encoder",
)
# Harmless types in the checkpoints of common training scripts, besides those that torch accepts itself: the command
# line's values (timm), and numbers that numpy computed.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name.

    Args:
        path: safetensors, or a state dict or training checkpoint saved by torch.

    Raises:
        ModelError: it cannot be read, holds more than data, or holds no tensors.
    """
    if path.suffix.lower() in TORCH_SUFFIXES:
        return _unwrap(_load_torch(path), path)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"`model.weights` {path} cannot be read as safetensors: {error}. It may be a run, a model file (.onnx), "
            f"safetensors, or a file of torch's ({', '.join(TORCH_SUFFIXES)})"
        ) from None
    return tensors


def _load_torch(path: Path) -> Any:
    """Read a file of torch's without running code from it.

    Raises:
        ModelError: it cannot be read, or holds more than data.
    """
    again = f"{path.stem}-weights.pth"
    with path.open("rb") as file:
        start = file.read(40)
    if start and not start.startswith((b"PK", b"\x80")) and not tarfile.is_tarfile(path):
        # Neither of torch's archives nor a pickle: most often a page of HTML, or the pointer that Git LFS leaves.
        raise ModelError(
            f"`model.weights` {path} is no file of torch's: it begins with {start!r}. Copy or download it again"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            is_script = any(name.endswith("/constants.pkl") for name in archive.namelist())
        if is_script:
            raise ModelError(
                f"`model.weights` {path} is a TorchScript program, which holds code. Save its weights alone: "
                f"python -c \"import torch; torch.save(torch.jit.load('{path}').state_dict(), '{again}')\""
            )
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ModelError(
            f"`model.weights` {path} cannot be read as a file of torch's: {reason}. Copy or download it again"
        ) from None
    except Exception as error:
        # Not only UnpicklingError: a pickle can fail in any way.
        text = str(error)
        holds = text.partition("GLOBAL ")[2].split(" ")[0] or text.partition("class ")[2].split(" ")[0]
        raise ModelError(
            f"`model.weights` {path} is a pickle of more than weights{f' ({holds[:80]})' if holds else ''}, and loading it "
            "would run its code. Where it loads, and if you trust it, save its weights alone: "
            f"python -c \"import torch; x = torch.load('{path}', map_location='cpu', weights_only=False); "
            f"torch.save(x.state_dict() if hasattr(x, 'state_dict') else x.get('state_dict', x.get('model')), '{again}')\""
        ) from error


def _unwrap(value: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict inside a checkpoint."""
    while isinstance(value, Mapping):
        tensors = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}
        inner = [value[name] for name in _WRAPPINGS if isinstance(value.get(name), Mapping) and value[name]]
        # Some checkpoints have a few tensors beside the weights, such as the state of a random generator.
        if inner and not any("." in name for name in tensors):
            value = inner[0]
            continue
        if tensors:
            return tensors
        break
    entries = f" It has the entries {', '.join(map(str, value))[:200]}" if isinstance(value, Mapping) else ""
    raise ModelError(f"`model.weights` {path} holds no weights by name.{entries}")
