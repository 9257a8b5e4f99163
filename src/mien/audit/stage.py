"""The stage `audit`: from a pack and predictions for its faces to findings, and a page on which to review them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien.artifacts import new_folder, write_json
from mien.audit.contradictions import (
    Details,
    find_affect_contradictions,
    find_duplicate_disagreements,
    find_faces_in_nonface,
    find_landmark_misfits,
    label_names,
)
from mien.audit.findings import (
    REASONS,
    Finding,
    Judgment,
    collect_findings,
    write_findings,
    write_label_studio,
)
from mien.audit.options import AuditedSplit, AuditOptions
from mien.audit.predictions import (
    HeldOutPredictions,
    predict_by_model,
    read_fold_predictions,
    read_run_predictions,
)
from mien.errors import ArtifactError
from mien.faces.detector import CascadeDetector, load_detector
from mien.formats.pack import Pack
from mien.formats.pack.selection import FaceSelection
from mien.metrics.label_quality import judge_labels
from mien.runtime.addresses import local_path
from mien.runtime.language import Language, LanguageCode
from mien.runtime.text_table import format_table

AUDIT_VERSION = 1
MARK = "audit.json"
REVIEW = "review.html"
# Beyond this fraction, a model that does not suit the faces is the likelier explanation.
MANY_SUSPECTS = 0.25
# Pairs of classes in the summary.
_SHOWN_PAIRS = 8


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What an audit found; its text is what the command prints.

    Attributes:
        out: the folder.
        record: the content of audit.json.
        findings: the doubtful faces, worst first.
    """

    out: Path
    record: dict[str, Any]
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        record = self.record
        reasons = [("reason", "faces"), *((REASONS[name], f"{n:,}") for name, n in record["reasons"].items())]
        pairs = [("labeled", "looks like", "faces")]
        pairs += [
            (pair["labeled"], pair["suggested"], f"{pair['n']:,}") for pair in record["pairs"][:_SHOWN_PAIRS]
        ]
        lines = [
            (
                f"{record['n_faces']:,} faces of pack {record['pack']['folder']}, split {', '.join(record['splits'])}; "
                f"{record['n_judged']:,} labels judged by {record['predictions']['source']}, which agrees with "
                f"{100 * record['agreement']:.1f}% of them"
            ),
            (
                f"{record['n_suspect']:,} {'label is' if record['n_suspect'] == 1 else 'labels are'} suspect. Confident learning counts {100 * record['estimated_noise']:.1f}% of the "
                "judged labels as wrong; mistakes of the model are among them"
            ),
            *(["", *format_table(reasons)] if len(reasons) > 1 else []),
            *(["", *format_table(pairs)] if len(pairs) > 1 else []),
            "",
            f"findings: {self.out / 'findings.csv'} ({len(self.findings):,} faces, worst first)",
            (
                f"review: open {self.out / REVIEW} ({record['n_shown']:,} faces, worst first), export corrections.csv there, then run the "
                "`mien prepare` of this pack with --corrections corrections.csv --force"
                if record["n_shown"]
                else "review: nothing to review"
            ),
            *(f"Warning: {warning}" for warning in record["warnings"]),
        ]
        return "\n".join(lines)


def audit(  # noqa: PLR0913 - one keyword per option, as on the command line
    pack: str | Path,
    *,
    out: str | Path,
    folds: str | Path | None = None,
    dev_run: str | Path | None = None,
    model: str | None = None,
    split: AuditedSplit = "all",
    shown: int = AuditOptions.shown,
    detector: Path | None = None,
    language: LanguageCode = AuditOptions.language,
    force: bool = False,
) -> AuditSummary:
    """Find labels that are probably wrong, and write findings.csv, review.html, Label Studio's tasks and audit.json.

    Args:
        pack: folder written by `prepare`.
        out: the folder to write, atomically.
        folds: a cross-validation on the pack.
        dev_run: a run on the pack; its dev split is audited.
        model: name or file of a model that was not trained on the pack; None: the default, without `folds` and `dev_run`.
        split: which split, or ``all``. The predictions of `folds` and `dev_run` are for ``train``.
        shown: number of faces on the page.
        detector: YuNet's file, for faces labeled NonFace; None: located as usual.
        language: of review.html.
        force: replace an existing audit.

    Raises:
        ArtifactError: something cannot be read or does not belong to the pack, the model was trained on the pack, no label
            can be judged, or `out` exists.
        ValueError: more than one of `folds`, `dev_run` and `model` is given, or the language is unknown.
    """
    if sum(one is not None for one in (folds, dev_run, model)) > 1:
        raise ValueError("`folds`, `dev_run` and `model` exclude each other")
    opened, out, written_in = Pack.open(pack), local_path(out), Language.load(language)
    if (folds or dev_run) and split not in ("all", "train"):
        raise ArtifactError(
            f"{'--folds' if folds else '--run'} has predictions for the train split only. Audit {split} with --model and a "
            "model that was not trained on it"
        )
    names_of_splits = (
        opened.splits
        if split == "all" and not (folds or dev_run)
        else ("train" if split == "all" else split,)
    )
    splits = tuple(opened.split(name) for name in names_of_splits)
    faces = FaceSelection(
        splits,
        np.repeat(np.arange(len(splits)), [len(one) for one in splits]),
        np.concatenate([np.arange(len(one)) for one in splits]),
        np.concatenate([one.labels for one in splits]),
    )
    with new_folder(out, force=force, kind_mark=MARK) as folder:
        from mien.audit.review import write_review  # noqa: PLC0415 - Jinja2 loads slowly

        if folds is not None:
            predictions = read_fold_predictions(Path(folds), opened, faces)
        elif dev_run is not None:
            predictions = read_run_predictions(Path(dev_run), opened, faces)
        else:
            predictions = predict_by_model(model, opened, faces)
        names = label_names(faces.labels, opened.info.classes)
        judgment = judge(faces, opened, predictions)
        contradictions, unchecked = find_contradictions(faces, names, predictions, detector)
        findings = collect_findings(faces, names, judgment, contradictions)
        record = describe(opened, faces, predictions, judgment, findings)
        record |= {"n_shown": min(shown, len(findings)), "warnings": [*record["warnings"], *unchecked]}
        write_findings(folder / "findings.csv", findings)
        write_label_studio(folder, findings[:shown], faces, opened.info.classes)
        classes = opened.info.classes
        write_review(
            folder / REVIEW, findings[:shown], faces, classes=classes, record=record, language=written_in
        )
        write_json(folder / MARK, record)
    return AuditSummary(out, record, tuple(findings))


def judge(faces: FaceSelection, pack: Pack, predictions: HeldOutPredictions) -> Judgment:
    """Judge the labels that there are predictions for, among the classes that pack and predictions have in common.

    Raises:
        ArtifactError: there is none, or only one class in common.
    """
    classes = tuple(name for name in predictions.classes if name in pack.info.classes)
    if len(classes) < 2:
        raise ArtifactError(
            f"Judging labels needs two or more classes that the pack and the model have in common, they have "
            f"{', '.join(classes) or 'none'}: the pack has {', '.join(pack.info.classes) or 'none'}, the model "
            f"{', '.join(predictions.classes)}. Choose another model, or cross-validate on the pack (--folds)"
        )
    columns = [predictions.classes.index(name) for name in classes]
    # The pack's number of each class, and -1, the last one, for faces without a label.
    common = np.full(len(pack.info.classes) + 1, -1)
    common[[pack.info.classes.index(name) for name in classes]] = np.arange(len(classes))
    labels = common[faces.labels]
    totals = predictions.probabilities[:, columns].sum(axis=1)
    judged = np.flatnonzero((labels >= 0) & (totals > 0))
    if not len(judged):
        raise ArtifactError(
            f"No face of these splits has both a prediction and a label among {', '.join(classes)}. Choose another --split"
        )
    probabilities = predictions.probabilities[judged][:, columns] / totals[judged, None]
    return Judgment(
        classes, judged, labels[judged], probabilities, judge_labels(probabilities, labels[judged])
    )


def find_contradictions(
    faces: FaceSelection, names: list[str | None], predictions: HeldOutPredictions, detector: Path | None
) -> tuple[dict[str, Details], list[str]]:
    """Return the contradictions by reason, and a sentence on each check that could not be made."""
    values = faces.read_annotations()
    groups = np.concatenate([one.groups for one in faces.splits])
    found = {
        "affect": find_affect_contradictions(names, values["valence_arousal"]),
        "near_duplicate": find_duplicate_disagreements(names, groups),
        "landmarks": find_landmark_misfits(values["landmarks"], predictions.landmarks),
    }
    nonface = np.flatnonzero([name == "NonFace" for name in names])
    if not len(nonface):
        return found, []
    finder = load_detector(detector)
    if isinstance(finder, CascadeDetector):
        return found, [
            (
                f"{len(nonface):,} faces labeled NonFace were not searched for faces: that needs the detector YuNet. Give its "
                "file as --detector"
            )
        ]
    found["face_in_nonface"] = find_faces_in_nonface(faces, nonface, finder)
    return found, []


def describe(
    pack: Pack,
    faces: FaceSelection,
    predictions: HeldOutPredictions,
    judgment: Judgment,
    findings: list[Finding],
) -> dict[str, Any]:
    """Return the content of audit.json, except for what was shown."""
    quality, labels = judgment.quality, judgment.labels
    agreement = float((judgment.probabilities.argmax(axis=1) == labels).mean())
    majority = float(np.bincount(labels).max() / len(labels))
    warnings = list(predictions.warnings)
    if agreement <= majority:
        warnings.append(
            f"The predictions agree with {100 * agreement:.1f}% of the labels, no more than always predicting the most common "
            f"class would ({100 * majority:.1f}%): they say next to nothing about the labels. Use a better model"
        )
    elif quality.is_suspect.mean() > MANY_SUSPECTS:
        warnings.append(
            f"{100 * quality.is_suspect.mean():.0f}% of the labels are suspect: it is more likely that the model does not suit "
            "these faces than that so many labels are wrong. Cross-validate on the pack itself (--folds)"
        )
    if pack.info.corrections is not None:
        warnings.append(
            f"The pack was prepared with a file of {pack.info.corrections['n_rows']:,} corrections. --corrections takes one "
            "file: add the new rows to that one"
        )
    suspect = np.flatnonzero(quality.is_suspect)
    pairs = Counter(
        (judgment.classes[label], judgment.classes[other])
        for label, other in zip(labels[suspect], quality.suggested[suspect], strict=True)
    )
    reasons = Counter(reason for one in findings for reason in one.reasons)
    noise = quality.estimated_noise
    return {
        "format_version": AUDIT_VERSION,
        "mien_version": mien.__version__,
        "pack": {
            "folder": pack.path.resolve().name,
            "source": pack.info.source,
            "content_sha256": pack.info.content_sha256,
        },
        "predictions": {"source": predictions.source, **predictions.record},
        "splits": [one.name for one in faces.splits],
        "n_faces": len(faces),
        "n_judged": len(labels),
        "classes": list(judgment.classes),
        "agreement": agreement,
        "n_suspect": len(suspect),
        "estimated_noise": float(1 - np.trace(quality.joint) / quality.joint.sum()),
        "estimated_noise_by_class": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(judgment.classes, noise, strict=True)
        },
        "reasons": {name: reasons[name] for name in REASONS if reasons[name]},
        "pairs": [{"labeled": a, "suggested": b, "n": n} for (a, b), n in pairs.most_common()],
        "warnings": warnings,
    }
