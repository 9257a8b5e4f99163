"""`evaluate` from a real ONNX file and a real pack to the three files of a report."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as judge

from mien.artifacts import json_sha256
from mien.errors import ArtifactError, ModelError
from mien.evaluate.metrics_file import write_predictions
from mien.evaluate.prediction import predict_split
from mien.evaluate.score import Truth, score
from mien.evaluate.stage import evaluate
from mien.faces.classes import AFFECTNET_CLASSES
from mien.faces.crop import CropContract
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL, PackInfo

# The fastest model, for tests without landmarks and affect.
EXPRESSION = ("expression",)


def _rows(report) -> list[dict[str, str]]:
    with (report / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _metrics(report) -> dict:
    return json.loads((report / "metrics.json").read_text("utf-8"))


def test_writes_three_files_and_nothing_else(report) -> None:
    """A report is metrics.json, predictions.csv and report.html; no partial folder remains."""
    assert sorted(path.name for path in (report).iterdir()) == [
        "metrics.json", "predictions.csv", "report.html",
    ]  # fmt: skip
    assert not report.with_name("report.partial").exists()


def test_metrics_by_hand(report) -> None:
    """6 of 8 faces have the color of their class."""
    found = _metrics(report)
    assert found["protocols"]["all"]["n"] == 8
    assert found["protocols"]["all"]["accuracy"] == 0.75
    assert found["confusion_matrix"] == {
        "labels": ["Neutral", "Happy", "Sad"], "counts": [[2, 1, 0], [0, 2, 0], [1, 0, 2]],
    }  # fmt: skip
    assert found["per_class"]["Happy"] == {
        "n": 2, "precision": pytest.approx(2 / 3), "recall": 1.0, "f1": pytest.approx(0.8), "note": "",
    }  # fmt: skip
    assert found["landmarks"]["n"] == 8
    assert found["landmarks"]["nme"] == pytest.approx(np.hypot(0.01, 0.01) / 0.4, rel=1e-4)
    assert found["majority_baseline"]["accuracy"] == 3 / 8


def test_keys_of_metrics_json(report) -> None:
    """The keys that others may rely on."""
    found = _metrics(report)
    assert set(found["protocols"]["all"]) >= {
        "n", "accuracy", "accuracy_ci95", "balanced_accuracy", "balanced_accuracy_ci95", "macro_f1",
        "macro_f1_ci95", "description",
    }  # fmt: skip
    assert {"ece", "split", "model", "pack", "selection"} <= set(found)
    assert set(found["valence_arousal"]) == {"n", "valence", "arousal"}
    assert set(found["valence_arousal"]["valence"]) >= {"ccc", "rmse", "sagr"}


def test_metrics_can_be_recomputed_from_predictions(report) -> None:
    """scikit-learn on predictions.csv gives the metrics of metrics.json."""
    rows, found = _rows(report), _metrics(report)
    truth, predicted = [row["true"] for row in rows], [row["predicted"] for row in rows]
    everything = found["protocols"]["all"]
    assert everything["accuracy"] == judge.accuracy_score(truth, predicted)
    assert everything["macro_f1"] == pytest.approx(judge.f1_score(truth, predicted, average="macro"))
    assert found["landmarks"]["nme"] == pytest.approx(np.mean([float(row["nme"]) for row in rows]))
    error = [float(row["valence_predicted"]) - float(row["valence_true"]) for row in rows]
    assert found["valence_arousal"]["valence"]["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(error))))


def test_columns_of_predictions(report, val) -> None:
    """Key, truth, prediction, a probability per class, then the other tasks; in the pack's order."""
    rows = _rows(report)
    assert list(rows[0]) == [
        "key", "true", "predicted", "p_Neutral", "p_Happy", "p_Sad", "nme",
        "valence_true", "valence_predicted", "arousal_true", "arousal_predicted",
    ]  # fmt: skip
    assert [row["key"] for row in rows] == [key for key, _, _ in val]
    for row in rows:
        probabilities = {name: float(row[f"p_{name}"]) for name in ("Neutral", "Happy", "Sad")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert max(probabilities, key=probabilities.__getitem__) == row["predicted"]


def test_paths_are_texts_too(make_model, make_pack, tmp_path, val) -> None:
    """As everywhere in Python; one column is not a list of its letters, and a report has no address."""
    model, pack = make_model(tasks=EXPRESSION), str(make_pack(val=val))
    assert evaluate(model, pack, out=str(tmp_path / "r")).out == tmp_path / "r"
    with pytest.raises(TypeError, match="`groups` must be a list of columns, got 'person'"):
        evaluate(model, pack, out=tmp_path / "s", groups="person")
    with pytest.raises(ValueError, match="must be a path of this machine"):
        evaluate(model, pack, out="s3://bucket/report")


@pytest.mark.parametrize(
    ("tasks", "bare"),
    [
        pytest.param(("expression",), False, id="the model has no other task"),
        pytest.param(
            ("expression", "landmarks", "valence_arousal"), True, id="the faces have no other label"
        ),
    ],
)
def test_only_expression(make_model, make_pack, tmp_path, tasks, bare, val) -> None:
    """Landmarks and affect are omitted from files and page if the model or the faces lack them."""
    evaluate(make_model(tasks=tasks), make_pack(val=val, bare=bare), out=tmp_path / "report")
    found = _metrics(tmp_path / "report")
    assert found["valence_arousal"] is None
    assert found["landmarks"] == {"n": 0, "nme": None, "nme_ci95": None}
    assert list(_rows(tmp_path / "report")[0])[-1] == "p_Sad"
    assert 'id="landmarks"' not in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_faces_of_an_unknown_class_are_excluded(make_model, make_pack, tmp_path, val) -> None:
    """They are counted and reported, and still have rows in predictions.csv."""
    pack = make_pack(classes=("bored", *("Neutral", "Happy", "Sad")), val=[*val, ("z.jpg", "bored", "Sad")])
    summary = evaluate(make_model(tasks=EXPRESSION), pack, out=tmp_path / "report")
    found = _metrics(tmp_path / "report")
    assert (found["protocols"]["all"]["n"], found["protocols"]["all"]["n_excluded"]) == (8, 1)
    assert found["protocols"]["all"]["accuracy"] == 0.75
    assert _rows(tmp_path / "report")[-1]["true"] == "bored"
    assert "bored (1)" in str(summary)


def test_affectnet_classes_have_every_protocol(make_model, make_pack, tmp_path, val) -> None:
    """With eleven classes, page and file have all five protocols."""
    model, pack = (
        make_model(tasks=EXPRESSION, classes=AFFECTNET_CLASSES),
        make_pack(classes=AFFECTNET_CLASSES, val=val),
    )
    evaluate(model, pack, out=tmp_path / "report")
    names = ["all", "8_open", "8_closed", "7_open", "7_closed"]
    assert list(_metrics(tmp_path / "report")["protocols"]) == names
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert all(f"<code>{name}</code>" in page for name in names)


def test_pandas_reads_every_row(make_model, make_pack, tmp_path, val) -> None:
    """A pack and a model of an earlier release have a class None, which pandas takes for a missing value."""
    earlier = ("Neutral", "Happy", "None")
    pack = make_pack(
        classes=earlier, val=[(key, label.replace("Sad", "None"), color) for key, label, color in val]
    )
    evaluate(make_model(classes=earlier), pack, out=tmp_path / "report")
    table = pd.read_csv(tmp_path / "report" / "predictions.csv")
    assert not table[["true", "predicted", "p_NoneOfEight"]].isna().any(axis=None)
    counts = _metrics(tmp_path / "report")["per_class"]
    assert {name: found["n"] for name, found in counts.items()} == table["true"].value_counts().to_dict()
    assert set(counts) == {"Neutral", "Happy", "NoneOfEight"}


def test_summary(make_model, make_pack, tmp_path, val) -> None:
    """The printed summary has n, interval, protocol, baseline, how the checkpoint was selected, and the path of the page."""
    model = make_model(tasks=EXPRESSION, training={"selection": "best on dev"})
    text = str(evaluate(model, make_pack(val=val), out=tmp_path / "report"))
    for part in ("75.0%", "[", "8 faces", "all", "37.5%", "33.3% chance", "best on dev", "report.html"):
        assert part in text


@pytest.mark.usefixtures("real_plots")
def test_page_is_one_file_and_escapes_keys(make_model, make_pack, tmp_path, val) -> None:
    """Nothing is loaded from elsewhere, and a key that is a script is shown, not run."""
    pack = make_pack(val=[(key, label, "Sad") for key, label, _ in val])
    evaluate(make_model(tasks=EXPRESSION), pack, out=tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']+""", page)
    assert "data:image/jpeg;base64," in page


def test_a_mistakes_key_is_escaped(make_model, make_pack, tmp_path) -> None:
    """The key of a shown mistake appears with its angle brackets as text."""
    evaluate(
        make_model(tasks=EXPRESSION),
        make_pack(val=[('<b>"x"</b>', "Sad", "Happy")] * 3),
        out=tmp_path / "report",
    )
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "&lt;b&gt;" in page
    assert '<b>"x"' not in page


def test_control_characters_of_names_are_shown(make_model, make_pack, tmp_path) -> None:
    """Direction changes and escape sequences in names appear on the page as escaped text."""
    classes = ("Neutral", "Happy", "Sa\u202ed")
    rows = [("a\x07\x1b[31m.jpg", "Sa\u202ed", "Happy")] * 3
    evaluate(
        make_model(tasks=EXPRESSION, classes=classes),
        make_pack(classes=classes, val=rows),
        out=tmp_path / "report",
    )
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page)
    for shown in (r"Sa\u202ed", r"a\x07\x1b[31m.jpg"):
        assert shown in page


@pytest.mark.usefixtures("real_plots")
def test_same_input_same_bytes(make_model, make_pack, tmp_path, val) -> None:
    """Reports have no date and are deterministic."""
    model, pack = make_model(), make_pack(val=val)
    for name in ("one", "two"):
        evaluate(model, pack, out=tmp_path / name)
    for file in ("metrics.json", "predictions.csv", "report.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_one_face_of_one_class(make_model, make_pack, tmp_path, val) -> None:
    """The smallest possible split gives a report without NaN."""
    evaluate(make_model(), make_pack(val=val[:1]), out=tmp_path / "report")
    found = _metrics(tmp_path / "report")
    assert found["protocols"]["all"]["accuracy"] == 1.0
    assert found["valence_arousal"]["valence"]["ccc"] is None
    assert found["per_class"]["Sad"]["precision"] is None


def test_warning_for_another_crop(make_model, make_pack, tmp_path, val) -> None:
    """For a model of aligned crops on a pack of full images, summary and page have a warning."""
    model = make_model(tasks=EXPRESSION, crop=CropContract(method="aligned", size=32))
    summary = evaluate(model, make_pack(val=val), out=tmp_path / "report")
    assert "aligned crops" in str(summary)
    assert "aligned crops" in (tmp_path / "report" / "report.html").read_text("utf-8")
    assert _metrics(tmp_path / "report")["warnings"]


def test_no_warning_for_the_same_crop(make_model, make_pack, tmp_path, val) -> None:
    """No warning without a reason."""
    assert "Warning" not in str(
        evaluate(make_model(tasks=EXPRESSION), make_pack(val=val), out=tmp_path / "report")
    )


def test_warning_for_taught_faces(make_model, make_pack, tmp_path, val) -> None:
    """A taught file does not say which faces it was taught on: the pack's may be among them."""
    model = make_model(tasks=EXPRESSION, training={"taught": {"cross_validation": {"n": 36}}})
    assert "which 36 faces" in str(evaluate(model, make_pack(val=val), out=tmp_path / "report"))


def _trained_on(pack, *, exclude_leaks: bool) -> dict:
    content = json.loads((pack / "pack.json").read_text("utf-8"))["content_sha256"]
    return {"pack": {"content_sha256": content}, "recipe": {"data": {"exclude_leaks": exclude_leaks}}}


def test_warning_for_training_faces(make_model, make_pack, tmp_path, val) -> None:
    """Evaluating on the training split measures memorization, and the summary says so."""
    pack = make_pack(train=val, val=val[:2])
    model = make_model(tasks=EXPRESSION, training=_trained_on(pack, exclude_leaks=True))
    assert "memorization" in str(evaluate(model, pack, split="train", out=tmp_path / "report"))
    assert "memorization" not in str(evaluate(model, pack, split="val", out=tmp_path / "report-val"))


@pytest.mark.parametrize("exclude_leaks", [True, False])
def test_warning_for_near_duplicates_of_training_faces(
    make_model, make_pack, tmp_path, exclude_leaks, val
) -> None:
    """A validation face that recurs in train is reported unless training excluded it."""
    pack = make_pack(train=val[:2], val=val[2:5], groups=[0, 1, 0, 3, 4])
    model = make_model(tasks=EXPRESSION, training=_trained_on(pack, exclude_leaks=exclude_leaks))
    text = str(evaluate(model, pack, out=tmp_path / "report"))
    assert ("trained on 1 of the 3 faces" in text) == (not exclude_leaks)


def test_warning_for_landmarks_that_a_model_placed(make_model, make_pack, tmp_path, val) -> None:
    """The error is then the distance to that model; and a model that learned from such points says so."""
    pack = make_pack(val=val)
    index = json.loads((pack / "pack.json").read_text("utf-8"))
    del index["info_sha256"]
    index["landmarks_by"] = {"val": {"placer (12ab)": 3}, "train": {"other": 9}}
    info = PackInfo.from_dict({**index, "info_sha256": json_sha256(index)}, where="")
    (pack / "pack.json").write_text(json.dumps(info.to_dict()))
    model = make_model(training={"pack": {"landmarks_by": {"placer (12ab)": 1200}}})
    text = str(evaluate(model, pack, out=tmp_path / "report"))
    assert "placed by a model, not by people (3 faces by placer (12ab))" in text
    assert _metrics(tmp_path / "report")["pack"]["landmarks_by"]["val"] == {"placer (12ab)": 3}
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "1,200 faces by placer (12ab), placed by a model, not by people" in page
    model = make_model(tasks=EXPRESSION)
    assert "placed by a model" not in str(evaluate(model, pack, out=tmp_path / "bare"))


@pytest.mark.parametrize("exclude", [True, False])
def test_warning_for_persons_who_were_trained_on(make_model, make_pack, tmp_path, exclude, val) -> None:
    """Persons on both sides are reported, unless training left them out or it was another pack."""
    train, held_out = val[:3], val[3:6]
    persons = {
        train[0][0]: "A",
        train[1][0]: "B",
        held_out[0][0]: "A",
        held_out[1][0]: "A",
        held_out[2][0]: "C",
    }
    pack = make_pack(train=train, val=held_out, persons=persons)
    training = _trained_on(pack, exclude_leaks=True)
    training["recipe"]["data"]["exclude_shared_persons"] = exclude
    text = str(evaluate(make_model(tasks=EXPRESSION, training=training), pack, out=tmp_path / "report"))
    assert ("2 of the 3 faces are of persons or clips that the model was trained on" in text) == (not exclude)
    other = make_model("other.onnx", tasks=EXPRESSION)
    assert "of persons or clips" not in str(evaluate(other, pack, out=tmp_path / "other"))


def test_a_face_without_a_label_has_an_empty_cell(make_model, make_pack, tmp_path, val) -> None:
    """In predictions.csv, it is not given the last class."""
    pack = make_pack(val=val[:3])
    opened = Pack.open(pack)
    truth = Truth(
        opened.info.classes,
        np.array([0, NO_LABEL, 1]),
        values={},
        train_counts={},
    )
    model = OnnxModel.load(make_model(tasks=EXPRESSION))
    outputs = predict_split(model, opened.split("val"), batch_size=3).outputs
    evaluation = score(outputs, truth, classes=model.info.classes)
    write_predictions(tmp_path / "p.csv", ["a", "b", "c"], outputs, truth=truth, evaluation=evaluation)
    with (tmp_path / "p.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["true"] for row in rows] == [opened.info.classes[0], "", opened.info.classes[1]]
    assert evaluation.main.protocol.n == 2


def test_an_existing_report_is_kept(make_model, make_pack, tmp_path, val) -> None:
    """Without force nothing is touched; with it the report is replaced."""
    model, pack, out = make_model(tasks=EXPRESSION), make_pack(val=val), tmp_path / "report"
    out.mkdir()
    (out / "metrics.json").write_text("{}")
    with pytest.raises(ArtifactError, match="already exists"):
        evaluate(model, pack, out=out)
    assert (out / "metrics.json").read_text() == "{}"
    evaluate(model, pack, out=out, force=True)
    assert "protocols" in _metrics(out)


def test_a_folder_that_is_not_a_report_is_never_replaced(make_model, make_pack, tmp_path, val) -> None:
    """Force replaces only reports."""
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").touch()
    with pytest.raises(ArtifactError, match="not replaced"):
        evaluate(make_model(tasks=EXPRESSION), make_pack(val=val), out=tmp_path / "holiday", force=True)
    assert (tmp_path / "holiday" / "photo.jpg").exists()


def test_missing_split(make_model, make_pack, tmp_path, val) -> None:
    """The error names the existing splits, and no folder is left behind."""
    with pytest.raises(ArtifactError, match="val"):
        evaluate(make_model(tasks=EXPRESSION), make_pack(val=val), split="test", out=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_no_class_in_common(make_model, make_pack, tmp_path, val) -> None:
    """The error names the classes of both."""
    model = make_model(tasks=EXPRESSION, classes=("cat", "dog", "cow"))
    with pytest.raises(ArtifactError, match=r"cat, dog, cow.*Neutral, Happy, Sad"):
        evaluate(model, make_pack(val=val), out=tmp_path / "report")


def test_a_diverged_model_is_rejected(make_model, make_pack, tmp_path, val) -> None:
    """NaN probabilities are an error that says what to do, not a report."""
    with pytest.raises(ModelError, match="not finite"):
        evaluate(make_model(tasks=EXPRESSION, scale=np.nan), make_pack(val=val), out=tmp_path / "report")
    assert not (tmp_path / "report").exists()
    assert not (tmp_path / "report.partial").exists()


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_faces_keep_their_order_in_any_batch(make_model, make_pack, val, batch_size) -> None:
    """Each face gets the prediction for its own color, at any batch size."""
    faces = Pack.open(make_pack(val=val)).split("val")
    outputs = predict_split(OnnxModel.load(make_model()), faces, batch_size=batch_size).outputs
    colors = ["Neutral", "Happy", "Sad"]
    assert [colors[i] for i in outputs["expression"].argmax(axis=1)] == [color for _, _, color in val]
    assert outputs["landmarks"].shape == (8, 68, 2)
    assert outputs["valence_arousal"].shape == (8, 2)


def test_batch_sizes_differ_only_by_rounding(make_model, make_pack, val) -> None:
    """Probabilities agree to float32 precision."""
    model, faces = OnnxModel.load(make_model()), Pack.open(make_pack(val=val)).split("val")
    one, all_at_once = (predict_split(model, faces, batch_size=size).outputs["expression"] for size in (1, 8))
    assert np.abs(one - all_at_once).max() < 1e-6


def test_missing_tasks_are_none(make_model, make_pack, val) -> None:
    """An expression model has neither landmarks nor affect."""
    faces = Pack.open(make_pack(val=val)).split("val")
    outputs = predict_split(OnnxModel.load(make_model(tasks=("expression",))), faces, batch_size=4).outputs
    assert list(outputs) == ["expression"]


def test_both_ends_of_the_prior(make_model, make_pack, tmp_path, val) -> None:
    """The figures of the balanced prior are those of scikit-learn on predictions.csv, divided by hand."""
    counts = [90, 9, 1]
    model = make_model(tasks=EXPRESSION, training={"pack": {"train_counts": counts}}, scale=2.0)
    summary = evaluate(model, make_pack(val=val), out=tmp_path / "report")
    rows, found = _rows(tmp_path / "report"), _metrics(tmp_path / "report")
    names = ["Neutral", "Happy", "Sad"]
    divided = np.array(
        [[float(row[f"p_{name}"]) / n for name, n in zip(names, counts, strict=True)] for row in rows]
    )
    predicted = [names[index] for index in divided.argmax(axis=1)]
    truth = [row["true"] for row in rows]
    assert predicted != [row["predicted"] for row in rows]
    balanced = found["balanced_prior"]
    scores = balanced["protocols"]["all"]
    assert scores["accuracy"] == pytest.approx(judge.accuracy_score(truth, predicted))
    assert scores["balanced_accuracy"] == pytest.approx(judge.balanced_accuracy_score(truth, predicted))
    assert scores["macro_f1"] == pytest.approx(
        judge.f1_score(truth, predicted, average="macro", zero_division=0)
    )
    assert scores["accuracy_ci95"][0] <= scores["accuracy"] <= scores["accuracy_ci95"][1]
    assert set(balanced) == {"description", "protocols", "ece"}
    assert found["protocols"]["all"]["accuracy"] == 0.75
    assert "all, balanced prior" in str(summary)
    assert 'id="balanced-prior"' in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_a_model_without_counts_has_no_balanced_prior(report) -> None:
    assert _metrics(report)["balanced_prior"] is None
    assert 'id="balanced-prior"' not in (report / "report.html").read_text("utf-8")


def test_faces_without_expression_labels_are_scored_for_the_other_tasks(
    make_model, make_pack, tmp_path, val
) -> None:
    """The report has no empty sections of the expression, and the intervals of all that it has."""
    unlabeled = [(key, "", color) for key, _, color in val]
    summary = evaluate(make_model(), make_pack(val=unlabeled), out=tmp_path / "report", flip_average=True)
    found = _metrics(tmp_path / "report")
    assert (found["protocols"], found["per_class"], found["reliability"]) == ({}, {}, [])
    nothing = ("confusion_matrix", "ece", "majority_baseline", "balanced_prior")
    assert [found[key] for key in nothing] == [None] * 4
    for dimension in ("valence", "arousal"):
        scores = found["valence_arousal"][dimension]
        for metric in ("ccc", "pearson", "rmse"):
            low, high = scores[f"{metric}_ci95"]
            assert low <= scores[metric] <= high
    assert found["landmarks"]["n"] == 8
    rows = _rows(tmp_path / "report")
    truth, predicted = (
        np.array([float(row[f"valence_{name}"]) for row in rows]) for name in ("true", "predicted")
    )
    assert found["valence_arousal"]["valence"]["pearson"] == pytest.approx(
        np.corrcoef(truth, predicted)[0, 1]
    )
    assert {row["true"] for row in rows} == {""}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for section in ("protocols", "classes", "confusion", "faces", "calibration", "mistakes"):
        assert f'id="{section}"' not in page
        assert f'href="#{section}"' not in page
    for section in ("landmarks", "valence_arousal", "flip", "model", "notes"):
        assert f'id="{section}"' in page
    text = str(summary)
    assert (
        "No face of the split has an expression label: this report is of landmarks and valence and arousal only."
        in text
    )
    assert "accuracy" not in text.replace("Checkpoint", "").split("Flip")[0]


def test_faces_without_any_label_of_the_model_are_refused(make_model, make_pack, tmp_path, val) -> None:
    """There is nothing to report, and nothing is written."""
    unlabeled = [(key, "", color) for key, _, color in val]
    with pytest.raises(ArtifactError, match="has neither"):
        evaluate(make_model(tasks=EXPRESSION), make_pack(val=unlabeled), out=tmp_path / "report")
    assert not (tmp_path / "report").exists()
