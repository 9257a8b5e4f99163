"""Pushing a model to a stand-in of the Hugging Face Hub, and loading what arrived."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mien
from mien.artifacts import file_sha256
from mien.assets.bundled_models import find_model
from mien.cli import main
from mien.errors import ArtifactError
from mien.push.options import PushOptions
from mien.push.stage import push

huggingface_hub = pytest.importorskip("huggingface_hub")
# Its own use of its HTTP client.
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")


@pytest.fixture
def signed_in(hub: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the stand-in, with a token that it accepts."""
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    return hub


@pytest.fixture
def make_report(hashed_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the metrics of a report of the model."""

    def make(**changes: Any) -> Path:
        scores = {
            "n": 1234,
            "n_excluded": 0,
            "accuracy": 0.61239,
            "accuracy_ci95": [0.585, 0.64],
            "balanced_accuracy": 0.5,
            "balanced_accuracy_ci95": [0.47, 0.53],
            "macro_f1": None,
            "macro_f1_ci95": None,
            "description": "Faces of 3 classes.",
        }
        metrics = {
            "model": {"sha256": file_sha256(hashed_model)},
            "pack": {"source": "squares"},
            "split": "test",
            "selection": "best accuracy of 3 epochs on a dev split of train (n = 3), epoch 2",
            "warnings": ["The model has seen 1 of these faces."],
            "protocols": {"all": scores},
            "landmarks": {"n": 0, "nme": None, "nme_ci95": None},
            "valence_arousal": {"valence": {"n": 9, "ccc": 0.7, "ccc_ci95": [0.6, 0.8]}},
            **changes,
        }
        folder = tmp_path / f"report-{len(changes)}"
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return make


def metadata_of(card: str) -> Any:
    return yaml.safe_load(card.split("---\n")[1])


def test_what_is_pushed_is_what_is_loaded(
    signed_in: Any, hashed_model: Path, make_report: Callable[..., Path]
) -> None:
    done = push(hashed_model, "hf://org/faces", PushOptions(reports=(make_report(),)))
    assert signed_in.repos["org/faces"]["private"]
    (_, files) = signed_in.repos["org/faces"]["commits"][-1]
    assert files["model.onnx"] == hashed_model.read_bytes()
    address = done.split("'")[1]
    assert address.startswith("hf://org/faces@")
    square = np.full((64, 64, 3), (0, 255, 0), np.uint8)
    assert mien.load(address).predict(square, cropped=True)[0].expression == "Happy"

    card = files["README.md"].decode()
    data = huggingface_hub.ModelCard(card).data
    fields = data.to_dict()
    assert [fields[name] for name in ("license", "library_name", "pipeline_tag")] == [
        "cc-by-4.0",
        "mien",
        "image-classification",
    ]
    results = {(one.metric_type, one.dataset_type, one.dataset_split): one for one in data.eval_results}
    assert set(results) == {("accuracy", "squares", "test"), ("balanced_accuracy", "squares", "test")}
    accuracy = results["accuracy", "squares", "test"]
    assert accuracy.metric_value == 0.6124
    assert accuracy.metric_name == "Accuracy (n = 1,234, 95% CI 0.585 to 0.640; see the warning in the card)"
    for text in (
        "Classes: Neutral, Happy, Sad.",
        "| `all`: Faces of 3 classes. | 1,234 | 61.2% [58.5, 64.0] | 50.0% [47.0, 53.0] |  |",
        "Checkpoint: best accuracy of 3 epochs on a dev split of train (n = 3), epoch 2.",
        "**Warning:** The model has seen 1 of these faces.",
        "CCC of valence: 0.700 [0.600, 0.800], n = 9.",
        "research only [squares]",
        "Neutral 1, Happy 2, Sad 3",
        "Article 50",
        file_sha256(hashed_model),
        'mien.load("hf://org/faces")',
    ):
        assert text in card


def test_a_report_without_a_warning_has_no_note(
    hub: Any, hashed_model: Path, make_report: Callable[..., Path], tmp_path: Path
) -> None:
    push(
        hashed_model,
        "hf://org/faces",
        PushOptions(reports=(make_report(warnings=[]),), preview=tmp_path / "preview"),
    )
    data = huggingface_hub.ModelCard((tmp_path / "preview" / "README.md").read_text("utf-8")).data
    assert data.eval_results[0].metric_name == "Accuracy (n = 1,234, 95% CI 0.585 to 0.640)"


def test_a_card_in_chinese(
    hub: Any, hashed_model: Path, make_report: Callable[..., Path], tmp_path: Path
) -> None:
    words = ["push", str(hashed_model), "hf://org/faces", "--report", str(make_report()), "--language", "zh"]
    assert main([*words, "--preview", str(tmp_path / "preview")]) == 0
    card = (tmp_path / "preview" / "README.md").read_text("utf-8")
    assert metadata_of(card)["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.6124
    for text in (
        "类别：中性 Neutral、高兴 Happy、悲伤 Sad。",
        "| `all`: Faces of 3 classes. | 1,234 | 61.2% [58.5, 64.0] | 50.0% [47.0, 53.0] |  |",
        "检查点：在训练集划出的 dev 子集（n = 3）上，按 accuracy 从 3 个 epoch 中选出第 2 个。",
        "**注意：**The model has seen 1 of these faces.",
        "效价的 CCC：0.700 [0.600, 0.800]，n = 9。",
        "各类别：中性 Neutral 1、高兴 Happy 2、悲伤 Sad 3。",
        "research only [squares]",
        "第 50 条",
        file_sha256(hashed_model),
        'mien.load("hf://org/faces")',
    ):
        assert text in card


def test_a_repository_is_not_overwritten_unasked(signed_in: Any, hashed_model: Path) -> None:
    signed_in.add("org/faces", {".gitattributes": b"", "notes.txt": b"mine"})
    push(hashed_model, "hf://org/faces")
    with pytest.raises(ArtifactError, match=r"holds README\.md and model\.onnx already: `--force`"):
        push(hashed_model, "hf://org/faces")
    assert len(signed_in.repos["org/faces"]["commits"]) == 2
    push(hashed_model, "hf://org/faces", PushOptions(force=True, public=True))
    (_, files) = signed_in.repos["org/faces"]["commits"][-1]
    assert files["notes.txt"] == b"mine"


def test_public_is_asked_for(signed_in: Any, hashed_model: Path) -> None:
    push(hashed_model, "hf://org/open", PushOptions(public=True))
    assert not signed_in.repos["org/open"]["private"]


def test_a_card_of_your_own_is_kept(signed_in: Any, hashed_model: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(hashed_model.read_bytes())
    own.with_suffix(".md").write_text("---\nlicense: mit\n---\n\n# Mine\n\nWritten by hand.\n")
    push(own, "hf://org/faces")
    card = signed_in.repos["org/faces"]["commits"][-1][1]["README.md"].decode()
    assert "Written by hand." in card
    assert "Classes:" not in card
    assert metadata_of(card)["license"] == "cc-by-4.0"
    assert "model-index" not in metadata_of(card)


def test_a_preview_sends_nothing(
    hub: Any, hashed_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "preview"
    assert main(["push", str(hashed_model), "hf://org/faces", "--preview", str(out)]) == 0
    assert "nothing was sent" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "model.onnx"]
    assert hub.requests == []
    assert main(["push", str(hashed_model), "hf://org/faces", "--preview", str(out)]) == 1
    assert main(["push", str(hashed_model), "hf://org/faces", "--preview", str(out), "--force"]) == 0


def test_without_a_token(hub: Any, hashed_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(hashed_model), "hf://org/faces"]) == 1
    assert "hf://org/faces needs a token. Run `hf auth login`, or set HF_TOKEN" in capsys.readouterr().err
    assert hub.requests == []


@pytest.mark.parametrize(
    ("token", "address", "message"),
    [
        ("hf_" + "b" * 34, "hf://org/faces", "The token must be allowed to do this"),
        ("", "hf://others/faces", "403 .* The token must be allowed to do this"),
    ],
)
def test_a_token_that_is_not_allowed(
    token: str, address: str, message: str, hub: Any, hashed_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token or hub.TOKEN)
    with pytest.raises(ArtifactError, match=message) as raised:
        push(hashed_model, address)
    assert "\n" not in str(raised.value)


def test_without_network(signed_in: Any, hashed_model: Path) -> None:
    signed_in.close()
    with pytest.raises(ArtifactError, match=r"cannot be used for hf://org/faces: .*Check the network"):
        push(hashed_model, "hf://org/faces")


def test_what_should_not_be_pushed(
    signed_in: Any, hashed_model: Path, model_path: Path, make_report: Callable[..., Path], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    from mien.formats.model_file import HASH_KEY, ZEROS, with_hash
    from mien.formats.onnx_model import METADATA_KEY

    bare = onnx.load(model_path)
    metadata = {entry.key: entry.value for entry in bare.metadata_props}
    onnx.helper.set_model_props(bare, {METADATA_KEY: metadata[METADATA_KEY], HASH_KEY: ZEROS.decode()})
    (tmp_path / "bare.onnx").write_bytes(with_hash(bare.SerializeToString()))
    other = make_report(model={"sha256": "0" * 64})
    damaged = make_report(protocols={"all": {"n": 1}}, split="val")
    for model, address, reports, message in (
        (model_path, "hf://org/faces", (), "has no hash"),
        (tmp_path / "bare.onnx", "hf://org/faces", (), "states no license.*--license"),
        (hashed_model, "org/faces", (), "The target must be hf://ORG/NAME"),
        (hashed_model, "hf://org/faces/other.onnx", (), r"is uploaded as model\.onnx"),
        (hashed_model, "hf://org/faces", (other,), "is a report on another model file"),
        (hashed_model, "hf://org/faces", (damaged,), "lacks a metric"),
        (hashed_model, "hf://org/faces", (tmp_path / "none",), "none does not exist"),
    ):
        with pytest.raises(ArtifactError, match=message):
            push(model, address, PushOptions(reports=reports))
    assert signed_in.requests == []


def test_a_commit_in_between_is_not_overwritten(
    signed_in: Any, hashed_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in.add("org/faces", {".gitattributes": b""})
    create = huggingface_hub.HfApi.create_commit

    def commit_later(self: Any, *args: Any, **options: Any) -> Any:
        signed_in.add("org/faces", {"model.onnx": b"somebody else's"})
        return create(self, *args, **options)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", commit_later)
    with pytest.raises(ArtifactError, match="412"):
        push(hashed_model, "hf://org/faces")
    assert find_model("hf://org/faces").read_bytes() == b"somebody else's"
