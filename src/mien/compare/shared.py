"""The faces that count in all reports under a class protocol, and what each model answered there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.compare.reports import Report
from mien.errors import ArtifactError
from mien.metrics.protocols import ClassProtocol, class_protocols


@dataclass(frozen=True, slots=True)
class SharedFaces:
    """The faces that count for every model.

    Attributes:
        protocol: the class protocol's name.
        description: what it is.
        truths: of each report, ``(n,)`` true classes as places among its model's.
        answers: of each report, ``(n,)`` predicted classes likewise.
    """

    protocol: str
    description: str
    truths: tuple[NDArray[np.int64], ...]
    answers: tuple[NDArray[np.int64], ...]

    @property
    def n(self) -> int:
        """How many faces count."""
        return len(self.truths[0])


def count_shared_faces(reports: Sequence[Report], protocol: str) -> SharedFaces:
    """Return the faces that count in all of some aligned reports.

    Raises:
        ArtifactError: a report has no such protocol, or no face counts in all of them.
    """
    found = [_find_protocol(report, protocol) for report in reports]
    shared = np.logical_and.reduce([each.faces for each in found])
    if not shared.any():
        raise ArtifactError(
            "No face counts in all the reports: their models share no class. Compare other reports"
        )
    return SharedFaces(
        protocol=protocol,
        description=found[0].description,
        truths=tuple(each.truth[shared[each.faces]] for each in found),
        answers=tuple(each.predicted[shared[each.faces]] for each in found),
    )


def note_classes(reports: Sequence[Report]) -> tuple[str, ...]:
    """Return a warning where the models know different classes."""
    if len({frozenset(report.classes) for report in reports}) == 1:
        return ()
    note = (
        "The models know different classes, so that one may be wrong where another may not even answer so. "
        "A closed protocol, such as --protocol 8_closed, puts them on equal terms"
    )
    return (note,)


def _find_protocol(report: Report, name: str) -> ClassProtocol:
    places = {label: index for index, label in enumerate(report.label_classes)}
    protocols = class_protocols(
        report.probabilities,
        np.array([places[label] for label in report.truth], dtype=np.int64),
        classes=report.classes,
        label_classes=report.label_classes,
    )
    for protocol in protocols:
        if protocol.name == name:
            return protocol
    raise ArtifactError(
        f"Report {report.path} has no protocol {name!r}, its classes allow: "
        f"{', '.join(protocol.name for protocol in protocols)}"
    )
