"""What this machine offers: processor, memory, devices, image codec, detector, disk."""

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

# Below these, work that is not small stops half-way.
LOW_DISK_BYTES = 2 * 1024**3
LOW_SHARED_MEMORY_BYTES = 512 * 1024**2


def examine_machine() -> Iterator[Finding]:
    """Yield processor, memory and disk."""
    yield Finding("machine", "cpu", f"{_cpu_name()}, {usable_cpu_cores()} of {os.cpu_count()} cores usable")
    yield Finding("machine", "memory", _memory())
    yield _shared_memory()
    yield _disk(Path.cwd())


def examine_devices() -> Iterator[Finding]:
    """Yield what runs a model file, and what trains. Importing torch takes seconds, so it comes last."""
    try:
        import onnxruntime  # noqa: PLC0415 - a broken install must not stop the doctor

        yield Finding("devices", "onnxruntime", ", ".join(onnxruntime.get_available_providers()))
    except (ImportError, OSError) as error:
        yield Finding(
            "devices", "onnxruntime", f"cannot be imported: {error}", "broken", "See packages above"
        )
    if installed_version("torch") is None:
        yield Finding("devices", "torch", "not installed: training is not possible, everything else is")
        return
    try:
        yield Finding("devices", "torch", _torch_devices())
    except (ImportError, OSError, RuntimeError) as error:
        remedy = "For training: pip install --force-reinstall 'mien[train]'"
        yield Finding("devices", "torch", f"cannot be imported: {error}", "note", remedy)


def examine_images() -> Iterator[Finding]:
    """Yield whether images can be read and faces found."""
    yield _jpeg()
    yield from _detector()


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    # A container may be allowed less than the machine has.
    limit = _read_number(Path("/sys/fs/cgroup/memory.max"))
    allowed = f", of which this container may use {_gib(limit)}" if limit and limit < total else ""
    return f"{_gib(total)}{allowed}"


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")  # noqa: S108 - looked at, not written to
    if not folder.is_dir():
        return Finding("machine", "shared memory", "not used on this system")
    total = shutil.disk_usage(folder).total
    if total < LOW_SHARED_MEMORY_BYTES:
        remedy = "For training with data workers in a container: start it with --shm-size=2g or --ipc=host"
        return Finding("machine", "shared memory", _gib(total), "note", remedy)
    return Finding("machine", "shared memory", _gib(total))


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"mien")
            file.flush()
    except OSError as error:
        remedy = "Work in a folder that you may write to, or give outputs a path in one"
        return Finding("machine", "disk", f"{folder} cannot be written: {error.strerror}", "note", remedy)
    value = f"{_gib(free)} free in {folder}, which can be written"
    if free < LOW_DISK_BYTES:
        return Finding(
            "machine", "disk", value, "note", "Free some space: a pack of 100,000 faces takes about 2 GiB"
        )
    return Finding("machine", "disk", value)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 1024**3:.1f} GiB"


def _torch_devices() -> str:
    import torch  # noqa: PLC0415 - takes seconds, and may be absent

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("Apple GPU (mps)")
    return f"{torch.__version__}, trains on " + (", ".join(names) if names else "the CPU: no GPU is usable")


def _jpeg() -> Finding:
    try:
        import numpy as np  # noqa: PLC0415

        from mien.faces.images import decode_jpeg_rgb, encode_jpeg  # noqa: PLC0415

        grey = np.full((32, 32, 3), 128, np.uint8)
        if abs(int(decode_jpeg_rgb(encode_jpeg(grey)).mean()) - 128) > 2:
            raise ValueError("a grey image comes back in another shade")  # noqa: TRY301
    except (ImportError, OSError, ValueError) as error:
        remedy = "Install it again: pip install --force-reinstall simplejpeg"
        return Finding("images", "jpeg", f"does not work: {error}", "broken", remedy)
    return Finding("images", "jpeg", f"simplejpeg {installed_version('simplejpeg')}, written and read back")


def _detector() -> Iterator[Finding]:
    try:
        from mien.faces import detector_file  # noqa: PLC0415
        from mien.faces.detector import YuNetDetector  # noqa: PLC0415
    except (ImportError, OSError) as error:
        yield Finding("images", "detector", f"cannot be imported: {error}", "broken", "See packages above")
        return
    named, cached = detector_file.named_detector_file(), detector_file.cached_detector_file()
    path = named or cached
    if named is None and not detector_file.is_official_yunet(cached):
        found = "is not the official file and will be fetched again" if cached.exists() else "is not there"
        value = f"{cached} {found}: fetched at first use, or else OpenCV's weaker cascade serves"
        yield Finding(
            "images", "detector", value, "note", f"To find faces offline: {detector_file.how_to_get_yunet()}"
        )
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
