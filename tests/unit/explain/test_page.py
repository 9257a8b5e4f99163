"""The page in Chinese."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mien.artifacts import file_sha256
from mien.cli import main
from mien.explain import stage
from mien.explain.options import ExplainOptions
from mien.explain.stage import explain


def test_a_chinese_page_has_no_english_sentence(
    make_training_pack: Callable[..., Path],
    model_path: Path,
    make_image: Callable[..., Path],
    detector: object,
    *,
    tmp_path: Path,
    monkeypatch: Any,
    read_page: Callable[[Path], Any],
) -> None:
    """With everything that a page can have; explain.json and the terminal stay in English."""
    monkeypatch.setattr(stage, "load_detector", lambda _path: detector)
    monkeypatch.setattr(stage, "MAX_FACES", 4)
    pack = make_training_pack(tmp_path / "my.pack", n_train=12, n_val=3, n_missing=0)
    images = [make_image("two.png", ("Happy", 10, 20, 60), ("Sad", 110, 20, 40)), make_image("none.png")]
    (tmp_path / "report").mkdir()
    metrics = {
        "model": {"sha256": file_sha256(model_path), "file": "m.onnx"}, "pack": {"folder": "p"}, "split": "val",
        "confusion_matrix": {"labels": ["Neutral", "Happy", "Sad"], "counts": [[5, 1, 0], [0, 8, 0], [0, 3, 0]]},
    }  # fmt: skip
    (tmp_path / "report" / "metrics.json").write_text(json.dumps(metrics))
    keys = ("val/0.jpg", "val/1.jpg", "val/2.jpg")
    summaries = {
        code: explain(
            images,
            model_path,
            out=tmp_path / code,
            pack=pack,
            options=ExplainOptions(keys=keys, report=tmp_path / "report", neighbors=2, language=code),
            open_gradients=lambda _: lambda *_: np.ones((32, 32), np.float32),
        )
        for code in ("en", "zh")
    }
    assert len({(tmp_path / code / "explain.json").read_bytes() for code in summaries}) == 1
    assert summaries["en"].lines == summaries["zh"].lines
    english, chinese = (read_page(tmp_path / code / "explain.html") for code in ("en", "zh"))
    assert (english.lang, chinese.lang) == ("en", "zh-CN")
    assert len(english.english()) > 20
    assert chinese.english() == []
    for text in (
        "高兴 Happy",
        "标签：中性 Neutral",
        "共 5 张人脸，这里显示前 4 张",
        "8 张（67%）的标签是“高兴 Happy”、3 张（25%）的标签是“悲伤 Sad”、1 张（8%）的标签是“中性 Neutral”。",
        "在 p（划分 val） 上，该模型没有把任何人脸预测为“悲伤 Sad”。",
        "标签为“中性 Neutral”的 6 张人脸中，有 5 张像这张一样被预测为“中性 Neutral”。",
        "未能解释",
    ):
        assert any(text in one for one in chinese.found), text


def test_the_command_takes_the_language(
    make_image: Callable[..., Path], model_path: Path, tmp_path: Path, read_page: Callable[[Path], Any]
) -> None:
    words = ["explain", str(make_image("a.png")), "--model", str(model_path), "--crop", "whole"]
    assert main([*words, "--out", str(tmp_path / "zh"), "--language", "zh"]) == 0
    page = read_page(tmp_path / "zh" / "explain.html")
    assert (page.lang, page.english()) == ("zh-CN", [])
