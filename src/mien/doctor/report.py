"""The doctor's report: each finding as soon as it is known, and at the end what to do."""

from collections.abc import Iterable
from itertools import chain
from typing import TextIO

from mien.doctor import machine
from mien.doctor.finding import Finding
from mien.doctor.packages import examine_extras, examine_install, examine_packages, read_requirements

_MARKS = {"ok": "ok", "note": "--", "broken": "!!"}
_NAME_COLUMNS = 24


def run_doctor(stream: TextIO, *, markdown: bool = False) -> int:
    """Check the installation and the machine, and write each finding as soon as it is known.

    Args:
        stream: where the report is written.
        markdown: write tables, for pasting into an issue.

    Returns:
        The exit code: 0, or 1 if something that the plain install needs is broken.
    """
    requirements, extras = read_requirements()
    uninstalled = Finding(
        "install", "metadata", "mien runs from its source tree, not installed: packages are not checked", "note",
        "To have the packages checked: pip install mien",
    )  # fmt: skip
    findings = chain(
        () if requirements else (uninstalled,),
        examine_install(),
        examine_packages(requirements),
        examine_extras(requirements, extras),
        machine.examine_processor(),
        machine.examine_memory(),
        machine.examine_disk(),
        machine.examine_jpeg(),
        machine.examine_detector(),
        machine.examine_devices(),
    )
    return write_report(findings, stream, markdown=markdown)


def write_report(findings: Iterable[Finding], stream: TextIO, *, markdown: bool) -> int:
    """Write findings as they arrive, then the remedies. Return the exit code, see `run_doctor`."""
    seen: list[Finding] = []
    for finding in findings:
        if not seen or seen[-1].section != finding.section:
            heading = (
                f"### {finding.section}\n\n| | what | found |\n|---|---|---|" if markdown else finding.section
            )
            stream.write(f"{heading}\n" if not seen else f"\n{heading}\n")
        value = " ".join(finding.value.split())
        if markdown:
            escaped = value.replace("|", "\\|")
            stream.write(f"| {_MARKS[finding.state]} | {finding.name} | {escaped} |\n")
        else:
            stream.write(f"  {_MARKS[finding.state]}  {finding.name:<{_NAME_COLUMNS}}  {value}\n")
        stream.flush()
        seen.append(finding)

    n_broken = sum(finding.state == "broken" for finding in seen)
    if n_broken:
        verdict = f"{n_broken} of {len(seen)} findings keep the plain install from working."
    else:
        verdict = "The plain install works."
    # Each remedy once, those for what is broken first.
    remedies = dict.fromkeys(
        finding.remedy
        for state in ("broken", "note")
        for finding in seen
        if finding.state == state and finding.remedy
    )
    if remedies:
        verdict += " To do:" if n_broken else " Optional:"
    lines = [verdict, *([""] if markdown and remedies else []), *(f"- {remedy}" for remedy in remedies)]
    stream.write("\n" + "\n".join(lines) + "\n")
    return 1 if n_broken else 0
