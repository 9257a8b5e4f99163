"""The table of tasks: its entries resolve, and a further entry takes a task all the way from the set to the columns."""

import io
import pkgutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mien.evaluate.metrics_file import build_scores
from mien.evaluate.prediction import predict_split
from mien.evaluate.score import Truth, score
from mien.evaluate.task_scores import Tile
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.pack import Pack
from mien.formats.pack.schema import FORMAT_VERSION, PackedFace
from mien.formats.pack.writer import close_pack, compute_content_sha256, write_shard
from mien.inference.decision_rule import DecisionRule
from mien.inference.pipeline import CroppedImage, crop_face, infer, postprocess_image
from mien.inference.results import FacePrediction
from mien.predict.prediction_files import CsvWriter
from mien.tasks import TASKS, Task, align_columns, merge_annotations, parse_annotations, reported_metrics


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "field", ["build_head", "activation", "decode", "loss", "dev_scores", "score", "row", "label", "groups"]
)
def test_every_name_in_the_table_exists(name: str, field: str) -> None:
    """What an entry names can be imported and called."""
    task = TASKS[name]
    if field in ("build_head", "activation", "decode", "loss"):
        pytest.importorskip("torch", reason="training needs the train extra")
    if getattr(task, field) is not None:
        assert callable(task.resolve(field))


def test_unknown_annotations_are_refused() -> None:
    """A file of a later release may hold tasks that this one does not know."""
    with pytest.raises(ValueError, match="keys among action_units"):
        parse_annotations({"gaze": {}})
    with pytest.raises(ValueError, match="must be an object"):
        parse_annotations([])


@dataclass(frozen=True)
class Age:
    """The columns of a toy task: one age, in a unit."""

    unit: str = "years"

    def to_dict(self) -> dict[str, str]:
        """Plain values for pack.json."""
        return {"unit": self.unit}

    def align(self, values: Any, _other: "Age") -> Any:
        """One column is always the same."""
        return values

    def merge(self, _other: "Age") -> "Age":
        """All ages are in years."""
        return self


@dataclass(frozen=True, slots=True, eq=False)
class AgedPrediction(FacePrediction):
    """What a new field of `FacePrediction` would be."""

    age: float | None = None


class AgeScores:
    """What a new class in `task_scores` would be."""

    def __init__(self, truth: Any, predicted: Any) -> None:
        self.error = float(np.nanmean(np.abs(truth - predicted)))

    def to_dict(self) -> dict[str, float]:
        """The entry in metrics.json."""
        return {"mae": self.error}

    def lines(self, _suffix: str) -> list[str]:
        """The text."""
        return [f"Age: off by {self.error:.1f}"]

    def columns(self) -> dict[str, Any]:
        """No columns of predictions.csv."""
        return {}

    def tile(self) -> Tile:
        """The figure at the top of the page."""
        return Tile("Age", f"{self.error:.1f}", "mean error")


@pytest.fixture
def age(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A fifth task, by an entry in the table and the functions that it names."""
    pytest.importorskip("torch", reason="training needs the train extra")
    module: Any = ModuleType("toy_task")
    module.loss = lambda predicted, true: (predicted - true / 100).nan_to_num().square().mean()
    module.decode = lambda value, _annotations, _temperature: 100 * value
    module.dev_scores = lambda truth, predicted, _: {"age_mae": float(np.nanmean(np.abs(truth - predicted)))}
    module.score = lambda truth, predicted, *_: AgeScores(truth, predicted)
    module.row = lambda values, _to_image, _annotations: {"age": float(values[0])}
    monkeypatch.setitem(sys.modules, "toy_task", module)
    task = Task(
        title="age",
        shape=lambda _, annotations: (1,) if "age" in annotations else None,
        pack_columns=lambda annotations: {"age": 1} if "age" in annotations else {},
        parse_spec=lambda value: Age(**value),
        head="age_head",
        decode="toy_task:decode",
        loss="toy_task:loss",
        dev_scores="toy_task:dev_scores",
        score="toy_task:score",
        row="toy_task:row",
        columns=lambda _, annotations: ("age",) if "age" in annotations else (),
    )
    monkeypatch.setitem(TASKS, "age", task)
    monkeypatch.setattr("mien.inference.pipeline.FacePrediction", AgedPrediction)
    return task


def write_aged_pack(folder: Path, faces: list[PackedFace], like: Pack) -> Pack:
    """Write faces as the train split of a pack with ages, every fourth without one."""
    aged = [
        replace(face, annotations={} if i % 4 == 3 else {"age": np.array([20 + face.label], np.float32)})
        for i, face in enumerate(faces)
    ]
    folder.mkdir()
    classes, annotations = like.info.classes, {"age": Age()}
    shards = (write_shard(folder / "train-00000.arrow", "train", aged, len(classes), annotations),)
    counts = np.bincount([face.label for face in aged], minlength=len(classes)).tolist()
    info = replace(
        like.info, format_version=FORMAT_VERSION, shards=shards, annotations=annotations,
        counts={"train": dict(zip(classes, counts, strict=True))}, crop_methods={"whole": len(aged)},
        content_sha256=compute_content_sha256(folder, shards, classes, annotations),
        n_rows=len(aged), n_kept=len(aged),
    )  # fmt: skip
    close_pack(folder, info, np.arange(len(aged)))
    return Pack.open(folder)


@pytest.fixture
def aged_pack(age: Task, training_pack: Path, tmp_path: Path) -> Pack:
    """A pack with ages, made of the colored faces."""
    plain = Pack.open(training_pack)
    split = plain.split("train")
    random = np.random.default_rng(0)
    faces = [
        PackedFace(
            key=f"{i}.jpg", row=i, jpeg=bytes(split.jpeg(i)), image_sha256=bytes(32),
            perceptual_hash=random.bytes(32), label=int(split.labels[i]), crop_method="whole", distribution=None,
            landmarks=None, valence=None, arousal=None,
        )
        for i in range(96)
    ]  # fmt: skip
    return write_aged_pack(tmp_path / "aged.pack", faces, plain)


def make_network(pack: Pack) -> Any:
    """A network with a head for the ages; its recipe's key is what `ModelConfig` would get."""
    import torch

    from mien.nets.network import build_face_network
    from mien.recipe import ModelConfig

    @dataclass(frozen=True)
    class AgedModel(ModelConfig):
        age: bool = True

    torch.manual_seed(0)
    model = AgedModel(backbone="test_resnet", pretrained=False, landmarks=False, valence_arousal=False)
    return build_face_network(
        model, len(pack.info.classes), input_size=32, pretrained=False, annotations=pack.info.annotations
    )


def test_a_new_task_from_the_set_to_training(aged_pack: Pack) -> None:
    """An entry in the table is enough for pack, batch, loss, training steps, decoding and dev metrics."""
    import torch

    from mien.nets.decoding import decode_further_tasks
    from mien.recipe import DataConfig, LossConfig
    from mien.train.dataloader import FaceBatches
    from mien.train.dataset import read_training_faces
    from mien.train.objective import Objective
    from mien.train.sampler import Draw
    from mien.train.validation import DevPredictions, score_dev

    @dataclass(frozen=True)
    class AgedLoss(LossConfig):
        age_weight: float = 1.0

    split = aged_pack.split("train")
    stored = split.annotations["age"]
    assert aged_pack.info.annotations == {"age": Age("years")}
    assert np.isnan(stored[3::4]).all()
    np.testing.assert_array_equal(stored[::4, 0], 20 + split.labels[::4])
    training = read_training_faces([aged_pack], DataConfig(dev_fraction=0.25))
    batch = FaceBatches(training.train, 32).__getitems__([Draw(0, i, i) for i in range(16)])
    network = make_network(aged_pack)
    assert network.tasks == ("expression", "age")
    objective = Objective(AgedLoss(), np.ones(3), tasks=network.tasks, annotations=training.annotations)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        found = objective(network(batch.images_rgb), batch)
        found.total.backward()
        optimizer.step()
        losses.append(found.parts["age"].item())
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        decoded = decode_further_tasks(network.eval()(batch.images_rgb), training.annotations)
    outputs = {task: value.numpy() for task, value in decoded.items()}
    first = training.train.part(np.arange(16))
    scores = score_dev(DevPredictions(np.arange(16), outputs), first, training.annotations).values
    assert scores["age_mae"] == pytest.approx(np.nanmean(np.abs(first.targets["age"] - outputs["age"])))


def test_a_new_task_from_the_model_file_to_the_columns(aged_pack: Pack, tmp_path: Path) -> None:
    """An entry in the table is enough for model file, report, rows and prediction files."""
    from mien.export.graph import CalibratedNetwork, to_file, to_onnx

    network, annotations = make_network(aged_pack), aged_pack.info.annotations
    classes, split = aged_pack.info.classes, aged_pack.split("train")
    info = ModelInfo(classes, aged_pack.info.crop, 32, tasks=network.tasks, annotations=annotations)
    path = tmp_path / "aged.onnx"
    graph = CalibratedNetwork(network, 1.0, annotations).eval()
    path.write_bytes(to_file(to_onnx(graph, info), info))
    model = OnnxModel.load(path)
    assert model.info.annotations == {"age": Age("years")}

    outputs = predict_split(model, split, batch_size=32).outputs
    truth = Truth(classes, split.labels, split.annotations, {}, annotations)
    evaluation = score(outputs, truth, classes=classes, annotations=annotations)
    expected = np.nanmean(np.abs(split.annotations["age"] - outputs["age"]))
    assert build_scores(evaluation)["age"] == {"mae": pytest.approx(expected)}

    face = crop_face(split.image(0), None, model.info)
    image = CroppedImage("a.jpg", (face,))
    row = postprocess_image(image, infer([face.crop], model), model.info, DecisionRule()).rows[0]
    text = io.StringIO()
    CsvWriter(text, classes, annotations).write(row)
    header, line = text.getvalue().splitlines()
    assert header.endswith(",age")
    assert float(line.split(",")[-1]) == pytest.approx(float(outputs["age"][0, 0]), abs=0.02)


def test_columns_of_optional_tasks_are_merged_and_aligned(age: Task) -> None:
    """Packs used together share their columns; tasks that every set may have need no aligning."""
    assert merge_annotations([{}, {"age": Age()}, {"age": Age()}]) == {"age": Age()}
    values = np.zeros((2, 68, 2), np.float32)
    assert align_columns("landmarks", values, {}, {}) is values


def test_every_reported_metric_can_be_computed() -> None:
    """The functions exist, and give the scores of the report from columns of predictions.csv."""
    for name, (task, metric) in reported_metrics().items():
        assert name == metric.name
        assert task in TASKS
        assert bool(metric.columns) == (metric.statistic is not None)
        if metric.statistic is not None:
            rows = np.random.default_rng(0).uniform(size=(20, len(metric.columns)))
            assert isinstance(pkgutil.resolve_name(metric.statistic)(rows), float)
