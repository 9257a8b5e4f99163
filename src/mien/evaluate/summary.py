"""The metrics as text: the verdict, and the table that the command line prints."""

from mien.evaluate.balanced_prior import BALANCED_PRIOR_NOTE
from mien.evaluate.flip import FLIP_NOTE
from mien.evaluate.groups import GROUPS_NOTE
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import Evaluation
from mien.evaluate.task_scores import percent, percent_interval
from mien.runtime.text_table import format_table
from mien.tasks import TASKS

_HEADER = ("protocol", "faces", "accuracy", "balanced accuracy", "macro-F1")
FLIP_SUFFIX = ", flip averaged"
BALANCED_SUFFIX = ", balanced prior"
SELECTION_UNKNOWN = "the model file does not record how its checkpoint was selected"


def format_verdict(evaluation: Evaluation) -> str:
    """Return whether the model is better than guessing, with the evidence."""
    scores = evaluation.main
    if scores is None:
        titles = " and ".join(TASKS[task].title for task in evaluation.tasks)
        return f"No face of the split has an expression label: this report is of {titles} only."
    accuracy, balanced = scores.accuracy, scores.balanced_accuracy
    beats_majority = accuracy.ci95[0] > scores.majority_fraction
    beats_chance = balanced.ci95[0] > scores.chance
    evidence = (
        f"accuracy {percent(accuracy.value)} on {scores.protocol.n:,} faces (95% interval "
        f"{percent_interval(accuracy.ci95)}), against {percent(scores.majority_fraction)} for always predicting "
        f"{scores.majority_class}; balanced accuracy over {scores.n_classes} classes {percent(balanced.value)} "
        f"{percent_interval(balanced.ci95)}, against {percent(scores.chance)} for chance."
    )
    if scores.n_classes == 1:
        return f"All faces are of one class, so the model cannot be compared with chance: {evidence}"
    if beats_majority and beats_chance:
        return f"Clearly better than chance: {evidence}"
    if beats_chance:
        return (
            f"Better than chance in balanced accuracy, but not shown to beat the majority class: {evidence}"
        )
    if beats_majority:
        return (
            f"Better than the majority class, but not shown to beat chance in balanced accuracy: {evidence}"
        )
    return f"Not shown to be better than chance: {evidence}"


def format_summary(evaluation: Evaluation, provenance: Provenance) -> str:
    """Return the metrics as plain text."""
    main, table = evaluation.main, []
    if main is not None:
        baseline = (
            "baseline",
            f"{main.protocol.n:,}",
            f"{percent(main.majority_fraction)} always {main.majority_class}",
            f"{percent(main.chance)} chance",
            "",
        )
        table = [*format_table([_HEADER, *_protocol_rows(evaluation), baseline]), ""]
    lines = [
        (
            f"{provenance.model_name} on pack {provenance.pack_name}, split {provenance.split}: "
            f"{provenance.n_faces:,} faces; intervals are 95%"
        ),
        f"Checkpoint: {provenance.selection or SELECTION_UNKNOWN}",
        "",
        *table,
        format_verdict(evaluation),
        *_task_lines(evaluation),
        *(f"{name}: {scores.protocol.description}" for name, scores in evaluation.protocols.items()),
    ]
    balanced = evaluation.balanced_prior
    if balanced is not None:
        lines += ["", f"Balanced prior: {BALANCED_PRIOR_NOTE}"]
        lines += format_table([_HEADER, *_protocol_rows(balanced, suffix=BALANCED_SUFFIX)])
        lines += _task_lines(balanced, suffix=BALANCED_SUFFIX)
    averaged = evaluation.flip_average
    if averaged is not None:
        lines += ["", f"Flip averaged: {FLIP_NOTE}"]
        if averaged.main is not None:
            lines += format_table([_HEADER, *_protocol_rows(averaged, suffix=FLIP_SUFFIX)])
        lines += _task_lines(averaged, suffix=FLIP_SUFFIX)
    if evaluation.groups:
        lines += ["", f"Groups: {GROUPS_NOTE}"]
        lines += [line for grouped in evaluation.groups for line in ("", *grouped.lines())]
    if evaluation.counterfactual is not None:
        lines += ["", *evaluation.counterfactual.lines()]
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in provenance.warnings())])


def _protocol_rows(evaluation: Evaluation, *, suffix: str = "") -> list[tuple[str, ...]]:
    return [
        (
            f"{name}{suffix}",
            f"{scores.protocol.n:,}",
            *(
                f"{percent(estimate.value)} {percent_interval(estimate.ci95)}"
                for estimate in (scores.accuracy, scores.balanced_accuracy, scores.macro_f1)
            ),
        )
        for name, scores in evaluation.protocols.items()
    ]


def _task_lines(evaluation: Evaluation, *, suffix: str = "") -> list[str]:
    """Return the lines for calibration and for the tasks other than the expression."""
    lines = [f"Calibration error (ECE){suffix} {percent(evaluation.ece)}"] if evaluation.main else []
    return lines + [line for scores in evaluation.tasks.values() for line in scores.lines(suffix)]
