"""The doctor's report: each line as soon as it is known, and at the end what to do."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TextIO

from mien.doctor.finding import Finding
from mien.doctor.machine import examine_devices, examine_images, examine_machine
from mien.doctor.packages import examine_extras, examine_install, examine_packages, read_requirements

_MARKS = {"ok": "ok", "note": "--", "broken": "!!"}
_NAME_COLUMNS = 24


def run_doctor(stream: TextIO, *, markdown: bool = False) -> int:
    """Look at the installation and the machine, and write what was found as it is found.

    Args:
        stream: takes the report.
        markdown: write tables, for pasting into an issue.

    Returns:
        The exit code: 0, or 1 where something that the plain install needs is broken.
    """
    return write_report(_examine(), stream, markdown=markdown)


def write_report(findings: Iterable[Finding], stream: TextIO, *, markdown: bool) -> int:
    """Write findings as they come, then the remedies. Returns the exit code, see `run_doctor`."""
    seen: list[Finding] = []
    for finding in findings:
        if not seen or seen[-1].section != finding.section:
            stream.write(_heading(finding.section, first=not seen, markdown=markdown))
        stream.write(_line(finding, markdown=markdown))
        stream.flush()
        seen.append(finding)
    stream.write("\n" + _closing(seen, markdown=markdown))
    return 1 if any(finding.state == "broken" for finding in seen) else 0


def _examine() -> Iterator[Finding]:
    requirements, extras = read_requirements()
    if not requirements:
        yield Finding(
            "install", "metadata", "mien runs from its sources, not installed: packages are not checked", "note",
            "For a check of the packages: pip install mien",
        )  # fmt: skip
    yield from chain(
        examine_install(),
        examine_packages(requirements),
        examine_extras(requirements, extras),
        examine_machine(),
        examine_images(),
        examine_devices(),
    )


def _heading(section: str, *, first: bool, markdown: bool) -> str:
    blank = "" if first else "\n"
    if markdown:
        return f"{blank}### {section}\n\n| | what | found |\n|---|---|---|\n"
    return f"{blank}{section}\n"


def _line(finding: Finding, *, markdown: bool) -> str:
    value = " ".join(finding.value.split())
    if markdown:
        value = value.replace("|", "\\|")
        return f"| {_MARKS[finding.state]} | {finding.name} | {value} |\n"
    return f"  {_MARKS[finding.state]}  {finding.name:<{_NAME_COLUMNS}}  {value}\n"


def _closing(findings: list[Finding], *, markdown: bool) -> str:
    n_broken = sum(finding.state == "broken" for finding in findings)
    if n_broken:
        verdict = f"{n_broken} of {len(findings)} findings stop the plain install from working."
    else:
        verdict = "The plain install works."
    remedies = dict.fromkeys(
        finding.remedy for finding in findings if finding.state == "broken" and finding.remedy
    )
    remedies |= dict.fromkeys(
        finding.remedy for finding in findings if finding.state == "note" and finding.remedy
    )
    if remedies:
        verdict += " To do:" if n_broken else " Optional:"
    lines = [verdict, *([""] if markdown and remedies else []), *(f"- {remedy}" for remedy in remedies)]
    return "\n".join(lines) + "\n"
