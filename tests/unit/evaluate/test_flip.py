"""Flip averaging, against plain onnxruntime and numpy on mirrored crops."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from sklearn import metrics as judge

from mien.cli import main
from mien.evaluate.flip import average_flipped, mirror_landmarks
from mien.evaluate.stage import evaluate
from mien.faces.crop import CropContract, resize_crop
from mien.faces.landmarks import LEFT_EYE, RIGHT_EYE
from mien.formats.onnx_model import METADATA_KEY, ModelInfo
from mien.formats.pack import Pack

onnx = pytest.importorskip("onnx", reason="onnx is part of the train extra")

CLASSES = ("Neutral", "Happy", "Sad")
SIDE = 32
TASKS = ("expression", "landmarks", "valence_arousal")
# A mirror-symmetric face, points in iBUG order: the left half, then the points on the midline.
_LEFT = {
    **{i: (0.10 + 0.04 * i, 0.40 + 0.06 * i) for i in range(8)},
    **{17 + i: (0.20 + 0.05 * i, 0.30) for i in range(5)},
    31: (0.44, 0.60), 32: (0.47, 0.61),
    36: (0.25, 0.40), 37: (0.29, 0.37), 38: (0.34, 0.37), 39: (0.38, 0.40), 40: (0.34, 0.42), 41: (0.29, 0.42),
    48: (0.35, 0.75), 49: (0.40, 0.72), 50: (0.46, 0.71), 59: (0.40, 0.80), 58: (0.46, 0.82),
    60: (0.38, 0.75), 61: (0.45, 0.74), 67: (0.45, 0.77),
}  # fmt: skip
_MIDDLE = {8: 0.92, 27: 0.40, 28: 0.46, 29: 0.52, 30: 0.57, 33: 0.62, 51: 0.72, 57: 0.83, 62: 0.74, 66: 0.77}
# The pairs of the figure in the iBUG document, written out independently of the code under test.
PAIRS = {
    **{i: 16 - i for i in range(8)}, **{17 + i: 26 - i for i in range(5)}, 31: 35, 32: 34,
    36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46, 48: 54, 49: 53, 50: 52, 59: 55, 58: 56, 60: 64, 61: 63, 67: 65,
}  # fmt: skip


def _symmetric_face() -> np.ndarray:
    points = np.zeros((68, 2), np.float32)
    for index, (x, y) in _LEFT.items():
        points[index], points[PAIRS[index]] = (x, y), (1 - x, y)
    for index, y in _MIDDLE.items():
        points[index] = (0.5, y)
    return points


def _mirror_by_hand(points: np.ndarray) -> np.ndarray:
    other = {**PAIRS, **{right: left for left, right in PAIRS.items()}}
    return np.array([[(1 - x, y) for x, y in face[[other.get(i, i) for i in range(68)]]] for face in points])


def _write_model(path: Path, *, equivariant: bool = False) -> Path:
    """Write a model whose outputs depend on the brightness of the columns, left to right."""
    random, node = np.random.default_rng(1), onnx.helper.make_node
    weights = random.normal(0, 8, (SIDE, 3)).astype(np.float32)
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    shifts = random.normal(0, 0.3 / SIDE, (SIDE, 68, 2)).astype(np.float32)
    if equivariant:
        # to the left it goes where the left is bright, and up or down where the edges are
        shifts[..., 0], shifts[..., 1] = ramp[:, None] / SIDE, abs(ramp)[:, None] / SIDE
    constants = {
        "byte": np.float32(1 / 255), "axes": np.array([1, 3]), "shape": np.array([0, 68, 2]),
        "to_logits": weights - weights.mean(axis=0), "bias": np.zeros(3, np.float32),
        "shifts": shifts.reshape(SIDE, 136), "points": _symmetric_face().reshape(-1),
        "feelings": random.normal(0, 0.2, (SIDE, 2)).astype(np.float32), "calm": np.zeros(2, np.float32),
    }  # fmt: skip
    nodes = [
        node("Cast", ["images"], ["float"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["float", "byte"], ["unit"]),
        node("ReduceMean", ["unit", "axes"], ["features"], keepdims=0),
        node("Gemm", ["features", "to_logits", "bias"], ["logits"]),
        node("Softmax", ["logits"], ["expression"], axis=1),
        node("Gemm", ["features", "shifts", "points"], ["flat"]),
        node("Reshape", ["flat", "shape"], ["landmarks"]),
        node("Gemm", ["features", "feelings", "calm"], ["felt"]),
        node("Tanh", ["felt"], ["valence_arousal"]),
    ]
    value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    shapes = {
        "expression": ["N", 3],
        "landmarks": ["N", 68, 2],
        "valence_arousal": ["N", 2],
        "features": ["N", SIDE],
    }
    graph = onnx.helper.make_graph(
        nodes,
        "features",
        [value("images", onnx.TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [value(task, kind, shapes[task]) for task in (*TASKS, "features")],
        [onnx.numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    info = ModelInfo(classes=CLASSES, crop=CropContract(method="whole", size=40), input_size=SIDE)
    model.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def two_reports(tmp_path_factory, training_pack) -> tuple[Path, Path, Path]:
    """The model file, a report without the option and one with it, on asymmetric, noisy faces."""
    folder = tmp_path_factory.mktemp("flip")
    model = _write_model(folder / "columns.onnx")
    evaluate(model, training_pack, out=folder / "plain")
    arguments = ["--model", str(model), "--pack", str(training_pack), "--out", str(folder / "flipped")]
    assert main(["evaluate", *arguments, "--flip-average"]) == 0
    return model, folder / "plain", folder / "flipped"


def _metrics(report: Path) -> dict:
    return json.loads((report / "metrics.json").read_text("utf-8"))


def test_averages_are_those_of_onnxruntime_on_mirrored_crops(two_reports, training_pack) -> None:
    """Two runs of the file by hand, averaged with numpy and scored with scikit-learn."""
    model, _, flipped = two_reports
    session = onnxruntime.InferenceSession(str(model))
    faces = Pack.open(training_pack).split("val")
    crops = np.stack([resize_crop(faces.image(i), SIDE) for i in range(len(faces))])
    plain = session.run(TASKS, {"images": crops})
    mirrored = session.run(TASKS, {"images": np.ascontiguousarray(np.flip(crops, axis=2))})
    assert len(set(plain[0].argmax(axis=1))) > 1
    assert np.abs(plain[0] - mirrored[0]).max() > 0.05
    predicted = ((plain[0] + mirrored[0]) / 2).argmax(axis=1)
    points = (plain[1] + _mirror_by_hand(mirrored[1])) / 2
    affect = (plain[2] + mirrored[2]) / 2

    found = _metrics(flipped)["flip_average"]
    everything = found["protocols"]["all"]
    assert everything["n"] == 24
    assert everything["accuracy"] == judge.accuracy_score(faces.labels, predicted)
    assert everything["macro_f1"] == pytest.approx(judge.f1_score(faces.labels, predicted, average="macro"))
    truth = faces.landmarks
    eyes = np.linalg.norm(truth[:, RIGHT_EYE.start + 3] - truth[:, LEFT_EYE.start], axis=1)
    nme = (np.linalg.norm(points - truth, axis=2).mean(axis=1) / eyes).mean()
    assert (found["landmarks"]["n"], found["landmarks"]["nme"]) == (24, pytest.approx(nme))
    rmse = np.sqrt(np.mean((affect - faces.valence_arousal) ** 2, axis=0))
    scores = found["valence_arousal"]
    assert (scores["valence"]["rmse"], scores["arousal"]["rmse"]) == pytest.approx(tuple(rmse))


def test_no_other_metric_changes(two_reports) -> None:
    """metrics.json gains one key and predictions.csv does not change; without the option the key is absent."""
    _, plain, flipped = two_reports
    with_option = _metrics(flipped)
    averaged = with_option.pop("flip_average")
    assert json.dumps(with_option) == json.dumps(_metrics(plain))
    assert set(averaged) == {"description", "protocols", "ece", "landmarks", "valence_arousal"}
    assert averaged["protocols"]["all"]["accuracy"] != with_option["protocols"]["all"]["accuracy"]
    assert averaged["ece"] != with_option["ece"]
    assert (plain / "predictions.csv").read_bytes() == (flipped / "predictions.csv").read_bytes()


def test_page_keeps_the_averages_apart(two_reports) -> None:
    """The page gains one block; every line of the plain page is unchanged."""
    _, plain, flipped = two_reports
    before, after = ((path / "report.html").read_text("utf-8") for path in (plain, flipped))
    start, end = after.index('<h3 id="flip">'), after.index("</section>", after.index('<h3 id="flip">'))
    assert after[:start] + after[end:] == before
    block = after[start:end]
    for part in (
        "<code>all</code>, flip averaged",
        "at twice the cost",
        "and the temperature",
        "Landmark error (NME), flip",
    ):
        assert part in block
    assert "flip averaged" not in before


def test_printed_table_keeps_the_averages_apart(two_reports, training_pack, tmp_path) -> None:
    """The output without the option comes first, unchanged; the averages follow with their own names."""
    model, _, _ = two_reports
    plain = str(evaluate(model, training_pack, out=tmp_path / "report")).rsplit("\n", 1)[0]
    flipped = str(evaluate(model, training_pack, out=tmp_path / "report", flip_average=True, force=True))
    assert flipped.startswith(plain)
    rest = flipped.removeprefix(plain)
    for part in ("all, flip averaged", "at twice the cost", "(NME), flip averaged", "Valence, flip averaged"):
        assert part in rest


def test_an_equivariant_models_landmarks_do_not_change(tmp_path, training_pack) -> None:
    """If the mirrored prediction is the mirror image of the prediction, so is the average."""
    model = _write_model(tmp_path / "columns.onnx", equivariant=True)
    evaluate(model, training_pack, out=tmp_path / "report", flip_average=True)
    found = _metrics(tmp_path / "report")
    assert found["flip_average"]["landmarks"]["nme"] == pytest.approx(found["landmarks"]["nme"], rel=1e-6)
    moved = np.random.default_rng(0).uniform(-0.2, 1.2, (5, 68, 2)).astype(np.float32)
    probabilities = np.full((5, 3), 1 / 3, np.float32)
    outputs = {"expression": probabilities, "landmarks": moved}
    averaged = average_flipped(outputs, {"expression": probabilities, "landmarks": mirror_landmarks(moved)})
    assert averaged["landmarks"] == pytest.approx(moved, abs=1e-6)


def test_mirrored_points() -> None:
    """Against the pairs written out by hand."""
    points = np.random.default_rng(0).random((4, 68, 2)).astype(np.float32)
    mirrored = mirror_landmarks(points)
    assert mirrored == pytest.approx(_mirror_by_hand(points))
    assert mirror_landmarks(mirrored) == pytest.approx(points, abs=1e-6)
    assert mirror_landmarks(_symmetric_face()[None])[0] == pytest.approx(_symmetric_face(), abs=1e-6)


def test_a_model_of_only_expressions(make_model, make_pack, tmp_path, val) -> None:
    """Tasks that the model lacks have no average."""
    summary = evaluate(
        make_model(tasks=("expression",)), make_pack(val=val), out=tmp_path / "report", flip_average=True
    )
    averaged = _metrics(tmp_path / "report")["flip_average"]
    assert averaged["landmarks"] == {"n": 0, "nme": None, "nme_ci95": None}
    assert averaged["valence_arousal"] is None
    assert "(NME), flip averaged" not in str(summary)
