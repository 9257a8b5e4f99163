"""An audit finds the one wrong label, and what a person decides about it goes back into the pack."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.audit.contradictions import (
    find_affect_contradictions,
    find_duplicate_disagreements,
    find_landmark_misfits,
)
from mien.audit.findings import REASONS
from mien.audit.predictions import HeldOutPredictions
from mien.audit.stage import AuditSummary, audit, describe, judge
from mien.cli import main
from mien.errors import ArtifactError, DatasetError
from mien.formats.pack import Pack
from mien.formats.pack.selection import FaceSelection
from mien.runtime.language import Language

WRONG = 'train/Sad/odd, "x".png'
N_TRAIN, N_VAL = 25, 6


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, pack: Pack, model_path: Path) -> AuditSummary:
    """The pack audited by the model of colors. Do not write into it."""
    return audit(pack.path, out=tmp_path_factory.mktemp("audits") / "audit", model=str(model_path))


def page_data(audited: AuditSummary) -> dict:
    """The data of the review page."""
    page = (audited.out / "review.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_wrong_label_is_the_only_finding(audited: AuditSummary, pack: Pack) -> None:
    """The green face labeled Sad is found, with its place in the source's list."""
    table = pd.read_csv(audited.out / "findings.csv")
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["key"], row["split"], row["labeled"], row["suggested"]) == (WRONG, "train", "Sad", "Happy")
    train = pack.split("train")
    assert row["row"] == train.row_numbers[train.keys.index(WRONG)]
    assert row["reasons"] == "prediction"
    assert row["p_suggested"] > 0.9
    assert row["p_labeled"] < 0.1
    record = json.loads((audited.out / "audit.json").read_text())
    assert (record["n_faces"], record["n_judged"], record["n_suspect"]) == (
        N_TRAIN + N_VAL,
        N_TRAIN + N_VAL,
        1,
    )
    assert record["estimated_noise_by_class"]["Happy"] == pytest.approx(0)
    assert record["estimated_noise_by_class"]["Sad"] == pytest.approx(1 / 11)
    assert "1 label is suspect" in str(audited)


def test_no_finding_is_said_without_an_empty_table(audited: AuditSummary) -> None:
    """Nothing is left to review."""
    record = audited.record | {"n_suspect": 0, "n_shown": 0, "reasons": {}, "pairs": []}
    text = str(replace(audited, record=record, findings=()))
    assert "0 labels are suspect" in text
    assert "nothing to review" in text
    assert "\nreason " in str(audited)
    assert "\nreason " not in text


@pytest.mark.parametrize("decision", ["Happy", "drop"])
def test_corrections_go_back_into_the_pack(
    decision: str,
    audited: AuditSummary,
    pack: Pack,
    prepare_raw: Callable[..., Pack],
    model_path: Path,
    tmp_path: Path,
) -> None:
    """Audit -> corrections.csv -> prepare --corrections: the label is replaced or the face dropped, and no doubt is left."""
    shown = page_data(audited)["findings"][0]
    path = tmp_path / "corrections.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "label", "split", "row", "why"])
        writer.writerow([shown["key"], decision, shown["split"], shown["row"], "; ".join(shown["details"])])
    corrected = prepare_raw(tmp_path / "corrected.pack", path)
    train = corrected.split("train")
    before = pack.split("train")
    labels = {key: corrected.info.classes[label] for key, label in zip(train.keys, train.labels, strict=True)}
    expected = {key: pack.info.classes[label] for key, label in zip(before.keys, before.labels, strict=True)}
    assert expected.pop(WRONG) == "Sad"
    assert labels == expected | ({WRONG: decision} if decision != "drop" else {})
    again = audit(corrected.path, out=tmp_path / "again", model=str(model_path))
    assert not again.findings
    assert "file of 1 corrections" in str(again)


def test_findings_are_not_taken_for_corrections(
    audited: AuditSummary, prepare_raw: Callable[..., Pack], tmp_path: Path
) -> None:
    """findings.csv has no column that `prepare` would read as the right label."""
    with pytest.raises(DatasetError, match="label"):
        prepare_raw(tmp_path / "p", audited.out / "findings.csv")


def test_label_studio_has_the_face_and_its_export_is_a_file_of_corrections(
    audited: AuditSummary, prepare_raw: Callable[..., Pack], tmp_path: Path
) -> None:
    """A task has the crop and a suggestion; its data and the choice, as columns, are what `prepare` reads."""
    (task,) = json.loads((audited.out / "label_studio.json").read_text())
    assert task["data"]["image"].startswith("data:image/jpeg;base64,")
    (result,) = task["predictions"][0]["result"]
    interface = ET.parse(audited.out / "label_studio.xml").getroot()  # noqa: S314 - written above
    choices = interface.find("Choices")
    assert choices is not None
    assert (choices.get("name"), choices.get("toName")) == (result["from_name"], result["to_name"])
    names = [choice.get("value") for choice in choices]
    assert result["value"]["choices"] == ["Happy"]
    assert names == ["Neutral", "Happy", "Sad", "drop"]
    exported = pd.DataFrame([task["data"] | {"label": names[1], "annotator": 1, "id": 7}])
    exported.to_csv(tmp_path / "export.csv", index=False)
    train = prepare_raw(tmp_path / "p", tmp_path / "export.csv").split("train")
    assert train.pack.info.classes[train.labels[train.keys.index(WRONG)]] == "Happy"


def test_the_page_is_self_contained(audited: AuditSummary) -> None:
    """It has the images in itself and names no other host; data cannot end its script."""
    page = (audited.out / "review.html").read_text()
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)
    assert "http://" not in page
    assert "https://" not in page
    data = page_data(audited)
    script = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert script is not None
    assert not set("<>&") & set(script[1])
    assert data["classes"] == ["Neutral", "Happy", "Sad"]
    assert data["findings"][0]["image"].startswith("data:image/jpeg;base64,")


def test_folds_judge_the_training_faces(write_folds: Callable[..., Path], pack: Pack, tmp_path: Path) -> None:
    """Every training face is judged by the network that held it out, and no other face."""
    found = audit(pack.path, out=tmp_path / "audit", folds=write_folds(tmp_path / "folds"))
    assert [one.key for one in found.findings] == [WRONG]
    assert found.record["splits"] == ["train"]
    assert found.record["n_judged"] == N_TRAIN
    assert found.record["predictions"]["kind"] == "folds"


def test_a_run_judges_its_dev_split(write_run: Callable[..., Path], pack: Pack, tmp_path: Path) -> None:
    """Only the faces that it held out are judged; weights that it started from are warned of."""
    train = pack.split("train")
    rows = np.array([*range(0, N_TRAIN, 3), train.keys.index(WRONG)])
    rows = np.unique(rows)
    recipe = {"model": {"weights": "other.safetensors"}}
    found = audit(pack.path, out=tmp_path / "audit", dev_run=write_run(tmp_path / "run", rows, recipe=recipe))
    assert found.record["n_judged"] == len(rows)
    assert [one.key for one in found.findings] == [WRONG]
    assert any("model.weights: other.safetensors" in warning for warning in found.record["warnings"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda path: (path / "summary.json").unlink(), "has not finished", id="unfinished"),
        pytest.param(
            lambda path: (path / "runs.json").write_text(json.dumps({"kind": "sweep"})),
            "runs of a sweep",
            id="sweep",
        ),
        pytest.param(lambda path: (path / "summary.json").write_text("{}"), "damaged", id="damaged"),
        pytest.param(
            lambda path: (path / "fold-1" / "dev.npz").write_bytes(b"x"), "has changed|hash", id="changed"
        ),
    ],
)
def test_unusable_folds_are_refused(
    change: Callable[[Path], object],
    message: str,
    write_folds: Callable[..., Path],
    pack: Pack,
    tmp_path: Path,
) -> None:
    """Unfinished, of another kind, damaged, or changed since: one line each, and nothing is written."""
    folds = write_folds(tmp_path / "folds")
    change(folds)
    with pytest.raises(ArtifactError, match=message):
        audit(pack.path, out=tmp_path / "audit", folds=folds)
    assert not (tmp_path / "audit").exists()


def test_folds_of_another_pack_are_refused(
    write_folds: Callable[..., Path], training_pack: Path, tmp_path: Path
) -> None:
    """Predictions are matched with faces by the pack's content."""
    with pytest.raises(ArtifactError, match="trained on another pack"):
        audit(training_pack, out=tmp_path / "audit", folds=write_folds(tmp_path / "folds"))


def test_a_model_that_learned_the_labels_is_refused(
    write_model: Callable[..., Path], pack: Pack, tmp_path: Path
) -> None:
    """A file that says it was trained on the pack cannot judge its training labels, but those of other splits."""
    trained_on = {"pack": {"members": [pack.info.content_sha256], "source": "folder"}}
    model = str(write_model(training=trained_on | {"recipe": {"data": {"exclude_leaks": True}}}))
    with pytest.raises(ArtifactError, match=r"has learned these labels.*--split val.*--folds"):
        audit(pack.path, out=tmp_path / "audit", model=model)
    found = audit(pack.path, out=tmp_path / "audit", model=model, split="val")
    assert found.record["n_judged"] == N_VAL


@pytest.mark.parametrize(
    ("training", "warning"),
    [
        (
            {"pack": {"members": ["0" * 64], "source": "affectnet + folder"}},
            "another pack of the same kind of set (folder)",
        ),
        ({}, "does not say what the model was trained on"),
    ],
)
def test_a_model_that_may_have_learned_the_labels_is_warned_of(
    training: dict, warning: str, write_model: Callable[..., Path], pack: Pack, tmp_path: Path
) -> None:
    """The warning is printed, recorded, and on the page."""
    found = audit(pack.path, out=tmp_path / "audit", model=str(write_model(training=training)))
    assert warning in str(found)
    assert any(warning in one for one in found.record["warnings"])
    assert warning in (tmp_path / "audit" / "review.html").read_text()


def test_a_chinese_page_has_no_english_sentence(
    write_model: Callable[..., Path],
    prepare_raw: Callable[..., Pack],
    tmp_path: Path,
    read_page: Callable[[Path], Any],
) -> None:
    """What it shows at first and what it fills in; the files for programs are the same."""
    (tmp_path / "fixes.csv").write_text("key,label\ntrain/Sad/0.png,Happy\n")
    corrected = prepare_raw(tmp_path / "pack", tmp_path / "fixes.csv")
    model = str(write_model(training={}))
    found = {
        code: audit(corrected.path, out=tmp_path / code, model=model, language=code) for code in ("en", "zh")
    }
    assert str(found["zh"]) == str(found["en"]).replace(str(tmp_path / "en"), str(tmp_path / "zh"))
    for name in ("findings.csv", "audit.json", "label_studio.json"):
        assert (tmp_path / "en" / name).read_bytes() == (tmp_path / "zh" / name).read_bytes()
    english, chinese = (read_page(tmp_path / code / "review.html") for code in ("en", "zh"))
    assert (english.lang, chinese.lang) == ("en", "zh-CN")
    assert len(english.english()) > 10
    assert chinese.english() == []
    assert any("其中 31 个由模型 other.onnx 判断，与预测一致的占 93.5%" in text for text in chinese.found)
    data = {code: page_data(found[code]) for code in found}
    assert data["zh"]["names"]["Happy"] == "高兴 Happy"
    assert data["zh"]["reasons"]["prediction"] == "被预测为其他类别（置信学习）"
    assert {one["sentences"][0] for one in data["zh"]["findings"]} >= {"看起来像“高兴 Happy”（1.00）"}
    assert [one["details"] for one in data["zh"]["findings"]] == [
        one["sentences"] for one in data["en"]["findings"]
    ]
    texts = re.search(r'id="texts">(.*?)</script>', (tmp_path / "zh" / "review.html").read_text(), re.DOTALL)
    assert texts is not None
    assert json.loads(texts[1])["count"] == "共 {n} 张，已处理 {decided} 张，其中 {changed} 张需要修正"


def test_every_warning_and_detail_has_its_chinese(pack: Pack) -> None:
    """Those that the page of the other test does not have."""
    chinese = Language.load("zh")
    names = ["Happy", "Neutral", "Anger", "Sad"]
    affect = find_affect_contradictions(names, np.array([[-0.9, 0], [0.9, 0.9], [-0.5, -0.5], [np.nan] * 2]))
    points = np.full((68, 2), 0.5)
    misfits = find_landmark_misfits(np.stack([points, points + 9]), None)
    fine = np.linspace(0.2, 0.8, 68)[:, None] * (1, 1)
    misfits[2] = find_landmark_misfits(fine[None], fine[None] + 1)[0]
    details = [
        *affect.values(),
        *misfits.values(),
        *find_duplicate_disagreements(names[:2], np.zeros(2)).values(),
    ]
    split = pack.split("train")
    faces = FaceSelection((split,), np.zeros(N_TRAIN, np.int64), np.arange(N_TRAIN), split.labels)
    warnings = []
    for probabilities in (
        np.tile([0.5, 0.3, 0.2], (N_TRAIN, 1)),
        np.eye(3)[split.labels * (np.arange(N_TRAIN) % 2)],
    ):
        predictions = HeldOutPredictions(pack.info.classes, probabilities, None, "", {})
        warnings += describe(pack, faces, predictions, judge(faces, pack, predictions), [])["warnings"]
    assert [text.split()[0] for text in warnings] == ["The", "36%"]
    shown = [chinese.text(text) for text in [*details, *REASONS.values(), *warnings]]
    assert shown[:3] == [
        "效价 -0.90，而“高兴 Happy”的效价应为正",
        "效价 0.90、唤醒度 0.90，离中性太远",
        "唤醒度 -0.50，而“愤怒 Anger”的唤醒度应为正",
    ]
    assert [text for text in shown if re.search("[a-z]{4} [a-z]{2}", text)] == []


def test_only_common_classes_are_judged(pack: Pack) -> None:
    """A label that the model does not know is left alone, a class that the pack lacks is not suggested."""
    split = pack.split("train")
    faces = FaceSelection((split,), np.zeros(N_TRAIN, np.int64), np.arange(N_TRAIN), split.labels)
    probabilities = np.tile([0.5, 0.3, 0.2], (N_TRAIN, 1))
    predictions = HeldOutPredictions(("Anger", "Happy", "Sad"), probabilities, None, "", {})
    judgment = judge(faces, pack, predictions)
    assert judgment.classes == ("Happy", "Sad")
    assert {pack.info.classes[label] for label in split.labels[judgment.faces]} == {"Happy", "Sad"}
    np.testing.assert_allclose(judgment.probabilities, np.tile([0.6, 0.4], (len(judgment.faces), 1)))
    with pytest.raises(
        ArtifactError, match="two or more classes that the pack and the model have in common, they have Sad"
    ):
        judge(faces, pack, replace(predictions, classes=("Anger", "Fear", "Sad")))


def test_the_command_prints_what_to_do_next(
    pack: Pack, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Summary, findings, the page, and the command that applies the corrections; a second time it refuses."""
    words = ["audit", str(pack.path), "--model", str(model_path), "--out", str(tmp_path / "a"), "--quiet"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "--corrections corrections.csv" in printed
    assert str(tmp_path / "a" / "review.html") in printed
    assert main(words) == 1
    assert main([*words, "--force", "--shown", "1"]) == 0


def test_one_source_of_predictions(pack: Pack, capsys: pytest.CaptureFixture[str]) -> None:
    """Two are a usage error."""
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(pack.path), "--out", "a", "--folds", "f", "--model", "m"])
    assert ended.value.code == 2
    assert "exclude each other" in capsys.readouterr().err


def test_findings_are_csv_that_pandas_reads(audited: AuditSummary) -> None:
    """Keys with commas and quotes are cells like any other."""
    text = (audited.out / "findings.csv").read_text()
    assert pd.read_csv(io.StringIO(text))["key"].tolist() == [WRONG]
