"""Training faces as a network sees them, to look at before a run.

Order, augmentation and mixing come from the training code, with the random numbers of the run itself.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.drawing.fonts import printable
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL
from mien.recipe import Recipe
from mien.train.dataloader import FaceBatches
from mien.train.dataset import LabeledFaces, other_tasks, read_training_faces
from mien.train.mixing import mix_faces, plan_mixing
from mien.train.sampler import Draw, EpochBatches, FaceOrder, build_order, require_steps, step_seed

# Epochs searched for a face that is rarely drawn, and steps searched for faces that are rarely mixed.
MOST_EPOCHS = 1000
MOST_STEPS = 1000
# Votes below this fraction are left out of a title.
SMALLEST_VOTE = 0.05
# A face mixed with less than this of another one looks unmixed, and is left out.
SMALLEST_MIX = 0.005


class PreviewFace(NamedTuple):
    """A face to show.

    Attributes:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        landmarks: ``(68, 2)`` fractions of the image, NaN where a point is missing or hidden.
        caption: text under the face.
    """

    image_rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    caption: str


class PreviewRow(NamedTuple):
    """Faces that belong together.

    Attributes:
        title: title of the row.
        faces: the faces to show.
    """

    title: str
    faces: list[PreviewFace]


def preview_faces(recipe: Recipe, pack: Pack, *, n_versions: int, seed: int = 0) -> list[PreviewRow]:
    """Return what a network sees when it is trained on a pack with a recipe.

    There is a row for each class with one face, as stored in the pack and then as the run shows it in successive epochs,
    before mixing. If faces are mixed, a row for mixup and one for cutmix follow.

    Args:
        recipe: the recipe, with the backbone that `adopt_network` gives it; its own packs are ignored.
        pack: the pack to train on.
        n_versions: augmented faces per row, which may go beyond the recipe's last epoch.
        seed: seed of the choice of faces. Their augmentation depends on the recipe's seed.

    Raises:
        ArtifactError: the pack has no train split, or is damaged.
        DatasetError: the pack does not suit the recipe.
    """
    split = read_training_faces([pack], recipe.data, tasks=other_tasks(recipe.model))
    faces, classes = split.train, split.classes
    order = build_order(faces.labels, len(classes), recipe)
    dataset = FaceBatches(faces, recipe.data.input_size, recipe.data.augment, recipe.runtime.seed)
    n_drawn = recipe.schedule.batch_size * require_steps(order, recipe.schedule.batch_size)
    random = np.random.default_rng(seed)
    chosen: dict[int, int] = {}
    for label in np.unique(faces.labels[faces.labels != NO_LABEL]).tolist():
        # A face with landmarks if the class has any.
        members = np.flatnonzero(faces.labels == label)
        with_landmarks = members[np.isfinite(faces.targets["landmarks"][members]).any(axis=(1, 2))]
        chosen[label] = int(random.choice(with_landmarks if len(with_landmarks) else members))
    draws = find_draws(order, list(chosen.values()), n_drawn=n_drawn, n_versions=n_versions)
    counts = faces.count_classes()
    rows = []
    for label, name in enumerate(classes):
        title = f"{printable(name)}\n{counts[label]:,} {'face' if counts[label] == 1 else 'faces'}"
        shown: list[PreviewFace] = []
        if label in chosen:
            face = chosen[label]
            title += describe_votes(faces, face, classes)
            shown.append(PreviewFace(faces.image(face), faces.targets["landmarks"][face], "in the pack"))
            for draw in draws[face]:
                batch = dataset.__getitems__([draw])
                image, landmarks = batch.images_rgb[0].numpy(), batch.targets["landmarks"][0].numpy()
                shown.append(PreviewFace(image, landmarks, f"epoch {draw.epoch + 1}"))
        rows.append(PreviewRow(title, shown))
    first_step = int(random.integers(2**31))
    return rows + preview_mixing(
        recipe, dataset, order, classes, n_faces=n_versions + 1, first_step=first_step
    )


def find_draws(
    order: FaceOrder, wanted: Sequence[int], *, n_drawn: int, n_versions: int
) -> dict[int, list[Draw]]:
    """Return the first draws of some faces in a run."""
    draws: dict[int, list[Draw]] = {face: [] for face in wanted}
    for epoch in range(MOST_EPOCHS):
        shown = order.faces(epoch)[:n_drawn]
        for position in np.flatnonzero(np.isin(shown, wanted)).tolist():
            face = int(shown[position])
            if len(draws[face]) < n_versions:
                draws[face].append(Draw(epoch, position, face))
        if all(len(found) == n_versions for found in draws.values()):
            break
    return draws


def describe_votes(faces: LabeledFaces, face: int, classes: tuple[str, ...]) -> str:
    """Return the soft label of a face as lines; nothing if it has a single label."""
    target = faces.targets["expression"][face]
    votes = [(float(target[label]), classes[label]) for label in np.argsort(-target, kind="stable")]
    if votes[0][0] > 1 - SMALLEST_VOTE:
        return ""
    return "".join(
        f"\n{100 * fraction:.0f}% {printable(name)}" for fraction, name in votes if fraction >= SMALLEST_VOTE
    )


def preview_mixing(
    recipe: Recipe,
    dataset: FaceBatches,
    order: FaceOrder,
    classes: tuple[str, ...],
    *,
    n_faces: int,
    first_step: int,
) -> list[PreviewRow]:
    """Return mixed faces of the first epoch, as the run's first process makes them, from a step on."""
    augment = recipe.data.augment
    probabilities = {"mixup": augment.mixup_prob, "cutmix": augment.cutmix_prob}
    found: dict[str, list[PreviewFace]] = {kind: [] for kind, value in probabilities.items() if value}
    if not found:
        return []
    world_size = recipe.runtime.devices * recipe.runtime.nodes
    batches = list(EpochBatches(order, recipe.schedule.batch_size, 0, world_size=world_size))
    for count in range(min(len(batches), MOST_STEPS)):
        step = (first_step + count) % len(batches)
        for kind, face in mix_step(recipe, dataset, batches[step], step, classes):
            if len(found[kind]) < n_faces:
                found[kind].append(face)
        if all(len(faces) == n_faces for faces in found.values()):
            break
    return [
        PreviewRow(f"{kind}\n{100 * probabilities[kind]:g}% of faces", faces) for kind, faces in found.items()
    ]


def mix_step(
    recipe: Recipe, dataset: FaceBatches, draws: list[Draw], step: int, classes: tuple[str, ...]
) -> Iterator[tuple[str, PreviewFace]]:
    """Yield the mixed faces of a step, with how each is mixed: ``mixup`` or ``cutmix``."""
    augment = recipe.data.augment
    seed = step_seed(recipe.runtime.seed, step=step, rank=0)
    mixing = plan_mixing(len(draws), augment, np.random.default_rng(seed), side=recipe.data.input_size)
    is_mixed = (mixing.own_fractions <= 1 - SMALLEST_MIX) & (mixing.partners != np.arange(len(draws)))
    if not is_mixed.any():
        return
    batch = mix_faces(dataset.__getitems__(draws), augment, np.random.default_rng(seed))
    labels = [int(dataset.faces.labels[draw.face]) for draw in draws]
    names = ["no label" if label == NO_LABEL else printable(classes[label]) for label in labels]
    for index in np.flatnonzero(is_mixed).tolist():
        image = np.rint(batch.images_rgb[index].numpy()).astype(np.uint8)
        percent = round(100 * float(mixing.own_fractions[index]))
        caption = f"{percent}% {names[index]}\n{100 - percent}% {names[mixing.partners[index]]}"
        kind = "mixup" if mixing.blended[index] else "cutmix"
        yield kind, PreviewFace(image, batch.targets["landmarks"][index].numpy(), caption)
