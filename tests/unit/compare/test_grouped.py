"""`compare --group` on small reports written by hand."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as judge

from mien.cli import main
from mien.compare.grouped import compare_groups
from mien.compare.grouped_summary import GroupedSummary
from mien.errors import ArtifactError
from mien.metrics.affect import score_affect

CLASSES = ("Neutral", "Happy", "Fear")
# 4 of 104 faces are of a minority class
TRUTHS = np.repeat(CLASSES, [60, 40, 4])


def _predict(seed: int, skill: float = 0.7) -> np.ndarray:
    """Each face is correct with a certain probability, and otherwise random."""
    random = np.random.default_rng(seed)
    guesses = random.choice(CLASSES, len(TRUTHS))
    return np.where(random.random(len(TRUTHS)) < skill, TRUTHS, guesses)


@pytest.fixture
def write_seeds(write_report, tmp_path):
    """Write a group's reports, one per list of predictions."""

    def write(group: str, predictions: Sequence[np.ndarray], **report) -> list[Path]:
        return [
            write_report(
                tmp_path / group / f"seed-{seed}" / "report", predicted, TRUTHS, classes=CLASSES, **report
            )
            for seed, predicted in enumerate(predictions)
        ]

    return write


def _row(found: GroupedSummary, name: str) -> str:
    return next(line for line in str(found).splitlines() if line.startswith(f"{name} "))


def test_table_agrees_with_numpy_and_scikit_learn(write_seeds) -> None:
    """Mean and standard deviation of every metric over seeds, and the difference of the means."""
    predictions = {"plain": [_predict(seed, 0.5) for seed in range(3)], "better": [_predict(3), _predict(4)]}
    found = compare_groups(
        [path for name, predicted in predictions.items() for path in write_seeds(name, predicted)]
    )
    assert [group.name for group in found.groups] == ["plain", "better"]
    functions = {
        "accuracy": judge.accuracy_score,
        "balanced_accuracy": judge.balanced_accuracy_score,
        "macro_f1": lambda truth, predicted: judge.f1_score(truth, predicted, average="macro"),
        "minority_recall": lambda truth, predicted: judge.recall_score(
            truth, predicted, labels=["Fear"], average="macro"
        ),
    }
    means = {}
    for group in found.groups:
        for name, function in functions.items():
            values = [function(TRUTHS, predicted) for predicted in predictions[group.name]]
            mean = group.metrics[name]
            assert mean.values == pytest.approx(values)
            assert (mean.mean, mean.std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
            means[group.name, name] = np.mean(values)
            assert f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}" in _row(
                found, group.name
            )
    differences = found.groups[1].against_first
    assert found.groups[0].against_first is None
    assert differences is not None
    for name in functions:
        expected = means["better", name] - means["plain", name]
        assert differences[name].difference == pytest.approx(expected)
        assert f"{100 * expected:+.1f} points" in str(found)
    assert _row(found, "plain").split()[1:3] == ["3", "104"]


def test_minority_classes_are_named(write_seeds) -> None:
    """The note names them and the limit."""
    found = compare_groups(write_seeds("a", [_predict(0)]) + write_seeds("b", [_predict(1)]))
    assert found.minority == {"Fear": 4}
    assert "fewer than 5% of the faces, here Fear (4 faces)" in str(found)


def test_no_minority_classes(write_report, tmp_path) -> None:
    """Two classes with half the faces each: no such column."""
    truths = ["Happy", "Sad"] * 5
    reports = [write_report(tmp_path / name / "seed-0", truths, truths) for name in "ab"]
    found = compare_groups(reports)
    assert "minority_recall" not in found.metric_names
    assert "No minority recall: no class has fewer than 5%" in str(found)


def test_missing_metrics_are_dashes(write_seeds) -> None:
    """Landmarks not in the first group: the error has a mean and an interval, but no difference."""
    errors = np.random.default_rng(0).uniform(0.02, 0.08, len(TRUTHS))
    landmarks = {"landmarks": {"n": len(TRUTHS), "nme": float(errors.mean())}, "errors": errors.tolist()}
    first = write_seeds("expression", [_predict(0), _predict(1)], ece=0.02)
    second = write_seeds("landmarks", [_predict(2), _predict(3)], ece=0.03, **landmarks)
    third = write_seeds("forward", [_predict(4), _predict(5)], **landmarks)
    found = compare_groups([*first, *second, *third])
    assert _row(found, "expression").split()[-1] == "–"
    assert f"{100 * errors.mean():.1f} ± 0.0" in _row(found, "landmarks")
    nme = found.groups[1].metrics["nme"]
    assert nme.ci95 is not None
    assert nme.ci95[0] < errors.mean() < nme.ci95[1]
    assert nme.ci95[1] - nme.ci95[0] == pytest.approx(4 * errors.std() / np.sqrt(len(errors)), rel=0.1)
    against = found.groups[1].against_first
    assert against is not None
    assert "nme" not in against
    assert (against["ece"].difference, against["ece"].ci95) == (pytest.approx(0.01), None)


def test_landmark_differences_are_on_the_same_faces(write_seeds) -> None:
    """Errors lower by a third are significant, although errors vary much more between faces."""
    errors = np.random.default_rng(0).lognormal(-3, 0.8, len(TRUTHS))
    errors[5] = np.nan
    reports = []
    for name, factor in (("a", 1.0), ("b", 0.67)):
        values = errors * factor
        written = ["" if np.isnan(value) else value for value in values]
        report = {"landmarks": {"n": 103, "nme": float(np.nanmean(values))}, "errors": written}
        reports += write_seeds(name, [_predict(0), _predict(1)], **report)
    against = compare_groups(reports).groups[1].against_first
    assert against is not None
    assert against["nme"].difference == pytest.approx(-0.33 * np.nanmean(errors))
    assert against["nme"].ci95 is not None
    assert against["nme"].ci95[1] < 0


def test_similar_groups_do_not_differ(write_seeds) -> None:
    """Six similar models, three per group: every interval contains 0."""
    first, second = (
        write_seeds(name, [_predict(10 * i + k) for k in range(3)]) for i, name in enumerate("ab")
    )
    found = compare_groups([*first, *second])
    for difference in (found.groups[1].against_first or {}).values():
        if difference.ci95 is not None:
            assert difference.ci95[0] <= 0 <= difference.ci95[1]
    assert "  significant" not in str(found)
    assert str(found).count("no significant difference") == 4


def test_a_large_difference_is_shown(write_seeds) -> None:
    """Accuracies of 40% and 90%."""
    first = write_seeds("a", [_predict(seed, 0.1) for seed in range(3)])
    second = write_seeds("b", [_predict(seed, 0.85) for seed in range(3, 6)])
    against = compare_groups([*first, *second]).groups[1].against_first
    assert against is not None
    accuracy = against["accuracy"]
    assert accuracy.ci95 is not None
    assert 0 < accuracy.ci95[0] < accuracy.difference < accuracy.ci95[1]
    assert accuracy.covers_seeds


def test_variation_between_seeds_widens_the_interval(write_seeds) -> None:
    """The same mean, with and without variation between seeds."""
    good, middling, bad = (_predict(7, skill) for skill in (0.95, 0.6, 0.25))
    steady = compare_groups(write_seeds("steady", [middling] * 3)).groups[0].metrics["accuracy"]
    wild = compare_groups(write_seeds("wild", [good, middling, bad])).groups[0].metrics["accuracy"]
    assert steady.std == 0
    assert steady.ci95 is not None
    assert wild.ci95 is not None
    assert wild.ci95[1] - wild.ci95[0] > 2 * (steady.ci95[1] - steady.ci95[0])


def test_one_seed_per_group(write_seeds) -> None:
    """The standard deviation is a dash, and a note says that the intervals are only over faces."""
    found = compare_groups(write_seeds("a", [_predict(0, 0.1)]) + write_seeds("b", [_predict(1, 0.95)]))
    accuracy = found.groups[0].metrics["accuracy"]
    assert (accuracy.std, len(accuracy.values)) == (None, 1)
    assert f"{100 * accuracy.mean:.1f} ± –" in _row(found, "a")
    assert "only over faces" in str(found)
    assert "significant for these models, other seeds not covered" in str(found)
    assert "  significant difference" not in str(found)


def test_one_group_with_one_seed_and_one_with_three(write_seeds) -> None:
    """A note names it, and the difference uses the variance of the other."""
    found = compare_groups(
        write_seeds("a", [_predict(k) for k in range(3)]) + write_seeds("b", [_predict(9)])
    )
    assert "Groups with one seed: b" in str(found)
    assert (found.groups[1].against_first or {})["accuracy"].covers_seeds


def test_a_single_group(write_seeds) -> None:
    """Three seeds of one recipe give a mean and a standard deviation, without a difference."""
    found = compare_groups(write_seeds("a", [_predict(seed) for seed in range(3)]))
    assert [group.name for group in found.groups] == ["a/report"]
    assert "difference of the means" not in str(found)


def test_classes_in_another_order(write_report, tmp_path) -> None:
    """Classes are matched by name, whatever their order."""
    predicted = _predict(0)
    reports = [
        write_report(tmp_path / name / "seed-0", predicted, TRUTHS, classes=classes)
        for name, classes in (("a", CLASSES), ("b", CLASSES[::-1]))
    ]
    found = compare_groups(reports)
    assert found.groups[0].metrics == found.groups[1].metrics
    for name, difference in (found.groups[1].against_first or {}).items():
        assert difference.difference == 0, name


def test_unknown_protocol(write_report, tmp_path) -> None:
    """It is rejected with the available ones."""
    reports = [write_report(tmp_path / f"seed-{i}", _predict(i), TRUTHS, classes=CLASSES) for i in range(2)]
    with pytest.raises(ArtifactError, match="classes allow: all"):
        compare_groups(reports, protocol="8_closed")


def test_a_repeated_report_is_rejected(write_seeds) -> None:
    """It would underestimate the standard deviation."""
    report = write_seeds("a", [_predict(0)])
    with pytest.raises(ArtifactError, match="same model file"):
        compare_groups(report * 2)


def test_other_faces_are_rejected(write_seeds, write_report, tmp_path) -> None:
    """As without `--group`."""
    other = write_report(tmp_path / "b" / "seed-0", ["Happy"], ["Happy"], classes=CLASSES)
    with pytest.raises(ArtifactError, match="same faces"):
        compare_groups([*write_seeds("a", [_predict(0)]), other])


def test_document_and_image_from_the_command_line(write_seeds, tmp_path, capsys) -> None:
    """The same metrics as JSON, a valid image, and the same bytes when repeated."""
    reports = write_seeds("a", [_predict(0), _predict(1)]) + write_seeds("b", [_predict(2), _predict(3)])
    out, plot = tmp_path / "groups.json", tmp_path / "groups.png"
    arguments = ["compare", "--group", *map(str, reports), "--out", str(out), "--plot", str(plot)]
    assert main(arguments) == 0
    printed, written = capsys.readouterr().out, out.read_bytes()
    document = json.loads(written)
    assert [group["name"] for group in document["groups"]] == ["a", "b"]
    group = document["groups"][1]
    assert (group["n_reports"], document["n"]) == (2, 104)
    assert set(group["metrics"]["accuracy"]) == {"values", "mean", "std", "ci95"}
    assert set(group["against_first"]["accuracy"]) == {"difference", "ci95", "covers_seeds"}
    assert document["minority"] == {"fraction_below": 0.05, "classes": {"Fear": 4}}
    assert "Student's t" in document["intervals"]
    assert f"Written: {plot}" in printed
    with Image.open(plot) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
    assert main(arguments) == 1
    assert main([*arguments, "--force"]) == 0
    assert out.read_bytes() == written


def test_no_grouping_without_the_option(write_seeds, capsys) -> None:
    """Two seeds are compared as two models, with the paired test."""
    reports = write_seeds("a", [_predict(0), _predict(1)])
    assert main(["compare", *map(str, reports)]) == 0
    assert "McNemar" in capsys.readouterr().out


def test_groups_without_expression_labels(write_report, tmp_path) -> None:
    """Valence and arousal over seeds, with intervals over faces and seeds, and no metric of the expression."""
    random = np.random.default_rng(0)
    truth = random.uniform(-1, 1, 150)

    def write(group: str, seed: int, noise: float) -> Path:
        predicted = truth + noise * random.normal(size=150)
        scores = dict(score_affect(truth, predicted)._asdict())
        columns = {"valence_true": truth, "valence_predicted": predicted}
        return write_report(
            tmp_path / group / f"seed-{seed}" / "report", ["Happy"] * 150, [""] * 150, columns=columns,
            valence_arousal={"n": 150, "valence": scores}, ece=None,
        )  # fmt: skip

    found = compare_groups(
        [write(group, seed, n) for group, n in (("a", 0.6), ("b", 0.2)) for seed in (0, 1)]
    )
    assert (found.n, found.protocol, found.minority) == (150, None, {})
    assert found.metric_names == ("ccc_valence", "pearson_valence", "rmse_valence")
    difference = (found.groups[1].against_first or {})["ccc_valence"]
    assert difference.ci95 is not None
    assert difference.ci95[0] > 0
    assert "accuracy" not in str(found)
    assert "CCC valence" in str(found)


def test_csv_has_a_row_for_each_group(write_seeds, tmp_path) -> None:
    """Means, deviations and ends of intervals as in the JSON file; what has no interval has empty cells in the same columns."""
    reports = [
        path
        for name, n in (("plain", 3), ("better", 2))
        for path in write_seeds(name, [_predict(s) for s in range(n)])
    ]
    for name in ("groups.csv", "groups.json"):
        compare_groups(reports, out=tmp_path / name)
    groups = json.loads((tmp_path / "groups.json").read_text("utf-8"))["groups"]
    with (tmp_path / "groups.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["n_reports"]) for row in rows] == [("plain", "3"), ("better", "2")]
    for row, group in zip(rows, groups, strict=True):
        mean = group["metrics"]["accuracy"]
        found = [float(row[f"metrics.accuracy.{key}"]) for key in ("mean", "std", "ci95.low", "ci95.high")]
        assert found == [mean["mean"], mean["std"], *mean["ci95"]]
        assert (row["metrics.ece.ci95.low"], row["metrics.ece.ci95.high"]) == ("", "")
    assert "metrics.ece.ci95" not in rows[0]
