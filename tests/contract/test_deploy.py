"""The files that run the server elsewhere: they are what their programs read, and fit this release."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mien.assets import DEFAULT_MODEL
from mien.errors import ArtifactError
from mien.formats.onnx_model import OnnxModel

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def triton() -> ModuleType:
    """Return the script that writes a model repository."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("deploy_triton", DEPLOY / "triton.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_model_folder_for_triton(triton: ModuleType, tmp_path: Path) -> None:
    folder = triton.write_repository(None, tmp_path / "repository")
    assert folder.name == DEFAULT_MODEL
    model = OnnxModel.load(folder / "1" / "model.onnx", threads=1)
    config = (folder / "config.pbtxt").read_text()
    found = dict(re.findall(r'name: "(\w+)" data_type: TYPE_FP32 dims: \[ ([\d, ]+) \]', config))
    assert found == {task: ", ".join(map(str, shape)) for task, shape in model.info.output_shapes().items()}
    assert (
        f'name: "images" data_type: TYPE_UINT8 dims: [ {model.info.input_size}, {model.info.input_size}, 3 ]'
        in config
    )
    assert (folder / "labels.txt").read_text().splitlines() == list(model.info.classes)
    with pytest.raises(ArtifactError, match="already exists"):
        triton.write_repository(None, tmp_path / "repository")
    triton.write_repository(None, tmp_path / "repository", force=True)


def test_the_container_has_no_rights_and_nowhere_to_write() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert "USER 10001:10001" in dockerfile
    assert 'ENTRYPOINT ["mien", "serve"' in dockerfile
    assert "/healthz" in dockerfile
    for name in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)[0].split():
        assert (ROOT / name).exists()
        assert f"!{name}" in (DEPLOY / "Dockerfile.dockerignore").read_text()
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["mien"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert (
        DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]
    ).resolve() == DEPLOY / "Dockerfile"
    kserve: dict[str, Any] = yaml.safe_load((DEPLOY / "kserve.yaml").read_text())
    (container,) = kserve["spec"]["predictor"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
