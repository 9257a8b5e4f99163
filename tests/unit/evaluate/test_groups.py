"""Metrics by person, clip and attributes: equal to those of the group's faces alone, and refused where there is nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mien.cli import main
from mien.errors import ArtifactError
from mien.evaluate.stage import evaluate

CLASSES = ("Neutral", "Happy", "Sad")


def rows(n: int, wrong: int) -> list[tuple[str, str, str]]:
    """Faces of which some have the color of the next class."""
    return [(f"{i}.jpg", CLASSES[i % 3], CLASSES[(i + (i < wrong)) % 3]) for i in range(n)]


def persons(n: int) -> dict[str, str]:
    """Anna has the first half, Ben a third, Cara two faces; who the last one is is not stated."""
    names = ["Anna <b>"] * (n // 2) + ["Ben"] * (n // 3)
    names += ["Cara"] * 2
    return {f"{i}.jpg": name for i, name in enumerate(names)}


def test_groups_have_the_metrics_of_their_faces(
    make_pack: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    """As scikit-learn computes them from predictions.csv; the rest is named and counted."""
    n = 60
    pack = make_pack(persons=persons(n), val=rows(n, 18))
    summary = evaluate(make_model(), pack, out=tmp_path / "r", groups=["person"], min_group=10)
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    found = metrics["groups"]["person"]
    table = pd.read_csv(tmp_path / "r" / "predictions.csv")
    for name, start, end in (("Anna <b>", 0, 30), ("Ben", 30, 50)):
        group, faces = found["groups"][name], table.iloc[start:end]
        assert group["n"] == len(faces)
        assert group["accuracy"] == pytest.approx(accuracy_score(faces["true"], faces["predicted"]))
        assert group["balanced_accuracy"] == pytest.approx(
            balanced_accuracy_score(faces["true"], faces["predicted"])
        )
        low, high = group["accuracy_ci95"]
        assert low <= group["accuracy"] <= high
        of_class = faces[faces["true"] == "Happy"]
        rates = group["classes"]["Happy"]
        assert rates["n"] == len(of_class)
        assert rates["miss_rate"] == pytest.approx((of_class["predicted"] != "Happy").mean())
        others = faces[faces["true"] != "Happy"]
        assert rates["false_alarm_rate"] == pytest.approx((others["predicted"] == "Happy").mean())
    gap = found["largest_gap"]
    assert (gap["best"], gap["worst"]) == ("Ben", "Anna <b>")
    assert gap["gap"] == pytest.approx(0.6)
    assert gap["p_value"] < 0.001
    assert found["too_small"] == {"Cara": 2}
    assert found["n_unstated"] == 8
    assert "Cara (2)" in str(summary)
    assert "p < 0.001" in str(summary)
    page = (tmp_path / "r" / "report.html").read_text()
    assert 'id="groups"' in page
    assert "Anna &lt;b&gt;" in page
    assert "Anna <b>" not in page


def test_other_figures_do_not_change(
    make_pack: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    """Without --groups there is no section, and with it everything else is the same."""
    pack, model = make_pack(persons=persons(60), val=rows(60, 18)), make_model()
    evaluate(model, pack, out=tmp_path / "plain")
    evaluate(model, pack, out=tmp_path / "grouped", groups=["person"], min_group=10)
    plain, grouped = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("plain", "grouped")
    )
    assert grouped.pop("groups")
    assert plain == grouped
    assert 'id="groups"' not in (tmp_path / "plain" / "report.html").read_text()


@pytest.mark.parametrize(
    ("columns", "min_group", "message"),
    [
        (["gender"], 10, "no column 'gender' to group by, only person"),
        (["persons"], 10, "Did you mean `person`"),
        (["person"], 40, "'person' has 0 of them.*Anna <b> 30, Ben 20"),
        (["person"], 25, "'person' has 1 of them"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(
    columns: list[str],
    min_group: int,
    message: str,
    make_pack: Callable[..., Path],
    make_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """A column that the set lacks, and groups that are too small; no report is written."""
    pack = make_pack(persons=persons(60), val=rows(60, 18))
    with pytest.raises(ArtifactError, match=message):
        evaluate(make_model(), pack, out=tmp_path / "r", groups=columns, min_group=min_group)
    assert not (tmp_path / "r").exists()


def test_a_pack_without_columns_says_so(
    make_pack: Callable[..., Path],
    make_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command exits with 1 and does not guess groups from images."""
    words = ["evaluate", "--model", str(make_model()), "--pack", str(make_pack(val=rows(60, 9)))]
    assert main([*words, "--out", str(tmp_path / "r"), "--groups", "gender"]) == 1
    printed = capsys.readouterr().err
    assert "and no persons, clips or attributes at all" in printed
    assert "mien infers nothing about a person" in printed
