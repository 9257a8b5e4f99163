"""Which packages and extras are installed, compared with mien's own metadata."""

import importlib
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mien
from mien.doctor.finding import Finding


def examine_install() -> Iterator[Finding]:
    """Yield Python, mien itself and the operating system."""
    yield Finding("install", "python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("install", "mien", f"{mien.__version__} ({Path(mien.__file__).parent})")
    yield Finding("install", "system", platform.platform())


def examine_packages(requirements: Sequence[Requirement]) -> Iterator[Finding]:
    """Yield every package of the plain install: its version, and whether it can be imported."""
    # opencv-python-headless is imported as cv2, fonttools as fontTools.
    modules: dict[str, list[str]] = {}
    for module, packages in metadata.packages_distributions().items():
        for package in packages:
            modules.setdefault(canonicalize_name(package), []).append(module)
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, wanted = requirement.name, f"{requirement.name}{requirement.specifier}"
        version = installed_version(name)
        if version is None:
            found, action = "not installed", "Install it: pip install"
        elif not requirement.specifier.contains(version, prereleases=True):
            found, action = f"{version}, but mien needs {requirement.specifier}", "Install it: pip install"
        else:
            try:
                for module in modules.get(canonicalize_name(name), [name.replace("-", "_")]):
                    importlib.import_module(module)
            except (ImportError, OSError) as error:
                found = f"{version}, but it cannot be imported: {error}"
                action = "Install it again: pip install --force-reinstall"
            else:
                yield Finding("packages", name, version)
                continue
        yield Finding("packages", name, found, "broken", f"{action} '{wanted}'")


def examine_extras(requirements: Sequence[Requirement], extras: Sequence[str]) -> Iterator[Finding]:
    """Yield every extra: the versions of its packages according to their metadata, or which are missing."""
    for extra in extras:
        installed: list[str] = []
        missing: list[str] = []
        # An extra may include others, as `all` does.
        included = [extra]
        for name in included:
            for requirement in requirements:
                marker = requirement.marker
                if marker is None or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": name}):
                    continue
                version = installed_version(requirement.name)
                if requirement.name == "mien":
                    included += sorted(requirement.extras.difference(included))
                elif version is None:
                    missing.append(requirement.name)
                elif not requirement.specifier.contains(version, prereleases=True):
                    missing.append(f"{requirement.name}{requirement.specifier} (not {version})")
                else:
                    installed.append(f"{requirement.name} {version}")
        if missing:
            remedy = f"For the `{extra}` extra: pip install 'mien[{extra}]'"
            yield Finding("extras", extra, f"missing {', '.join(missing)}", "note", remedy)
        else:
            yield Finding("extras", extra, ", ".join(installed))


def read_requirements() -> tuple[list[Requirement], list[str]]:
    """Return mien's requirements and the names of its extras; both empty if it runs without being installed."""
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
