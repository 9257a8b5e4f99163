"""Checks of the machine: processor, memory, disk, JPEG codec, face detector, devices."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mien.doctor.finding import Finding
from mien.doctor.packages import installed_version
from mien.errors import MienError
from mien.runtime.cpu import usable_cpu_cores
from mien.runtime.memory import usable_memory_bytes

# With less than this, anything but small jobs stops halfway.
LOW_DISK_BYTES = 2 * 1024**3
LOW_SHARED_MEMORY_BYTES = 512 * 1024**2


def examine_processor() -> Iterator[Finding]:
    """Yield the processor and its cores."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # not Linux
    yield Finding("machine", "cpu", f"{name}, {usable_cpu_cores()} of {os.cpu_count()} cores usable")


def examine_memory() -> Iterator[Finding]:
    """Yield memory and shared memory."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        yield Finding("machine", "memory", "unknown")
    else:
        limit = usable_memory_bytes() or 0
        allowed = f", of which this container may use {_gib(limit)}" if 0 < limit < total else ""
        yield Finding("machine", "memory", f"{_gib(total)}{allowed}")

    folder = Path("/dev/shm")  # noqa: S108 - its size is read, nothing is written
    if not folder.is_dir():
        yield Finding("machine", "shared memory", "not used on this system")
        return
    total = shutil.disk_usage(folder).total
    if total < LOW_SHARED_MEMORY_BYTES:
        remedy = "For training with data workers in a container: start it with --shm-size=2g or --ipc=host"
        yield Finding("machine", "shared memory", _gib(total), "note", remedy)
    else:
        yield Finding("machine", "shared memory", _gib(total))


def examine_disk() -> Iterator[Finding]:
    """Yield whether the current folder is writable, and the free space in it."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"mien")
            file.flush()
    except OSError as error:
        remedy = "Work in a writable folder, or give outputs a path in one"
        yield Finding("machine", "disk", f"{folder} is not writable: {error.strerror}", "note", remedy)
        return
    value = f"{_gib(free)} free in {folder}, which is writable"
    if free < LOW_DISK_BYTES:
        remedy = "Free some space: a pack of 100,000 faces takes about 2 GiB"
        yield Finding("machine", "disk", value, "note", remedy)
    else:
        yield Finding("machine", "disk", value)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 1024**3:.1f} GiB"


def examine_jpeg() -> Iterator[Finding]:
    """Yield whether JPEG images can be encoded and decoded."""
    try:
        import numpy as np  # noqa: PLC0415 - a broken install must not stop the doctor

        from mien.faces.images import decode_jpeg_rgb, encode_jpeg  # noqa: PLC0415

        gray = np.full((32, 32, 3), 128, np.uint8)
        if abs(int(decode_jpeg_rgb(encode_jpeg(gray)).mean()) - 128) > 2:
            raise ValueError("a gray image is decoded in another shade")  # noqa: TRY301
    except (ImportError, OSError, ValueError) as error:
        remedy = "Install it again: pip install --force-reinstall simplejpeg"
        yield Finding("images", "jpeg", f"does not work: {error}", "broken", remedy)
    else:
        yield Finding("images", "jpeg", f"simplejpeg {installed_version('simplejpeg')}, encodes and decodes")


def examine_detector() -> Iterator[Finding]:
    """Yield whether faces can be detected, and with which file."""
    try:
        from mien.faces import detector_file  # noqa: PLC0415 - a broken install must not stop the doctor
        from mien.faces.detector import YuNetDetector  # noqa: PLC0415
    except (ImportError, OSError) as error:
        yield Finding("images", "detector", f"cannot be imported: {error}", "broken", "See packages above")
        return
    named, cached = detector_file.named_detector_file(), detector_file.cached_detector_file()
    path = named or cached
    if named is None and not detector_file.is_official_yunet(cached):
        found = (
            "is not the official file and will be downloaded again" if cached.exists() else "does not exist"
        )
        value = f"{cached} {found}: downloaded on first use, with OpenCV's weaker cascade as the fallback"
        remedy = f"To detect faces offline: {detector_file.how_to_get_yunet()}"
        yield Finding("images", "detector", value, "note", remedy)
        return
    try:
        YuNetDetector(path)
    except MienError as error:
        yield Finding("images", "detector", str(error), "broken", detector_file.how_to_get_yunet())
        return
    kind = (
        "the official file"
        if detector_file.is_official_yunet(path)
        else "not the official file, but it works"
    )
    yield Finding("images", "detector", f"YuNet, {path} ({kind})")


def examine_devices() -> Iterator[Finding]:
    """Yield the devices for inference and for training. Importing torch takes seconds, so this comes last."""
    try:
        import onnxruntime  # noqa: PLC0415 - a broken install must not stop the doctor

        yield Finding("devices", "onnxruntime", ", ".join(onnxruntime.get_available_providers()))
    except (ImportError, OSError) as error:
        yield Finding(
            "devices", "onnxruntime", f"cannot be imported: {error}", "broken", "See packages above"
        )
    if installed_version("torch") is None:
        yield Finding("devices", "torch", "not installed: only training and export need it")
        return
    try:
        import torch  # noqa: PLC0415 - takes seconds, and may be absent

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            names.append("Apple GPU (mps)")
        devices = ", ".join(names) if names else "the CPU: no usable GPU"
        yield Finding("devices", "torch", f"{torch.__version__}, trains on {devices}")
    except (ImportError, OSError, RuntimeError) as error:
        remedy = "For training: pip install --force-reinstall 'mien[train]'"
        yield Finding("devices", "torch", f"cannot be imported: {error}", "note", remedy)
