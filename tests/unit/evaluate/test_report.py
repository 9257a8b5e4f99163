"""The page in Chinese."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mien.cli import main
from mien.evaluate.stage import evaluate
from mien.sample.variants import DrawnVariants

ENGLISH = re.compile(r"[A-Za-z]{2,}[ ,]+[A-Za-z]{2,}[ ,]+[a-z]{2,}")


class _Prose(HTMLParser):
    """Collects what a page shows, except code and names of faces."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.lang = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.lang = self.lang or (values.get("lang") or "")
        self.found += [values[name] or "" for name in ("alt", "aria-label") if name in values]
        if tag in ("style", "code", "pre") or values.get("class") == "path":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open:
            self.found.append(" ".join(data.split()))


def _prose(path: Path) -> _Prose:
    page = _Prose()
    page.feed(path.read_text("utf-8"))
    return page


@pytest.mark.usefixtures("real_plots")
def test_a_chinese_page_has_no_english_sentence(
    make_model: Callable[..., Path],
    make_pack: Callable[..., Path],
    tmp_path: Path,
    val: list[tuple[str, str, str]],
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
    english, chinese = (_prose(tmp_path / code / "report.html") for code in ("en", "zh"))
    assert (english.lang, chinese.lang) == ("en", "zh-CN")
    assert sum(bool(ENGLISH.search(text)) for text in english.found) > 40
    assert [text for text in chinese.found if ENGLISH.search(text)] == []
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


def test_drawn_faces_alone_in_chinese(make_model: Callable[..., Path], tmp_path: Path) -> None:
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
    page = _prose(tmp_path / "out" / "counterfactual.html")
    assert page.lang == "zh-CN"
    assert [text for text in page.found if ENGLISH.search(text)] == []
