"""What a run starts from: runs, model files and files of weights from any library."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import timm
import torch
from safetensors.torch import load_file, save_file

from mien.errors import ArtifactError, ModelError
from mien.faces.action_units import KINDS, ActionUnits
from mien.faces.crop import CropContract
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.nets.network import FaceNetwork
from mien.recipe import Recipe
from mien.tasks import NO_ANNOTATIONS, Annotations
from mien.train import starting_weights, weights
from mien.train.dataset import LabeledFaces, read_training_faces
from mien.train.starting_weights import LoadedWeights

CLASSES = ("Neutral", "Happy", "Sad")
Load = Callable[..., tuple[FaceNetwork, LoadedWeights]]


@pytest.fixture(scope="module")
def faces(training_pack: Path, tiny_recipe: Recipe) -> LabeledFaces:
    return read_training_faces([Pack.open(training_pack)], tiny_recipe.data).train


@pytest.fixture
def load(tiny_recipe: Recipe, faces: LabeledFaces) -> Load:
    """Builds the tiny recipe's network, and loads weights into it."""

    def load(
        path: Path | str,
        classes: tuple[str, ...] = CLASSES,
        backbone: str = "mobilenetv3_small_050",
        annotations: Annotations = NO_ANNOTATIONS,
    ) -> tuple[FaceNetwork, LoadedWeights]:
        model = replace(
            tiny_recipe.model, backbone=backbone, weights=str(path), action_units=bool(annotations)
        )
        recipe = replace(tiny_recipe, model=model)
        network = weights.build_network(recipe, classes, annotations, random_weights=True)
        return network, starting_weights.load_weights(network, recipe, classes, faces, annotations)

    return load


def test_a_file_does_not_say_which_class_is_which(trained_run: Path, load: Load) -> None:
    """From the weights alone, the backbone and the other heads are loaded, and the expression head stays."""
    stored = load_file(trained_run / "checkpoints" / "best.safetensors")
    network, loaded = load(trained_run / "checkpoints" / "best.safetensors")
    own = network.state_dict()
    different = {name for name, value in stored.items() if not torch.equal(own[name], value)}
    assert different == {"expression_head.weight", "expression_head.bias"}
    assert loaded.heads == ("landmark_head", "affect_head")
    assert "expression_head.weight" in loaded.unused


def test_a_head_of_other_action_units(tiny_recipe: Recipe, load: Load, tmp_path: Path) -> None:
    """A head for as many other units, or of the other kind, starts from scratch."""
    units = {kind: ActionUnits(("AU06", "AU12"), kind) for kind in KINDS}
    annotations = {"action_units": units["presence"]}
    run = Run(
        tmp_path / "run", CLASSES, CropContract(size=40), asdict(tiny_recipe), {"source": "x"}, annotations=annotations
    )  # fmt: skip
    (run.path / "checkpoints").mkdir(parents=True)
    (run.path / "run.json").write_text(json.dumps(run.to_dict()))
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, action_units=True))
    earlier = weights.build_network(recipe, CLASSES, annotations).state_dict()
    earlier["action_unit_head.bias"] += 3
    save_file({name: value.contiguous() for name, value in earlier.items()}, run.best_weights_path)
    others = ActionUnits(("AU01", "AU02"), "presence")
    for own, is_taken in ((units["presence"], True), (units["intensity"], False), (others, False)):
        network, loaded = load(run.path, annotations={"action_units": own})
        state = network.state_dict()
        assert torch.equal(state["action_unit_head.bias"], earlier["action_unit_head.bias"]) == is_taken
        assert torch.equal(state["affect_head.weight"], earlier["affect_head.weight"])
        assert ("action_unit_head" in loaded.heads) == is_taken
    # The weights alone do not say which units the head has.
    _, loaded = load(run.best_weights_path, annotations=annotations)
    assert loaded.heads == ("landmark_head", "affect_head")
    earlier["affect_head.bias"][0] = float("nan")
    save_file({name: value.contiguous() for name, value in earlier.items()}, tmp_path / "nan.safetensors")
    with pytest.raises(ModelError, match=r"NaN or infinite values in affect_head\.bias"):
        load(tmp_path / "nan.safetensors", annotations=annotations)


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[::-1], ("Bored", "Sad", "Tired", "Happy")])
def test_classes_are_matched_by_name(trained_run: Path, load: Load, classes: tuple[str, ...]) -> None:
    """In any order and among others; a class that the run did not know starts from scratch."""
    stored = load_file(Run.open(trained_run).best_weights_path)
    network, loaded = load(trained_run, classes)
    before, _ = load(trained_run / "checkpoints" / "best.safetensors", classes)
    for row, name in enumerate(classes):
        source = stored["expression_head.weight"][CLASSES.index(name)] if name in CLASSES else None
        expected = before.expression_head.weight[row] if source is None else source
        assert torch.equal(network.expression_head.weight[row], expected)
    assert loaded.new_classes == tuple(name for name in classes if name not in CLASSES)
    assert ("expressions from scratch: Bored, Tired" in str(loaded)) == ("Bored" in classes)


WRAPPINGS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "bare": lambda state: state,
    "timm": lambda state: {
        "epoch": 3,
        "arch": "mobilenetv3_small_050",
        "args": __import__("argparse").Namespace(lr=0.1),
        "metric": np.float64(0.7),
        "state_dict": {name: 0 * value for name, value in state.items()},
        "state_dict_ema": state,
    },
    "data parallel": lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "mmpretrain": lambda state: {
        "meta": {"epoch": 3},
        "state_dict": {f"backbone.{name}": value for name, value in state.items()}
        | {"head.fc.bias": torch.zeros(8)},
    },
    "a checkpoint of mien's, whose moving average counts": lambda state: {
        "state_dict": {f"network.backbone.{name}": 0 * value for name, value in state.items()}
        | {f"average.module.backbone.{name}": value for name, value in state.items()}
        | {"network.head.fc.bias": torch.zeros(8)},
    },
    "several": lambda state: {
        "net": {f"module.model.encoder.{name}": value for name, value in state.items()},
        "rng": torch.zeros(8),
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_usual_wrappings(load: Load, tmp_path: Path, wrapping: str) -> None:
    """The same weights arrive, whatever a training script wraps around them."""
    torch.manual_seed(5)
    state = timm.create_model("mobilenetv3_small_050", num_classes=8).state_dict()
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "w.pth")
    network, loaded = load(tmp_path / "w.pth")
    own = network.backbone.state_dict()
    assert all(torch.equal(own[name], state[name]) for name in own)
    assert loaded.fit.n_matched == loaded.fit.n_total
    assert not loaded.fit.by_order
    assert any("classifier" in name or "head" in name for name in loaded.unused)


def test_another_librarys_names(load: Load, tmp_path: Path) -> None:
    """Torchvision's EfficientNet-B0 computes the same features under timm's names."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(5)
    theirs = torchvision.models.efficientnet_b0(weights=None)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    torch.save(theirs.state_dict(), tmp_path / "tv.pth")
    network, loaded = load(tmp_path / "tv.pth", backbone="efficientnet_b0")
    assert loaded.fit.by_order
    assert loaded.fit.n_matched == loaded.fit.n_total == 309
    assert loaded.unused == ("classifier.1.weight", "classifier.1.bias")
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        features = theirs.eval().avgpool(theirs.features(images)).flatten(1)
        torch.testing.assert_close(network.backbone.eval()(images), features, rtol=1e-4, atol=1e-5)


def test_part_of_a_backbone(load: Load, tmp_path: Path) -> None:
    """What the file lacks, or has in another shape, is named and keeps its values."""
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    del state["conv_head.weight"]
    state["conv_stem.weight"] = state["conv_stem.weight"].mean(dim=1, keepdim=True)
    torch.save(state, tmp_path / "w.pt")
    _, loaded = load(tmp_path / "w.pt")
    assert loaded.fit.missing == ("conv_stem.weight", "conv_head.weight")
    assert "left at their initialization: conv_stem.weight, conv_head.weight" in str(loaded)
    record = json.loads(json.dumps(loaded.to_dict()))
    assert record["left_at_initialization"] == ["conv_stem.weight", "conv_head.weight"]
    assert record["n_matched"] == record["n_backbone"] - 2
    assert len(record["sha256"]) == 64


class Unsafe:
    """An object whose pickle runs code."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code was run",))


def write_script(path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(path)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        pytest.param(
            lambda path: torch.save(timm.create_model("mobilenetv3_small_050"), path),
            r"more than weights \(.*MobileNetV3\).*weights_only=False.*torch\.save",
            id="module",
        ),
        pytest.param(lambda path: torch.save({"x": Unsafe()}, path), "more than weights", id="code"),
        pytest.param(
            lambda path: path.write_bytes(b"PK\x03\x04hello"), "cannot be read|more than", id="damaged"
        ),
        pytest.param(
            lambda path: torch.save({"epoch": 3}, path), "no weights by name.*epoch", id="no weights"
        ),
        pytest.param(lambda path: torch.save([1, 2], path), "no weights by name", id="list"),
        pytest.param(
            lambda path: path.write_text("<html>404</html>"),
            "is no file of torch's: it begins with b'<html>404</html>'. Copy or download it again",
            id="page",
        ),
        pytest.param(
            lambda path: torch.save(
                {
                    name: value * torch.nan if name == "conv_stem.weight" else value
                    for name, value in timm.create_model("mobilenetv3_small_050").state_dict().items()
                },
                path,
            ),
            r"has NaN or infinite values in conv_stem\.weight: its training diverged",
            id="diverged",
        ),
        pytest.param(
            lambda path: torch.save(timm.create_model("resnet18").state_dict(), path),
            "fits only .* tensors. Set `model.backbone`",
            id="another backbone",
        ),
    ],
)
def test_files_that_are_refused(
    load: Load,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    write: Callable[[Path], None],
    expected: str,
) -> None:
    """In one line, without running code from the file."""
    write(tmp_path / "w.pth")
    with pytest.raises(ModelError, match=expected) as refused:
        load(tmp_path / "w.pth")
    assert "\n" not in str(refused.value)
    assert "code was run" not in capfd.readouterr().out


def test_a_backbones_own_weights(trained_run: Path, load: Load, tmp_path: Path) -> None:
    """Weights named as timm names them go to the backbone."""
    stored = load_file(trained_run / "checkpoints" / "best.safetensors")
    bare = {
        name.removeprefix("backbone."): value
        for name, value in stored.items()
        if name.startswith("backbone.")
    }
    save_file(bare, tmp_path / "bare.safetensors")
    own = load(tmp_path / "bare.safetensors")[0].backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in bare.items())


def test_weights_of_a_finished_run_are_its_own(trained_run: Path, load: Load, tmp_path: Path) -> None:
    """Weights that another run wrote into the folder of a finished one are not loaded."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    load(run)
    description = (run / "run.json").read_text()
    (run / "run.json").write_text(description.replace("Sad", "Fear"))
    with pytest.raises(ArtifactError, match=r"run\.json has changed since it was written"):
        load(run)
    (run / "run.json").write_text(description)
    stored = Run.open(run).best_weights_path
    stored.write_bytes(stored.read_bytes()[:-1000])
    with pytest.raises(ArtifactError, match=r"best\.safetensors has changed since it was written"):
        load(run)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nope.pth", "does not exist.*bundled"), ("text.safetensors", "cannot be read as safetensors")],
)
def test_weights_that_are_none(load: Load, tmp_path: Path, name: str, expected: str) -> None:
    """Each is one line that says what may be named."""
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ModelError, match=rf"`model\.weights` .*{expected}"):
        load(tmp_path / name)


def test_a_recipe_without_a_backbone_takes_the_networks(tiny_recipe: Recipe) -> None:
    """With what describes it, and its input size, except for what the recipe sets."""
    recipe = replace(
        tiny_recipe,
        model=replace(tiny_recipe.model, backbone=None, weights="ferplus-resnet10-int8"),
        data=replace(tiny_recipe.data, input_size=224),
    )
    aligned = CropContract(method="aligned", margin=0.0, size=96)
    adopted = starting_weights.adopt_network(recipe, aligned)
    assert (adopted.model.backbone, adopted.model.stem_stride, adopted.model.grayscale) == (
        "resnet10t",
        1,
        True,
    )
    assert adopted.data.input_size == 48
    larger = replace(recipe, data=replace(recipe.data, input_size=64))
    assert starting_weights.adopt_network(larger, aligned).data.input_size == 64
    with pytest.raises(
        ModelError, match=r"`--crop aligned --margin 0 --size 48`.*`--model\.backbone resnet10t`"
    ):
        starting_weights.adopt_network(recipe, CropContract(method="box", margin=0.1, size=96))


@pytest.mark.parametrize("weights_name", [None, "w.pth"])
def test_the_default_backbone(tiny_recipe: Recipe, tmp_path: Path, weights_name: str | None) -> None:
    """Without weights, or with a file that does not describe its network; a backbone that is named stays."""
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "w.pth")
    name = weights_name and str(tmp_path / weights_name)
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, backbone=None, weights=name))
    crop = CropContract(method="whole", margin=0.0, size=96)
    assert starting_weights.adopt_network(recipe, crop).model.backbone == "efficientnet_b0"
    named = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=name))
    assert starting_weights.adopt_network(named, crop) is named


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("bundled", "mien_resnet14"), ("base", "mien_resnet14"), ("ferplus-resnet10-int8", "resnet10t")],
)
def test_bundled_models_by_name(load: Load, name: str, backbone: str) -> None:
    """The landmark head and all classes are loaded, and the record says how."""
    network, loaded = load(name, ("Sad", "Happy", "Bored"), backbone)
    assert loaded.fit.n_matched == loaded.fit.n_total > 50
    assert loaded.heads == ("landmark_head",)
    assert (loaded.classes, loaded.new_classes) == (("Sad", "Happy"), ("Bored",))
    norm = next(layer for layer in network.backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d))
    assert not torch.allclose(norm.running_mean, torch.zeros_like(norm.running_mean))
