"""The same figures in words: the verdict, and the table that the command line prints."""

from mien.evaluate.flip import FLIP_NOTE
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import Estimate, Evaluation, ProtocolScores

_HEADER = ("protocol", "faces", "accuracy", "balanced accuracy", "macro-F1")
FLIP_MARK = ", flip averaged"
SELECTION_UNKNOWN = "the model file does not say which faces chose its checkpoint"


def percent(value: float | None) -> str:
    """Return a share as a percentage with one decimal; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def percent_interval(interval: tuple[float, float]) -> str:
    """Return an interval of shares, in per cent."""
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def state_verdict(scores: ProtocolScores) -> str:
    """Say whether the model is better than guessing, and by what evidence."""
    accuracy, balanced = scores.accuracy, scores.balanced_accuracy
    beats_majority = accuracy.ci95[0] > scores.majority_share
    beats_chance = balanced.ci95[0] > scores.chance
    compared = (
        f"{percent(accuracy.value)} of {scores.protocol.n:,} faces are right (95 % interval "
        f"{percent_interval(accuracy.ci95)}), against {percent(scores.majority_share)} by always answering "
        f"{scores.majority_class}; the mean recall of the {scores.n_classes} classes is "
        f"{percent(balanced.value)} {percent_interval(balanced.ci95)}, against {percent(scores.chance)} by chance."
    )
    if scores.n_classes == 1:
        return f"All faces are of one class, so that nothing can be told from chance: {compared}"
    if beats_majority and beats_chance:
        return f"Clearly better than chance: {compared}"
    if beats_chance:
        return f"Better than chance over the classes, not than always answering the commonest: {compared}"
    if beats_majority:
        return (
            f"Better than always answering the commonest class, not shown to be over the classes: {compared}"
        )
    return f"Not shown to be better than chance: {compared}"


def write_table(evaluation: Evaluation, provenance: Provenance) -> str:
    """Return the result table as plain text."""
    head = (
        f"{provenance.model_name} on pack {provenance.pack_name}, split {provenance.split}: "
        f"{provenance.n_faces:,} faces; intervals are 95 %"
    )
    rows = [_HEADER, *(_protocol_row(scores) for scores in evaluation.protocols.values())]
    main = evaluation.main
    rows.append(
        ("baseline", f"{main.protocol.n:,}", f"{percent(main.majority_share)} always {main.majority_class}",
         f"{percent(main.chance)} chance", "")
    )  # fmt: skip
    lines = [head, f"Checkpoint: {provenance.selection or SELECTION_UNKNOWN}", "", *_align(rows), ""]
    lines += [state_verdict(main), *_further_lines(evaluation)]
    lines += [f"{name}: {scores.protocol.description}" for name, scores in evaluation.protocols.items()]
    lines += _flip_lines(evaluation.flip_average) if evaluation.flip_average is not None else []
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in provenance.warnings())])


def _flip_lines(averaged: Evaluation) -> list[str]:
    rows = [_HEADER, *(_protocol_row(scores, mark=FLIP_MARK) for scores in averaged.protocols.values())]
    return ["", f"Flip averaged: {FLIP_NOTE}.", *_align(rows), *_further_lines(averaged, mark=FLIP_MARK)]


def _protocol_row(scores: ProtocolScores, *, mark: str = "") -> tuple[str, ...]:
    figures = (scores.accuracy, scores.balanced_accuracy, scores.macro_f1)
    return (
        scores.protocol.name + mark,
        f"{scores.protocol.n:,}",
        *(_with_interval(figure) for figure in figures),
    )


def _with_interval(estimate: Estimate) -> str:
    return f"{percent(estimate.value)} {percent_interval(estimate.ci95)}"


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _further_lines(evaluation: Evaluation, *, mark: str = "") -> list[str]:
    lines = [f"Calibration error (ECE){mark} {percent(evaluation.ece)}"]
    if evaluation.landmarks is not None:
        nme, n = evaluation.landmarks.nme, evaluation.landmarks.n
        lines.append(f"Landmark error (NME){mark} {_with_interval(nme)} ({n:,} faces)")
    for name, dimension in (evaluation.affect or {}).items():
        scores = dimension.scores
        figures = (
            f"{label} {'–' if value is None else f'{value:.3f}'}"
            for label, value in (("CCC", scores.ccc), ("RMSE", scores.rmse), ("SAGR", scores.sagr))
        )
        lines.append(f"{name.capitalize()}{mark} {', '.join(figures)} ({scores.n:,} faces)")
    return lines
