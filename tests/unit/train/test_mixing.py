"""Mixup and cutmix: the proportions of pixels and targets, and the landmarks."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from scipy import stats
from torch import Tensor

from mien.recipe import AugmentConfig
from mien.train.dataloader import Batch
from mien.train.mixing import mix_faces, plan_mixing

MIXUP = AugmentConfig(mixup_prob=1, mixup_alpha=0.4)
CUTMIX = AugmentConfig(cutmix_prob=1)
BOTH = AugmentConfig(mixup_prob=0.3, cutmix_prob=0.4)


def make_batch(n_faces: int = 200, side: int = 16) -> Batch:
    """Faces with one level and one class each, so that a mixture shows what it was made of."""
    random = np.random.default_rng(0)
    levels = torch.arange(n_faces, dtype=torch.uint8)[:, None, None, None]
    landmarks = random.random((n_faces, 68, 2)).astype(np.float32)
    landmarks[::7] = np.nan
    valence_arousal = random.uniform(-1, 1, (n_faces, 2)).astype(np.float32)
    valence_arousal[::5] = np.nan
    return Batch(
        levels.repeat(1, side, side, 3),
        {
            "expression": torch.eye(n_faces),
            "landmarks": torch.from_numpy(landmarks),
            "valence_arousal": torch.from_numpy(valence_arousal),
        },
    )


def mix(batch: Batch, config: AugmentConfig, seed: int = 0) -> Batch:
    return mix_faces(batch, config, np.random.default_rng(seed))


def origin(targets: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A face's own fraction and its partner, from its target; its own index if it is unmixed."""
    own = targets.diagonal().numpy().astype(float)
    others = targets.clone().fill_diagonal_(0)
    partner = torch.where(others.sum(dim=1) > 0, others.argmax(dim=1), torch.arange(len(targets)))
    return own, partner.numpy()


def assert_same(one: Batch, other: Batch) -> None:
    torch.testing.assert_close(tuple(one), tuple(other), rtol=0, atol=0, equal_nan=True)


def test_off_is_the_batch_itself() -> None:
    """Without mixing, the same batch is returned, with uint8 pixels."""
    batch = make_batch()
    assert mix(batch, AugmentConfig()) is batch


@pytest.mark.parametrize("config", [MIXUP, CUTMIX, BOTH], ids=["mixup", "cutmix", "both"])
def test_the_given_batch_is_left_alone(config: AugmentConfig) -> None:
    """A mixed batch is a new one of the same shapes, with floats in [0, 255]."""
    batch = make_batch()
    mixed = mix(batch, config)
    assert_same(batch, make_batch())
    assert mixed.images_rgb.shape == batch.images_rgb.shape
    assert {task: value.shape for task, value in mixed.targets.items()} == {
        task: value.shape for task, value in batch.targets.items()
    }
    assert {value.dtype for value in (mixed.images_rgb, *mixed.targets.values())} == {torch.float32}
    assert mixed.images_rgb.min() >= 0
    assert mixed.images_rgb.max() <= 255
    torch.testing.assert_close(
        mixed.targets["expression"].sum(dim=1), torch.ones(len(batch.targets["expression"]))
    )


@pytest.mark.parametrize("config", [MIXUP, CUTMIX, BOTH], ids=["mixup", "cutmix", "both"])
def test_the_generator_decides(config: AugmentConfig) -> None:
    """The same generator mixes the same way, another one differently."""
    assert_same(mix(make_batch(), config, seed=3), mix(make_batch(), config, seed=3))
    assert not torch.equal(*(mix(make_batch(), config, seed=seed).targets["expression"] for seed in (3, 4)))


def test_a_blend_is_one_convex_combination() -> None:
    """Pixels, targets, valence and arousal of a blend are mixed in one proportion, in which its own part is the larger."""
    random = np.random.default_rng(1)
    batch = make_batch(60)
    batch = batch._replace(
        images_rgb=torch.from_numpy(random.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8))
    )
    mixed = mix(batch, MIXUP)
    own, partner = origin(mixed.targets["expression"])
    assert (own >= 0.5).all()
    assert len(set(np.round(own[own < 1], 6))) > 40  # each face has a share of its own
    assert sorted(partner) == list(range(60))
    for images, wanted in (
        (mixed.images_rgb, batch.images_rgb),
        (mixed.targets["valence_arousal"], batch.targets["valence_arousal"]),
    ):
        shape = (-1,) + (1,) * (wanted.ndim - 1)
        values, share = wanted.numpy().astype(float), own.reshape(shape)
        np.testing.assert_allclose(images, share * values + (1 - share) * values[partner], atol=1e-3)


def test_a_blend_has_no_landmarks() -> None:
    """Two faces at once have no single set of landmarks."""
    assert torch.isnan(mix(make_batch(), MIXUP).targets["landmarks"]).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_fractions_of_mixup_follow_the_beta_distribution(alpha: float) -> None:
    """A face's own fraction is the larger of x and 1 - x, with x from Beta(alpha, alpha)."""
    n_faces = 4000
    batch = Batch(
        (torch.arange(n_faces) % 2)[:, None, None, None].repeat(1, 1, 1, 3).to(torch.uint8) * 255,
        {"expression": torch.eye(2)[torch.arange(n_faces) % 2]},
    )
    mixed = mix(batch, replace(MIXUP, mixup_alpha=alpha))
    # Two faces of one class do not show their proportion.
    share = mixed.targets["expression"].max(dim=1).values.numpy()
    share = share[(mixed.targets["expression"] > 0).all(dim=1).numpy()]
    if alpha > 0.5:  # else many shares differ from 1 by less than a float can tell
        assert len(share) == pytest.approx(n_faces / 2, rel=0.1)
    beta = stats.beta(alpha, alpha)
    top = beta.cdf(1 - 1e-7)
    folded = stats.kstest(share, lambda x: (2 * beta.cdf(x) - 1) / (2 * top - 1))
    assert folded.pvalue > 1e-3


def rectangle_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The smallest rectangle around a mask."""
    filled = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows):
        filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return filled


def test_a_pasted_rectangle_is_the_partners() -> None:
    """The pixels in a rectangle are another face's, elsewhere the face's own; its area is the target's fraction."""
    batch = make_batch()
    mixed = mix(batch, CUTMIX)
    own, partner = origin(mixed.targets["expression"])
    areas = []
    for face, image in enumerate(mixed.images_rgb.numpy()):
        pasted = (image != face).any(axis=2)
        np.testing.assert_array_equal(pasted, rectangle_of(pasted))
        assert (image[pasted] == partner[face]).all()
        assert own[face] == pytest.approx(1 - pasted.mean(), abs=1e-6)
        areas.append(pasted.mean())
    assert min(areas) < 0.05
    assert max(areas) > 0.7
    share = torch.from_numpy(own)[:, None]
    wanted = (
        share * batch.targets["valence_arousal"] + (1 - share) * batch.targets["valence_arousal"][partner]
    )
    mixed_faces = own < 1
    torch.testing.assert_close(
        mixed.targets["valence_arousal"][mixed_faces],
        wanted[mixed_faces].float(),
        equal_nan=True,
        rtol=1e-5,
        atol=1e-6,
    )


def test_landmarks_under_a_rectangle_are_hidden() -> None:
    """A landmark on a pasted pixel is NaN, one on the face's own pixels is unchanged."""
    batch = make_batch()
    mixed = mix(batch, CUTMIX)
    n_hidden = 0
    for face, image in enumerate(mixed.images_rgb.numpy()):
        pasted = (image != face).any(axis=2)
        before, after = batch.targets["landmarks"][face].numpy(), mixed.targets["landmarks"][face].numpy()
        if np.isnan(before).all():
            assert np.isnan(after).all()
            continue
        columns, rows = (before.T * 16).astype(int)
        hidden = pasted[rows, columns]
        n_hidden += hidden.sum()
        assert np.isnan(after[hidden]).all()
        np.testing.assert_array_equal(after[~hidden], before[~hidden])
    assert n_hidden > 1000


def test_landmarks_outside_of_the_image_stay() -> None:
    """No rectangle hides a landmark outside the image."""
    batch = make_batch()
    outside = batch._replace(
        targets={**batch.targets, "landmarks": torch.full_like(batch.targets["landmarks"], -0.01)}
    )
    outside.targets["landmarks"][:, ::2] = 1.01
    torch.testing.assert_close(
        mix(outside, CUTMIX).targets["landmarks"], outside.targets["landmarks"], rtol=0, atol=0
    )


def test_the_plan_is_what_is_done() -> None:
    """Planned with the step's generator, partners, fractions and rectangles are those of the mixed batch."""
    mixed = mix(make_batch(), BOTH, seed=6)
    plan = plan_mixing(200, BOTH, np.random.default_rng(6), side=16)
    own, partner = origin(mixed.targets["expression"])
    others = np.flatnonzero(plan.partners != np.arange(200))
    np.testing.assert_allclose(plan.own_fractions[others], own[others], atol=1e-6)
    seen = others[own[others] < 1]
    np.testing.assert_array_equal(plan.partners[seen], partner[seen])
    for face in seen:
        pasted = (mixed.images_rgb[face].numpy() != face).any(axis=2)
        x0, y0, x1, y1 = plan.boxes_xyxy[face]
        if plan.blended[face]:
            assert (x0, y0, x1, y1) == (0, 0, 0, 0)
        else:
            wanted = np.zeros((16, 16), dtype=bool)
            wanted[y0:y1, x0:x1] = True
            np.testing.assert_array_equal(pasted, wanted)


def test_mixing_probabilities_are_the_recipes() -> None:
    """Blends, faces with a rectangle and unmixed ones have the expected frequencies."""
    n_blended = n_pasted = 0
    for seed in range(20):
        mixed = mix(make_batch(), BOTH, seed)
        flat = (mixed.images_rgb == mixed.images_rgb[:, :1, :1]).all(dim=(1, 2, 3))
        changed = torch.from_numpy(origin(mixed.targets["expression"])[0]) < 1
        n_blended += int((changed & flat).sum())
        n_pasted += int((changed & ~flat).sum())
    # A rectangle may be empty or cover everything, and a face may be its own partner.
    assert n_blended / 4000 == pytest.approx(0.3, abs=0.04)
    assert n_pasted / 4000 == pytest.approx(0.4, abs=0.04)


def test_an_unmixed_face_is_as_it_was() -> None:
    """An unmixed face keeps every value exactly, also if its partner lacks valence and arousal."""
    batch = make_batch()
    mixed = mix(batch, BOTH)
    kept = torch.from_numpy(origin(mixed.targets["expression"])[0]) == 1
    assert 40 < kept.sum() < 80
    same = torch.ones(200, dtype=torch.bool)
    pairs = [(mixed.images_rgb, batch.images_rgb)]
    pairs += [(mixed.targets[task], values) for task, values in batch.targets.items()]
    for ours, theirs in pairs:
        same &= ((ours == theirs) | (ours.isnan() & theirs.isnan())).flatten(1).all(dim=1)
    assert (kept & ~same).sum() <= 2  # a face that is its own partner


def test_a_mixture_with_a_missing_label_has_none() -> None:
    """If either face lacks valence and arousal, so does their mixture; if both have them, so does it."""
    batch = make_batch()
    mixed = mix(batch, MIXUP)
    own, partner = origin(mixed.targets["expression"])
    lacking = torch.isnan(batch.targets["valence_arousal"][:, 0])
    is_mixed = torch.from_numpy(own < 1)
    wanted = lacking | (lacking[partner] & is_mixed)
    assert 0 < wanted.sum() < len(wanted)
    assert torch.equal(torch.isnan(mixed.targets["valence_arousal"]).all(dim=1), wanted)


def test_a_batch_of_one_face_stays_that_face() -> None:
    """A face that can only be mixed with itself looks as before."""
    batch = make_batch(1)
    for config in (MIXUP, CUTMIX):
        mixed = mix(batch, config)
        torch.testing.assert_close(mixed.images_rgb, batch.images_rgb.float())
        torch.testing.assert_close(mixed.targets["expression"], batch.targets["expression"])
