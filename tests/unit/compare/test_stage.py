"""`compare` on small reports written by hand."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from mien.compare.grouped import compare_groups
from mien.compare.plot import draw_bars
from mien.compare.stage import compare
from mien.errors import ArtifactError
from mien.faces.classes import AFFECTNET_CLASSES, EXPRESSIONS_8
from mien.metrics.affect import score_affect

TRUTHS = ["Happy"] * 20 + ["Sad"] * 20


def _predictions(n_wrong: int) -> list[str]:
    return ["Sad" if i < n_wrong else truth for i, truth in enumerate(TRUTHS)]


def test_each_is_tested_against_the_first(write_report, tmp_path) -> None:
    """12 wrong against 2 wrong: ten pairs, all in one direction."""
    first = write_report(tmp_path / "first", _predictions(12), TRUTHS)
    second = write_report(tmp_path / "second", _predictions(2), TRUTHS)
    found = compare([first, second])
    paired = found.models[1].paired
    assert found.models[0].paired is None
    assert paired is not None
    assert (paired.n_only_first, paired.n_only_second) == (0, 10)
    assert paired.difference == pytest.approx(0.25)
    assert paired.p_value == pytest.approx(stats.binomtest(0, 10).pvalue)
    assert ": significant difference" in str(found)


def test_a_report_does_not_differ_from_itself(write_report, tmp_path) -> None:
    """The same predictions: p = 1, and no significant difference."""
    reports = [write_report(tmp_path / name, _predictions(5), TRUTHS) for name in ("a", "b")]
    found = compare(reports)
    assert found.models[1].paired is not None
    assert found.models[1].paired.p_value == 1.0
    assert "no significant difference" in str(found)


def test_table_has_every_metric(write_report, tmp_path) -> None:
    """Metrics of the shared faces, and ECE, NME and CCC of the report; a dash for missing ones."""
    full = {
        "landmarks": {"nme": 0.042},
        "valence_arousal": {"valence": {"ccc": 0.61}, "arousal": {"ccc": None}},
    }
    first = write_report(tmp_path / "first", _predictions(10), TRUTHS, **full)
    second = write_report(tmp_path / "second", _predictions(0), TRUTHS)
    lines = str(compare([first, second])).splitlines()
    row = next(line for line in lines if line.startswith("first "))
    for part in ("75.0%", "5.0%", "4.2%", "0.610"):
        assert part in row
    assert "40 faces" in lines[0]


def test_order_of_rows_does_not_matter(write_report, tmp_path) -> None:
    """Faces are matched by key."""
    keys = [f"{i}.jpg" for i in range(40)]
    order = np.random.default_rng(0).permutation(40)
    predictions = _predictions(7)
    first = write_report(tmp_path / "first", predictions, TRUTHS, keys=keys)
    second = write_report(
        tmp_path / "second",
        [predictions[i] for i in order],
        [TRUTHS[i] for i in order],
        keys=[keys[i] for i in order],
    )
    paired = compare([first, second]).models[1].paired
    assert paired is not None
    assert (paired.n_only_first, paired.n_only_second) == (0, 0)


def test_repeated_keys_are_matched_by_occurrence(write_report, tmp_path) -> None:
    """Two faces of one image are two faces."""
    keys = ["group.jpg", "group.jpg"]
    first = write_report(tmp_path / "first", ["Happy", "Happy"], ["Happy", "Sad"], keys=keys)
    second = write_report(tmp_path / "second", ["Happy", "Sad"], ["Happy", "Sad"], keys=keys)
    paired = compare([first, second]).models[1].paired
    assert paired is not None
    assert (paired.n, paired.n_only_first, paired.n_only_second) == (2, 0, 1)


def test_other_faces_are_rejected(write_report, tmp_path) -> None:
    """The error says how many faces are shared, and which split each report is of."""
    first = write_report(tmp_path / "first", _predictions(0), TRUTHS)
    keys = [f"{i}.jpg" for i in range(20, 55)]
    second = write_report(tmp_path / "second", _predictions(0)[5:], TRUTHS[5:], keys=keys, split="test")
    with pytest.raises(ArtifactError, match=r"40 .*'val'.* 35 .*'test'.*share 20") as error:
        compare([first, second])
    assert "\n" not in str(error.value)


def test_other_truth_is_rejected(write_report, tmp_path) -> None:
    """Reports from packs that label a face differently cannot be compared."""
    first = write_report(tmp_path / "first", _predictions(0), TRUTHS)
    second = write_report(tmp_path / "second", _predictions(0), ["Sad", *TRUTHS[1:]])
    with pytest.raises(ArtifactError, match=r"differ on 1 faces.*'0.jpg'"):
        compare([first, second])


def test_paths_are_texts_too(write_report, tmp_path) -> None:
    """As everywhere in Python; a single text is not a list of its characters, and no output has an address."""
    reports = [str(write_report(tmp_path / name, _predictions(0), TRUTHS)) for name in "ab"]
    compare(reports, out=str(tmp_path / "table.csv"))
    compare_groups(reports, out=str(tmp_path / "groups.csv"))
    assert {path.name for path in tmp_path.glob("*.csv")} == {"table.csv", "groups.csv"}
    for function in (compare, compare_groups):
        with pytest.raises(TypeError, match="`reports` must be a list of paths, got"):
            function(reports[0])
        with pytest.raises(ValueError, match="must be a path of this machine, got an address"):
            function(reports, out="s3://bucket/table.csv")


def test_a_model_compared_with_itself_is_named(write_report, tmp_path) -> None:
    """A copied report, or the same file evaluated twice, says nothing about a difference."""
    pack = {"folder": "faces.pack", "classes": ["Happy", "Sad"], "content_sha256": "ab"}
    reports = [
        write_report(
            tmp_path / name, _predictions(0), TRUTHS, model={"file": "m.onnx", "sha256": sha256}, pack=pack
        )
        for name, sha256 in (("a", "1"), ("b", "1"), ("c", "2"))
    ]
    found = compare(reports, out=tmp_path / "comparison.json")
    assert "b are of the same model file on the same pack" in str(found)
    (note,) = json.loads((tmp_path / "comparison.json").read_text("utf-8"))["notes"]
    assert "the same model file" in note
    assert "same model" not in str(compare(reports[1:]))


def test_different_classes_share_a_closed_protocol(write_report, tmp_path) -> None:
    """An 11-class and an 8-class model: the note suggests 8_closed."""
    truths = ["Happy", "Sad", "NoneOfEight", "Contempt"]
    first = write_report(
        tmp_path / "eleven",
        ["NoneOfEight", "Sad", "NoneOfEight", "Contempt"],
        truths,
        classes=AFFECTNET_CLASSES,
    )
    second = write_report(
        tmp_path / "eight", ["Happy", "Sad", "Sad", "Fear"], truths, classes=EXPRESSIONS_8,
        pack={"folder": "faces.pack", "classes": list(AFFECTNET_CLASSES)},
    )  # fmt: skip
    found = compare([first, second])
    assert "8_closed" in str(found)
    assert (found.n, found.models[0].metrics["accuracy"]) == (3, pytest.approx(2 / 3))
    closed = compare([first, second], protocol="8_closed")
    assert closed.n == 3


def test_no_protocol_is_suggested_that_the_faces_do_not_allow(write_report, tmp_path) -> None:
    """Of models of two and three classes, on faces of two."""
    first = write_report(tmp_path / "two", _predictions(0), TRUTHS)
    second = write_report(
        tmp_path / "three", _predictions(0), TRUTHS, classes=("Happy", "Sad", "Fear"),
        pack={"folder": "faces.pack", "classes": ["Happy", "Sad"]},
    )  # fmt: skip
    text = str(compare([first, second]))
    assert "know different classes" in text
    assert "--protocol" not in text


def test_class_names_of_earlier_releases_are_updated(write_report, tmp_path) -> None:
    truths = ["Happy", "Sad", "None", "None"]
    classes = tuple("None" if name == "NoneOfEight" else name for name in AFFECTNET_CLASSES)
    earlier = write_report(tmp_path / "earlier", ["Happy", "Sad", "None", "Sad"], truths, classes=classes)
    today = write_report(
        tmp_path / "today",
        ["Happy", "Sad", "NoneOfEight", "NoneOfEight"],
        [name.replace("None", "NoneOfEight") for name in truths],
        classes=AFFECTNET_CLASSES,
    )
    found = compare([earlier, today])
    assert (found.n, [model.metrics["accuracy"] for model in found.models]) == (4, [0.75, 1.0])


def test_missing_protocol(write_report, tmp_path) -> None:
    """The error names the available ones."""
    reports = [write_report(tmp_path / name, _predictions(5), TRUTHS) for name in ("a", "b")]
    with pytest.raises(ArtifactError, match="classes allow: all"):
        compare(reports, protocol="8_closed")


def test_writes_plot_and_document(write_report, tmp_path) -> None:
    """A valid image, and the same metrics as JSON; neither is overwritten without `force`."""
    reports = [write_report(tmp_path / name, _predictions(n), TRUTHS) for name, n in (("a", 5), ("b", 9))]
    plot, out = tmp_path / "plot.png", tmp_path / "comparison.json"
    found = compare(reports, plot=plot, out=out)
    with Image.open(plot) as image:
        assert image.format == "PNG"
        assert min(image.size) > 400
    document = json.loads(out.read_text("utf-8"))
    assert [model["name"] for model in document["models"]] == ["a", "b"]
    assert document["models"][1]["paired"]["n_only_first"] == 4
    assert str(plot) in str(found)
    with pytest.raises(ArtifactError, match="already exists"):
        compare(reports, plot=plot)
    compare(reports, plot=plot, force=True)


def test_a_plot_of_landmarks_alone(write_report, tmp_path) -> None:
    """Without expression labels, the errors are drawn."""
    reports = [
        write_report(
            tmp_path / name, _predictions(5), [""] * len(TRUTHS), classes=("Happy", "Sad"),
            landmarks={"n": len(TRUTHS), "nme": nme}, errors=[nme] * len(TRUTHS),
        )
        for name, nme in (("a", 0.03), ("b", 0.05))
    ]  # fmt: skip
    compare(reports, plot=tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert min(image.size) > 400


def test_an_ece_of_other_faces_is_noted(write_report, tmp_path) -> None:
    """The table is of a protocol, the ECE of all faces of a report."""
    protocols = {"all": {"n": len(TRUTHS) + 7}}
    others = [
        write_report(tmp_path / name, _predictions(5), TRUTHS, protocols=protocols) for name in ("a", "b")
    ]
    assert "ECE is that of each report" in str(compare(others))
    same = [
        write_report(tmp_path / name, _predictions(5), TRUTHS, protocols={"all": {"n": len(TRUTHS)}})
        for name in ("c", "d")
    ]
    assert "ECE is that" not in str(compare(same))


def test_csv_has_the_numbers_of_the_json_file(write_report, tmp_path) -> None:
    """A row for each model; every interval and the test against the first have columns."""
    reports = [write_report(tmp_path / name, _predictions(n), TRUTHS) for name, n in (("a", 5), ("b", 9))]
    for name in ("table.csv", "table.json"):
        compare(reports, out=tmp_path / name)
    first, second = json.loads((tmp_path / "table.json").read_text("utf-8"))["models"]
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b"]
    assert [(row["n"], row["protocol"]) for row in rows] == [("40", "all")] * 2
    assert float(rows[0]["metrics.accuracy"]) == first["metrics"]["accuracy"] == 0.875
    ends = [float(rows[0][f"intervals.accuracy.{end}"]) for end in ("low", "high")]
    assert ends == first["intervals"]["accuracy"]
    assert float(rows[1]["paired.p_value"]) == second["paired"]["p_value"]
    assert float(rows[1]["paired.difference_ci95.low"]) == second["paired"]["difference_ci95"][0]
    assert rows[0]["paired.p_value"] == ""


def test_latex_has_the_printed_table(write_report, tmp_path) -> None:
    """Undoing the escapes gives the cells; no character is left that LaTeX would take for a command."""
    names = ("50%_a&b", "[cost$#{x}~^\\")
    reports = [write_report(tmp_path / name, _predictions(5), TRUTHS) for name in names]
    summary = compare(reports, out=tmp_path / "table.tex")
    text = (tmp_path / "table.tex").read_text("utf-8")
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"\caption{40 faces, protocol all; intervals are 95\%.}" in text
    words = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^"}
    rows = []
    for line in re.findall(r"^ +(.*?) \\\\$", text, re.MULTILINE):
        cells = re.split(r" (?<!\\)& ", line)
        assert not re.search(r"(?<!\\)[%&#_$~^]", "".join(cells))
        plain = [
            re.sub(r"\\(\w+)\{\}", lambda found: words[found[1]], cell.removeprefix("{}")) for cell in cells
        ]
        rows.append(tuple(re.sub(r"\\([&%$#_{}])", r"\1", cell).replace("--", "–") for cell in plain))
    assert rows == summary.table()
    assert not re.search(r"\\\\\s*[\[*]", text), "LaTeX would take the bracket for an argument"


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_plots_for_papers(write_report, tmp_path, suffix: str, start: bytes) -> None:
    """The same comparison gives the same bytes, and a PDF embeds no Type 3 font."""
    reports = [write_report(tmp_path / name, _predictions(5), TRUTHS) for name in ("a", "b")]
    plot = tmp_path / f"plot{suffix}"
    written = []
    for _ in range(2):
        compare(reports, plot=plot, force=True)
        written.append(plot.read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(start)
    assert b"/Type3" not in written[0]


def test_reports_are_named_by_what_distinguishes_them(write_report, tmp_path) -> None:
    """Not by the folder's name, which is the same for all; a report that is given twice gets a number."""
    paths = [
        write_report(tmp_path / name / "report", _predictions(5), TRUTHS) for name in ("runs/a", "old/b")
    ]
    assert compare([*paths, paths[0]]).names == ("a", "b", "a (2)")
    lines = str(compare(paths)).splitlines()
    assert any(line.startswith("b against a: ") for line in lines)


def test_any_names_can_be_in_the_plot(write_report, tmp_path, monkeypatch, caplog) -> None:
    """Names are not parsed as formulas, never missing from the legend, and reported if no font has them."""
    monkeypatch.setattr("mien.drawing.fonts._candidates", lambda *_: iter(()))
    names = ("cost $x_{$", "_b", "模型甲")
    reports = [write_report(tmp_path / name, _predictions(5), TRUTHS) for name in names]
    summary = compare(reports, plot=tmp_path / "plot.png")
    assert [line.split(":")[0] for line in caplog.messages] == ["No font on this machine has 模型甲"]
    (legend,) = draw_bars(summary).legends
    shown = ["cost $x_{$", " _b", r"\u6a21\u578b\u7532"]
    assert [text.get_text() for text in legend.get_texts()] == shown


def test_a_single_report_is_rejected(write_report, tmp_path) -> None:
    """A comparison needs two."""
    with pytest.raises(ArtifactError, match="at least two"):
        compare([write_report(tmp_path / "a", _predictions(5), TRUTHS)])


def _without(name: str):
    return lambda path: (path / name).unlink()


def _overwritten(name: str, text: str):
    return lambda path: (path / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_without("metrics.json"), "not a report", id="no metrics"),
        pytest.param(_without("predictions.csv"), "cannot be read", id="no predictions"),
        pytest.param(_overwritten("predictions.csv", ""), "cannot be read", id="empty predictions"),
        pytest.param(
            _overwritten("predictions.csv", "key,true,predicted,p_Happy\n"), "no predictions", id="no rows"
        ),
        pytest.param(
            _overwritten("predictions.csv", "key,true,p_Happy\na,Happy,x\n"),
            "cannot be read",
            id="not a number",
        ),
        pytest.param(
            _overwritten("predictions.csv", "key,true,p_Happy\na\n"), "cannot be read", id="short row"
        ),
        pytest.param(
            _overwritten("predictions.csv", "key,true,p_Happy\na,cat,1\n"), "does not list", id="odd class"
        ),
        pytest.param(
            _overwritten("predictions.csv", "key,predicted\na,Happy\n"), "cannot be read", id="no truth"
        ),
    ],
)
def test_damaged_reports(write_report, tmp_path, damage, message) -> None:
    """The message names the report, whatever is wrong with it."""
    good, bad = (write_report(tmp_path / name, _predictions(5), TRUTHS) for name in ("good", "bad"))
    damage(bad)
    with pytest.raises(ArtifactError, match=message) as error:
        compare([good, bad])
    assert "bad" in str(error.value)


def _affect(path, write_report, noise: float, **others):
    """Write a report of 200 faces without expression labels, whose valence and arousal are predicted with some noise."""
    random = np.random.default_rng(0)
    truth = random.uniform(-1, 1, (2, 200))
    predicted = truth + noise * random.normal(size=truth.shape)
    names = ("valence", "arousal")
    entries, columns = {"n": 200}, {}
    for name, one, other in zip(names, truth, predicted, strict=True):
        columns |= {f"{name}_true": one, f"{name}_predicted": other}
        entries[name] = dict(score_affect(one, other)._asdict())
        entries[name]["ccc_ci95"] = [entries[name]["ccc"] - 0.05, entries[name]["ccc"] + 0.05]
    return write_report(
        path, ["Happy"] * 200, [""] * 200, columns=columns, valence_arousal=entries, ece=None, **others
    )


def test_reports_without_expression_labels(write_report, tmp_path) -> None:
    """A table of the other tasks, and paired differences on the same faces; no metric of the expression anywhere."""
    reports = [
        _affect(tmp_path / name, write_report, noise) for name, noise in (("loud", 0.5), ("quiet", 0.1))
    ]
    out, plot = tmp_path / "out.json", tmp_path / "plot.png"
    found = compare(reports, out=out, plot=plot)
    assert (found.n, found.protocol, found.models[1].paired) == (200, None, None)
    text = str(found)
    assert "accuracy" not in text
    assert "protocol" not in text
    for title in ("CCC valence", "CCC arousal", "correlation valence", "RMSE arousal"):
        assert title in text
    difference = found.models[1].differences["ccc_valence"]
    values = [model.tasks["ccc_valence"].value for model in found.models]
    assert difference.difference == pytest.approx(values[1] - values[0], abs=1e-6)
    assert difference.ci95[0] > 0
    assert "quiet against loud: CCC valence +" in text
    document = json.loads(out.read_text("utf-8"))
    assert document["models"][0]["tasks"]["ccc_valence"]["ci95"] is not None
    assert document["models"][1]["differences"]["rmse_arousal"]["n"] == 200
    assert plot.is_file()
    same = compare([reports[0], _affect(tmp_path / "same", write_report, 0.5)])
    assert "significant difference" not in str(same).replace("no significant difference", "")


def test_action_units_are_compared(write_report, tmp_path) -> None:
    """Their means are in the table with their intervals, a dash for a report without."""
    units = {"macro_f1": 0.61, "macro_f1_ci95": [0.58, 0.65], "mean_icc": None, "mean_icc_ci95": None}
    first = write_report(tmp_path / "first", _predictions(5), TRUTHS, action_units=units)
    second = write_report(tmp_path / "second", _predictions(5), TRUTHS)
    header, *rows = compare([first, second]).table()
    assert header[-1] == "AU macro-F1"
    assert [row[-1] for row in rows] == ["61.0% [58.0, 65.0]", "–"]


def test_faces_without_a_label_do_not_count(write_report, tmp_path) -> None:
    """A pack may hold faces that are only annotated for other tasks."""
    truths = ["Happy", "", "Sad"]
    reports = [write_report(tmp_path / name, ["Happy", "Sad", "Sad"], truths) for name in ("a", "b")]
    found = compare(reports)
    assert (found.n, found.models[0].metrics["accuracy"]) == (2, 1.0)


@pytest.mark.parametrize("option", ["out", "plot"])
def test_a_report_is_not_overwritten_by_its_comparison(write_report, tmp_path, option) -> None:
    """Not even with force."""
    reports = [write_report(tmp_path / name, _predictions(2), TRUTHS) for name in ("a", "b")]
    before = (reports[0] / "metrics.json").read_bytes()
    name = "metrics.json" if option == "out" else "plot.png"
    with pytest.raises(ArtifactError, match="lies inside the report"):
        compare(reports, **{option: reports[0] / name}, force=True)
    assert (reports[0] / "metrics.json").read_bytes() == before
