"""What an audit found, face by face, worst first, as a table and as tasks for Label Studio."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from mien.audit.contradictions import Details
from mien.faces.images import image_uri
from mien.formats.pack.selection import FaceSelection
from mien.metrics.label_quality import LabelQuality
from mien.runtime.csv_text import CsvLines

DROP = "drop"
# What each reason means, for people.
REASONS = {
    "prediction": "predicted as another class, by confident learning",
    "affect": "valence or arousal contradicts the label",
    "near_duplicate": "a near-duplicate has another label",
    "face_in_nonface": "labeled NonFace, but a face is plainly visible",
    "landmarks": "the landmarks do not fit the face",
}


class Finding(NamedTuple):
    """A face whose label is in doubt.

    Attributes:
        face: its index among the audited faces.
        key: path of the image as its source writes it.
        split: its split.
        row: its row in the source's list of that split, from 1.
        labeled: its label; empty without one.
        suggested: the most probable other class; empty without a prediction.
        reasons: keys of `REASONS`, at least one.
        details: a phrase for each reason.
        wrongness: see `LabelQuality`; None without a prediction.
        p_labeled: predicted probability of the label; None without a prediction.
        p_suggested: that of the suggestion.
    """

    face: int
    key: str
    split: str
    row: int
    labeled: str
    suggested: str
    reasons: tuple[str, ...]
    details: tuple[str, ...]
    wrongness: float | None
    p_labeled: float | None
    p_suggested: float | None


class Judgment(NamedTuple):
    """The labels that predictions can judge.

    Attributes:
        classes: C classes that the pack and the predictions have in common.
        faces: ``(M,)`` int64 indices of the judged faces.
        labels: ``(M,)`` int64 their labels among `classes`.
        probabilities: ``(M, C)``.
        quality: what the labels look like.
    """

    classes: tuple[str, ...]
    faces: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    quality: LabelQuality


def collect_findings(
    faces: FaceSelection, names: Sequence[str | None], judgment: Judgment, contradictions: dict[str, Details]
) -> list[Finding]:
    """Return the faces with a reason for doubt: those with several reasons first, then by wrongness.

    Args:
        faces: all audited faces.
        names: the label of each, None without one.
        judgment: the labels judged by predictions.
        contradictions: details by reason.
    """
    place = {int(face): number for number, face in enumerate(judgment.faces)}
    quality, probabilities = judgment.quality, judgment.probabilities
    doubted: dict[int, dict[str, str]] = {}
    for number in np.flatnonzero(quality.is_suspect).tolist():
        top = judgment.classes[quality.suggested[number]]
        detail = f"looks like {top} ({probabilities[number, quality.suggested[number]]:.2f})"
        doubted.setdefault(int(judgment.faces[number]), {})["prediction"] = detail
    for reason, details in contradictions.items():
        for face, detail in details.items():
            doubted.setdefault(face, {})[reason] = detail
    findings = []
    for face, why in doubted.items():
        split = faces.splits[int(faces.pack_numbers[face])]
        row = int(split.row_numbers[faces.rows[face]])
        reasons, details_of = tuple(why), tuple(why.values())
        found = Finding(
            face,
            faces.key(face),
            split.name,
            row,
            names[face] or "",
            "",
            reasons,
            details_of,
            None,
            None,
            None,
        )
        if face in place:
            number = place[face]
            label, other = judgment.labels[number], quality.suggested[number]
            found = found._replace(
                suggested=judgment.classes[other],
                wrongness=float(quality.wrongness[number]),
                p_labeled=float(probabilities[number, label]),
                p_suggested=float(probabilities[number, other]),
            )
        findings.append(found)
    # Half is the wrongness of a label that is as probable as the best other one.
    return sorted(
        findings,
        key=lambda one: (-len(one.reasons), -(0.5 if one.wrongness is None else one.wrongness), one.face),
    )


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write findings.csv, worst first.

    The label's column is not called ``label``, so that `mien prepare --corrections` does not take the file for corrections.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(CsvLines(file))
        columns = ("rank", "key", "split", "row", "labeled", "suggested", "reasons", "wrongness", "p_labeled")
        writer.writerow([*columns, "p_suggested", "details"])
        for rank, one in enumerate(findings, start=1):
            numbers = (
                "" if value is None else f"{value:.6g}"
                for value in (one.wrongness, one.p_labeled, one.p_suggested)
            )
            named = [rank, one.key, one.split, one.row, one.labeled, one.suggested, ";".join(one.reasons)]
            writer.writerow([*named, *numbers, "; ".join(one.details)])


def write_label_studio(
    folder: Path, findings: Sequence[Finding], faces: FaceSelection, classes: Sequence[str]
) -> None:
    """Write label_studio.json, a task with a suggested choice for each finding, and the labeling interface for it.

    The names of data and of the choice are the columns of a file for `mien prepare --corrections`, which Label Studio's CSV
    export then has.

    References:
        [0] https://labelstud.io/guide/predictions
    """
    tasks: list[dict[str, Any]] = []
    for one in findings:
        data = {
            "image": jpeg_uri(faces, one.face),
            "key": one.key,
            "split": one.split,
            "row": one.row,
            "labeled": one.labeled,
            "why": "; ".join(one.details),
        }
        result = {
            "id": f"face-{len(tasks)}",
            "type": "choices",
            "from_name": "label",
            "to_name": "image",
            "value": {"choices": [one.suggested]},
        }
        prediction = {
            "model_version": "mien audit",
            "score": round(one.p_suggested or 0.0, 6),
            "result": [result] if one.suggested else [],
        }
        tasks.append({"data": data, "predictions": [prediction]})
    text = json.dumps(tasks, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "label_studio.json").write_text(f"{text}\n", encoding="utf-8")
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in (*classes, DROP))
    interface = (
        '<View>\n  <Image name="image" value="$image"/>\n  <Text name="labeled" value="$labeled"/>\n'
        '  <Text name="reasons" value="$why"/>\n'
        f'  <Choices name="label" toName="image" choice="single" required="true">\n{choices}\n  </Choices>\n</View>\n'
    )
    (folder / "label_studio.xml").write_text(interface, encoding="utf-8")


def jpeg_uri(faces: FaceSelection, face: int) -> str:
    """Return a face as its pack stores it, as a data URI."""
    split = faces.splits[int(faces.pack_numbers[face])]
    return image_uri(split.jpeg(int(faces.rows[face])))
