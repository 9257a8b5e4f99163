"""What several tests of training share."""

import shutil
from pathlib import Path

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


@pytest.fixture
def unfinished(trained_run: Path, tmp_path: Path) -> Path:
    """A run that was killed after its last epoch, before its result."""
    run = Path(shutil.copytree(trained_run, tmp_path / "unfinished"))
    (run / "result.json").unlink()
    (run / "dev.npz").unlink()
    return run
