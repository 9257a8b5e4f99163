"""What several tests of training share."""

import pytest

from mien.recipe import AugmentConfig


@pytest.fixture(scope="session")
def still() -> AugmentConfig:
    """Return augmentation that changes nothing."""
    return AugmentConfig(
        hflip_prob=0,
        affine_prob=0,
        rotation_deg=0,
        scale=0,
        shift=0,
        brightness=0,
        contrast=0,
        saturation=0,
        erase_prob=0,
    )
