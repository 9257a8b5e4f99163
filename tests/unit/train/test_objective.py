"""The objective: the weighted sum, the corrections for rare classes, learned weights and the teacher."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from torch.nn import functional

from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import LossConfig, ModelConfig
from mien.train.dataloader import Batch
from mien.train.objective import Objective, Teacher

N = 4
COUNTS = np.array([900, 90, 10])
LABELS = [0, 1, 2, 0]


def make_outputs(*, landmarks: bool = True, valence_arousal: bool = True) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape: int) -> Any:
        return torch.rand(shape, generator=generator).requires_grad_()

    outputs = {"expression": leaf(N, 3), "landmarks": leaf(N, 68, 2), "valence_arousal": leaf(N, 2)}
    on = {"expression": True, "landmarks": landmarks, "valence_arousal": valence_arousal}
    return {task: value for task, value in outputs.items() if on[task]}


def make_batch(*, known: slice = slice(None), side: int = 8) -> Batch:
    """Faces of which only `known` have landmarks, valence and arousal."""
    landmarks = torch.full((N, 68, 2), torch.nan)
    valence_arousal = torch.full((N, 2), torch.nan)
    landmarks[known], valence_arousal[known] = 0.4, -0.2
    images = torch.randint(0, 256, (N, side, side, 3), generator=torch.Generator().manual_seed(1))
    targets = {"expression": torch.eye(3)[LABELS], "landmarks": landmarks, "valence_arousal": valence_arousal}
    return Batch(images.to(torch.uint8), targets)


def make_network(
    n_classes: int = 3, *, input_size: int = 32, backbone: str = "mobilenetv3_small_050"
) -> FaceNetwork:
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, pretrained=False)
    return build_face_network(config, n_classes, input_size=input_size, pretrained=False)


def expression_of(config: LossConfig) -> torch.Tensor:
    """The expression loss of a recipe's losses, without a graph."""
    return Objective(config, COUNTS)(make_outputs(), make_batch()).parts["expression"].detach()


def test_the_sum_is_weighted() -> None:
    """The total is the parts times the recipe's weights."""
    config = LossConfig(expression_weight=2, landmarks_weight=3, valence_arousal_weight=5)
    losses = Objective(config, COUNTS)(make_outputs(), make_batch())
    parts = losses.parts
    expected = 2 * parts["expression"] + 3 * parts["landmarks"] + 5 * parts["valence_arousal"]
    torch.testing.assert_close(losses.total, expected)


@pytest.mark.parametrize(("landmarks", "valence_arousal"), [(False, True), (True, False), (False, False)])
@pytest.mark.parametrize("task_weights", ["fixed", "learned"])
def test_a_head_that_is_off_has_no_loss(landmarks: bool, valence_arousal: bool, task_weights: Any) -> None:
    """Only the heads that are on are counted, and have a weight to learn."""
    outputs = make_outputs(landmarks=landmarks, valence_arousal=valence_arousal)
    on = {"landmarks": landmarks, "valence_arousal": valence_arousal}
    tasks = ("expression", *(task for task, is_on in on.items() if is_on))
    objective = Objective(LossConfig(task_weights=task_weights), COUNTS, tasks=tasks)
    assert tuple(objective(outputs, make_batch()).parts) == tasks
    assert len(list(objective.parameters())) == (len(tasks) if task_weights == "learned" else 0)


def test_the_missing_have_no_gradient() -> None:
    """A missing landmark has no gradient, and no gradient is NaN."""
    outputs = make_outputs()
    Objective(LossConfig(), COUNTS)(outputs, make_batch(known=slice(0, 2))).total.backward()
    for value in (outputs["landmarks"], outputs["valence_arousal"]):
        assert torch.isfinite(value.grad).all()
        assert (value.grad[:2] != 0).all()
        assert (value.grad[2:] == 0).all()


def test_a_batch_with_nothing_known_trains() -> None:
    """With no landmarks at all these losses are zero, and the expression is still trained."""
    outputs = make_outputs()
    losses = Objective(LossConfig(), COUNTS)(outputs, make_batch(known=slice(0, 0)))
    losses.total.backward()
    assert losses.parts["landmarks"] == losses.parts["valence_arousal"] == 0
    assert losses.total == losses.parts["expression"]
    assert (outputs["landmarks"].grad == 0).all()
    assert (outputs["valence_arousal"].grad == 0).all()
    assert (outputs["expression"].grad != 0).any()


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        pytest.param(LossConfig(landmarks="wing"), "landmarks", id="wing"),
        pytest.param(LossConfig(landmarks="mse"), "landmarks", id="mse"),
        pytest.param(LossConfig(valence_arousal="ccc_mse"), "valence_arousal", id="ccc"),
        pytest.param(LossConfig(class_weights="inverse"), "expression", id="class weights"),
        pytest.param(LossConfig(label_smoothing=0.1), "expression", id="smoothing"),
    ],
)
def test_a_kind_of_loss_is_of_its_task(config: LossConfig, changed: str) -> None:
    """A key changes its own task's loss and leaves the others as they were."""
    ours, plain = (Objective(each, COUNTS)(make_outputs(), make_batch()) for each in (config, LossConfig()))
    assert {name for name in plain.parts if ours.parts[name] != plain.parts[name]} == {changed}


def test_logit_adjustment_of_one_is_the_balanced_softmax() -> None:
    """Ren et al. 2020, equation 4: -log(n_y exp(z_y) / sum over c of n_c exp(z_c))."""
    logits = make_outputs()["expression"].detach().double().numpy()
    losses = [
        -np.log(COUNTS[label] * np.exp(row[label]) / (COUNTS * np.exp(row)).sum())
        for row, label in zip(logits, LABELS, strict=True)
    ]
    assert float(expression_of(LossConfig(logit_adjustment=1.0))) == pytest.approx(np.mean(losses), rel=1e-6)


def test_logit_adjustment_of_zero_is_plain() -> None:
    """Without it the loss is torch's cross-entropy; a class without faces does no harm."""
    expected = functional.cross_entropy(make_outputs()["expression"].detach(), torch.tensor(LABELS))
    torch.testing.assert_close(expression_of(LossConfig(logit_adjustment=0.0)), expected)
    objective = Objective(LossConfig(logit_adjustment=1.0), np.array([10, 10, 0]))
    assert torch.isfinite(objective(make_outputs(), make_batch()).total)
    assert objective.log_prior.tolist() == pytest.approx([np.log(0.5), np.log(0.5), 0])


def test_uniform_smoothing_is_torchs() -> None:
    """Uniform over all classes, it is torch's `label_smoothing`."""
    expected = functional.cross_entropy(
        make_outputs()["expression"].detach(), torch.tensor(LABELS), label_smoothing=0.2
    )
    torch.testing.assert_close(expression_of(LossConfig(label_smoothing=0.2)), expected)


def test_inverse_smoothing_gives_rare_classes_more() -> None:
    """The distribution goes as 1 / faces: it sums to one, and a class ten times rarer gets ten times more."""
    spread = Objective(LossConfig(smoothing_distribution="inverse"), COUNTS).smoothing.numpy()
    assert spread.sum() == pytest.approx(1)
    assert spread[1] / spread[0] == pytest.approx(10)
    assert spread[2] / spread[1] == pytest.approx(9)
    targets = 0.8 * np.eye(3)[LABELS] + 0.2 * spread
    log_shares = make_outputs()["expression"].detach().log_softmax(dim=1).numpy()
    ours = expression_of(LossConfig(label_smoothing=0.2, smoothing_distribution="inverse"))
    assert float(ours) == pytest.approx(-(targets * log_shares).sum(axis=1).mean(), rel=1e-6)


def test_smoothing_gives_a_class_without_faces_nothing() -> None:
    """It is absent, not rare: what the labels would give it could not be learned."""
    spread = Objective(
        LossConfig(smoothing_distribution="inverse"), np.array([5000, 500, 0])
    ).smoothing.numpy()
    assert spread == pytest.approx([1 / 11, 10 / 11, 0])


def test_inverse_class_weights_make_the_classes_count_alike() -> None:
    """On a batch with the training distribution, each class contributes the same to the loss."""
    labels = np.repeat([0, 1, 2], COUNTS)
    batch = make_batch()._replace(targets={"expression": torch.eye(3)[labels]})
    logits = torch.zeros(len(labels), 3, requires_grad=True)
    outputs = {"expression": logits}
    loss = Objective(LossConfig(class_weights="inverse"), COUNTS)(outputs, batch).total
    assert loss.item() == pytest.approx(np.log(3), rel=1e-5)
    loss.backward()
    of_class = [float(logits.grad[labels == label].abs().sum()) for label in range(3)]
    assert of_class == pytest.approx([of_class[0]] * 3, rel=1e-4)


def test_learned_weights_start_at_the_recipes() -> None:
    """In the first step the network gets exactly the gradients of the fixed weights."""
    weights = {"expression_weight": 2.0, "landmarks_weight": 0.5, "valence_arousal_weight": 0.25}
    gradients = []
    for kind in ("fixed", "learned"):
        outputs = make_outputs()
        Objective(LossConfig(**weights, task_weights=kind), COUNTS)(outputs, make_batch()).total.backward()
        gradients.append([value.grad for value in outputs.values()])
    for fixed, learned in zip(*gradients, strict=True):
        torch.testing.assert_close(learned, fixed)


def test_a_learned_weight_ends_at_one_over_its_loss() -> None:
    """The minimum of w L - log w is at w = 1 / L, and descent finds it for every task."""
    objective = Objective(LossConfig(task_weights="learned"), COUNTS)
    outputs = {task: value.detach() for task, value in make_outputs().items()}
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        losses = objective(outputs, make_batch())
        losses.total.backward()
        optimizer.step()
    assert len(losses.parts) == 3
    for task, loss in losses.parts.items():
        assert objective.log_weights[task].exp().item() == pytest.approx(1 / loss.item(), rel=1e-3)


def test_a_learned_weight_is_unchanged_in_a_batch_without_its_labels() -> None:
    """Otherwise it would grow without bound; it stays in the sum, as distributed training requires."""
    objective = Objective(LossConfig(task_weights="learned"), COUNTS)
    batch = make_batch()
    batch = batch._replace(
        targets={**batch.targets, "landmarks": torch.full_like(batch.targets["landmarks"], torch.nan)}
    )
    objective(make_outputs(), batch).total.backward()
    slopes = {task: weight.grad.item() for task, weight in objective.log_weights.items()}
    assert slopes["landmarks"] == 0
    assert slopes["valence_arousal"] != 0


def test_a_task_of_weight_zero_is_left_out() -> None:
    """A weight of zero has no logarithm: the task is left out of the learned weights, and has no loss."""
    objective = Objective(LossConfig(task_weights="learned", landmarks_weight=0.0), COUNTS)
    assert set(objective.log_weights) == {"expression", "valence_arousal"}
    outputs = make_outputs()
    losses = objective(outputs, make_batch())
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert (outputs["landmarks"].grad == 0).all()


def test_a_teacher_has_its_weight() -> None:
    """The total is (1 - a) times the labels' loss and a times the teacher's, without logit adjustment."""
    network = make_network()
    teacher = Teacher(network, [0, 1, 2], 32)
    batch, outputs = make_batch(side=32), make_outputs()
    config = LossConfig(
        teacher="run", teacher_weight=0.3, teacher_temperature=2.0, logit_adjustment=1.0, label_smoothing=0.1
    )
    ours = Objective(config, COUNTS, teacher=teacher)(outputs, batch).parts["expression"]
    labels_alone = Objective(config, COUNTS)(outputs, batch).parts["expression"]
    with torch.no_grad():
        answer = network(batch.images_rgb)["expression"]
    answers = (torch.distributions.Categorical(logits=value / 2) for value in (answer, outputs["expression"]))
    taught = 4 * torch.distributions.kl_divergence(*answers).mean()
    torch.testing.assert_close(ours, 0.7 * labels_alone + 0.3 * taught)


def test_a_teacher_is_no_part_of_the_student() -> None:
    """It is neither saved nor trained, and its norms do not change while the student trains."""
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    objective = Objective(LossConfig(teacher="run"), COUNTS, teacher=Teacher(network, [0, 1, 2], 32))
    objective.train()
    outputs = make_outputs()
    objective(outputs, make_batch(side=32)).total.backward()
    assert not objective.state_dict()
    assert not list(objective.parameters())
    assert not list(objective.modules())[1:]
    assert not network.training
    assert all(value.grad is None for value in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert outputs["expression"].grad is not None


def test_a_teachers_classes_are_picked_in_the_students_order() -> None:
    """Its columns are the student's classes, whatever others it has."""
    network = make_network(n_classes=5)
    images = make_batch(side=32).images_rgb
    ours = Teacher(network, [4, 0, 2], 32).logits(images)
    with torch.no_grad():
        theirs = network(images)["expression"]
    assert torch.equal(ours, theirs[:, [4, 0, 2]])


@pytest.mark.parametrize("side", [20, 48])
def test_a_teacher_of_another_input_size_sees_the_face_resized(side: int) -> None:
    """Its input is the student's image, smoothed as Pillow's bilinear filter does, up and down."""
    image_module = pytest.importorskip("PIL.Image", reason="Pillow comes with torchvision")
    network, seen = make_network(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = make_batch(side=side).images_rgb
    assert Teacher(network, [0, 1, 2], 32).logits(images).shape == (N, 3)
    for ours, image in zip(seen[0].numpy(), images.numpy(), strict=True):
        bilinear = image_module.Resampling.BILINEAR
        theirs = np.asarray(image_module.fromarray(image).resize((32, 32), bilinear), dtype=np.float32)
        np.testing.assert_allclose(ours, theirs, atol=1.01)


def test_a_teacher_of_the_same_input_size_sees_the_same_bytes() -> None:
    """Nothing is resampled if the sizes agree."""
    network, seen = make_network(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = make_batch(side=32).images_rgb
    Teacher(network, [0, 1, 2], 32).logits(images)
    assert seen[0] is images
