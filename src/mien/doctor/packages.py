"""Which packages and extras are installed, by what mien's own metadata asks for."""

import importlib
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import mien
from mien.doctor.finding import Finding

# Where a package is imported by another name than it is installed by.
_IMPORT_NAMES = {"opencv-python-headless": "cv2", "pillow": "PIL"}


def examine_install() -> Iterator[Finding]:
    """Yield Python and mien itself."""
    yield Finding("install", "python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("install", "mien", f"{mien.__version__} ({Path(mien.__file__).parent})")
    yield Finding("install", "system", platform.platform())


def examine_packages(requirements: Sequence[Requirement]) -> Iterator[Finding]:
    """Yield every package of the plain install: its version, and whether it can be imported."""
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _examine_package(requirement)


def examine_extras(requirements: Sequence[Requirement], extras: Sequence[str]) -> Iterator[Finding]:
    """Yield every extra: the versions of its packages by their metadata, or what it lacks."""
    for extra in extras:
        parts: list[str] = []
        lacking: list[str] = []
        for requirement in requirements:
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": extra}):
                continue
            version = installed_version(requirement.name)
            if version is None:
                lacking.append(requirement.name)
            elif not requirement.specifier.contains(version, prereleases=True):
                lacking.append(f"{requirement.name}{requirement.specifier} (not {version})")
            else:
                parts.append(f"{requirement.name} {version}")
        if lacking:
            remedy = f"For the `{extra}` extra: pip install 'mien[{extra}]'"
            yield Finding("extras", extra, f"lacks {', '.join(lacking)}", "note", remedy)
        else:
            yield Finding("extras", extra, ", ".join(parts))


def read_requirements() -> tuple[list[Requirement], list[str]]:
    """Return what mien asks for and the names of its extras; both empty where it runs without being installed."""
    try:
        distribution = metadata.distribution("mien")
    except metadata.PackageNotFoundError:
        return [], []
    requirements = [Requirement(line) for line in distribution.requires or ()]
    return requirements, distribution.metadata.get_all("Provides-Extra") or []


def installed_version(name: str) -> str | None:
    """Return the version of an installed package, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _examine_package(requirement: Requirement) -> Finding:
    name, wanted = requirement.name, f"{requirement.name}{requirement.specifier}"
    remedy = f"Install it: pip install '{wanted}'"
    version = installed_version(name)
    if version is None:
        return Finding("packages", name, "not installed", "broken", remedy)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(
            "packages", name, f"{version}, but mien needs {requirement.specifier}", "broken", remedy
        )
    try:
        importlib.import_module(_IMPORT_NAMES.get(name.lower(), name.replace("-", "_")))
    except (ImportError, OSError) as error:
        again = f"Install it again: pip install --force-reinstall '{wanted}'"
        return Finding("packages", name, f"{version}, but it cannot be imported: {error}", "broken", again)
    return Finding("packages", name, version)
