"""Models by their address on a stand-in of the Hugging Face Hub."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mien
from mien.assets.bundled_models import find_model, model_name, read_card
from mien.assets.hub import HubAddress, cached_repo, is_hub_address
from mien.errors import ArtifactError, MissingExtraError
from mien.formats.onnx_model import OnnxModel
from mien.serve.site import describe_model

CARD = b"---\nlicense: mit\nmodel-index:\n- name: x\n---\n\n# faces\n\n---\n\nA card.\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://org/name", ("org/name", None, "model.onnx")),
        ("hf://org/na.me_2@v1.0", ("org/na.me_2", "v1.0", "model.onnx")),
        ("hf://org/name@refs/pr/3", ("org/name", "refs/pr/3", "model.onnx")),
        ("hf://org/name@main/onnx/int8.onnx", ("org/name", "main", "onnx/int8.onnx")),
        ("hf://org/name/int8.onnx", ("org/name", None, "int8.onnx")),
    ],
)
def test_addresses(text: str, expected: tuple[str, str | None, str]) -> None:
    address = HubAddress.parse(text)
    assert (address.repo, address.revision, address.file) == expected
    assert HubAddress.parse(str(address)) == address
    assert is_hub_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "hf://name",
        "hf://org/",
        "hf://org/name/",
        "hf://org/name@",
        "hf://org/name/model.bin",
        "hf://org/name/../x.onnx",
        "hf://org/name//x.onnx",
        "hf://org/name/a\\b.onnx",
        "hf://-org/name",
        "hf://org/na--me",
        "hf://user@host/org/name",
        "hf://org/näme",
        "hf://org/name@a b",
        "HF://org/name",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be hf://ORG/NAME"):
        HubAddress.parse(text)
    with pytest.raises(ArtifactError):
        find_model(text)


def test_a_model_is_fetched_with_its_card(hub: Any, model_path: Path) -> None:
    old = hub.add("org/faces", {"model.onnx": b"a model of before", "README.md": b"old"})
    new = hub.add("org/faces", {"model.onnx": model_path.read_bytes(), "README.md": CARD})
    model = mien.load("hf://org/faces")
    path = find_model("hf://org/faces")
    assert path.read_bytes() == model_path.read_bytes()
    assert model.info == OnnxModel.load(model_path).info
    assert (cached_repo(path), model_name(path)) == ("org/faces", "org/faces")
    assert read_card(path) == "# faces\n\n---\n\nA card.\n"
    assert describe_model(OnnxModel.load(path))["name"] == "org/faces"
    assert find_model(f"hf://org/faces@{new}") == path
    assert find_model(f"hf://org/faces@{old}").read_bytes() == b"a model of before"
    with pytest.raises(ArtifactError, match="not a loadable ONNX model"):
        mien.load(f"hf://org/faces@{old}")
    assert {token for *_, token in hub.requests} == {""}


def test_a_model_that_was_changed_on_the_way_is_refused(hub: Any, hashed_model: Path) -> None:
    content = bytearray(hashed_model.read_bytes())
    content[len(content) // 2] ^= 1
    hub.add("org/faces", {"model.onnx": bytes(content)})
    with pytest.raises(ArtifactError, match="has changed since it was written"):
        mien.load("hf://org/faces")


def test_without_network_the_cache_is_used(hub: Any, model_path: Path) -> None:
    hub.add("org/faces", {"model.onnx": model_path.read_bytes()})
    path = find_model("hf://org/faces")
    assert read_card(path) == ""
    hub.close()
    assert find_model("hf://org/faces") == path
    with pytest.raises(
        ArtifactError, match=r"^hf://org/other is not in the cache, and the Hub cannot be reached"
    ):
        find_model("hf://org/other")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://org/none", "hf://org/none does not exist, or is private. Check the name. Run `hf auth login`"),
        ("hf://org/secret", "does not exist, or is private"),
        ("hf://org/faces@v9", "hf://org/faces@v9 has no such revision"),
        ("hf://org/faces/int8.onnx", "hf://org/faces/int8.onnx has no such file"),
    ],
)
def test_what_is_not_there(hub: Any, address: str, message: str) -> None:
    hub.add("org/faces", {"README.md": CARD})
    hub.add("org/secret", {"model.onnx": b""}, private=True)
    with pytest.raises(ArtifactError, match=message) as raised:
        find_model(address)
    assert "\n" not in str(raised.value)


def test_a_token_opens_private_and_gated_models(
    hub: Any, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/secret", {"model.onnx": model_path.read_bytes()}, private=True)
    hub.add("org/gated", {"model.onnx": model_path.read_bytes()})
    hub.is_gated = True
    with pytest.raises(ArtifactError, match="needs its authors' permission"):
        find_model("hf://org/gated")
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    assert find_model("hf://org/secret").is_file()
    assert find_model("hf://org/gated").is_file()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mien\[hub\]'"):
        mien.load("hf://org/faces")


def test_nothing_but_the_model_is_told(hub: Any, model_path: Path) -> None:
    """A process of its own, whose huggingface_hub reads the environment: no telemetry, no bars with --quiet."""
    hub.add("org/faces", {"model.onnx": model_path.read_bytes()})
    image = Path(__file__).parents[2] / "golden" / "image.png"
    command = ["-m", "mien", "predict", str(image), "--crop", "whole", "--model", "hf://org/faces", "--quiet"]
    environment = {
        **os.environ,
        "HF_HOME": str(model_path.parent / "hf-home"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    paths = {path for _, path, _ in hub.requests}
    assert paths <= {
        f"/org/faces/resolve/{one}/{name}"
        for name in ("model.onnx", "README.md")
        for one in ("main", hub.repos["org/faces"]["commits"][0][0])
    }
