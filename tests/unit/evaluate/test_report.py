"""The page in Chinese."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.cli import main
from mien.evaluate.stage import evaluate
from mien.sample.variants import DrawnVariants


@pytest.mark.usefixtures("real_plots")
def test_a_chinese_page_has_no_english_sentence(
    make_model: Callable[..., Path],
    make_pack: Callable[..., Path],
    tmp_path: Path,
    val: list[tuple[str, str, str]],
    read_page: Callable[[Path], Any],
) -> None:
    training = {
        "selection": "best accuracy of 1 epoch on a dev split of train (n = 9), epoch 1",
        "pack": {"train_counts": [5, 3, 2]},
    }
    persons = {key: str(number % 2) for number, (key, _, _) in enumerate(val)}
    evaluation = {"groups": ("person",), "min_group": 2, "flip_average": True, "drawn": DrawnVariants(1)}
    model, pack = make_model(training=training), make_pack(train=val[:2], val=val, persons=persons)
    metrics = {}
    for code in ("en", "zh"):
        evaluate(model, pack, out=tmp_path / code, language=code, **evaluation)
        metrics[code] = [
            (tmp_path / code / name).read_text("utf-8") for name in ("metrics.json", "predictions.csv")
        ]
    assert metrics["en"] == metrics["zh"]
    english, chinese = (read_page(tmp_path / code / "report.html") for code in ("en", "zh"))
    assert (english.lang, chinese.lang) == ("en", "zh-CN")
    assert len(english.english()) > 40
    assert chinese.english() == []
    for text in (
        "高兴 Happy",
        "平衡准确率",
        "预测为中性 Neutral",
        "1 个 epoch 中选出第 1 个",
        "绘制的人脸",
        "置信度（最高概率）",
    ):
        assert any(text in one for one in chinese.found), text
    ids = [
        re.findall(r' id="([^"]+)"', (tmp_path / code / "report.html").read_text("utf-8"))
        for code in ("en", "zh")
    ]
    assert ids[0] == ids[1]


def test_drawn_faces_alone_in_chinese(
    make_model: Callable[..., Path], tmp_path: Path, read_page: Callable[[Path], Any]
) -> None:
    arguments = [
        "--model",
        str(make_model()),
        "--counterfactual",
        "--drawn",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["evaluate", *arguments, "--language", "zh"]) == 0
    page = read_page(tmp_path / "out" / "counterfactual.html")
    assert page.lang == "zh-CN"
    assert page.english() == []
