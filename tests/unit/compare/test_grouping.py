"""Which reports form a group, and the warnings about a group."""

from pathlib import Path

import pytest

from mien.compare.grouping import group_paths, note_recipes, require_different_models
from mien.compare.reports import read_report
from mien.errors import ArtifactError


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        pytest.param(
            ["a/seed-0/report", "b/seed-0/report", "a/seed-1/report"], {"a": [0, 2], "b": [1]}, id="folders"
        ),
        pytest.param(
            ["r/base-seed-0", "r/base-seed-1", "r/base-wide-seed-0"], {"base": [0, 1], "base-wide": [2]},
            id="suffixes",
        ),
        pytest.param(["seed0_a", "seed12_a", "seed0_b"], {"a": [0, 1], "b": [2]}, id="prefixes"),
        pytest.param(["r/Seed_1.a.report", "r/a.seed-2.report"], {"r/a.report": [0, 1]}, id="one group"),
        pytest.param(["r/a/seed-0", "r/a/b/seed-0"], {"a": [0], "b": [1]}, id="one within the other"),
        pytest.param(["a/1/report", "a/2/report"], {"1": [0], "2": [1]}, id="a number that is not a seed"),
        pytest.param(["faceseed3/x", "seedling-3/x", "seed-3x/x"],
                     {"faceseed3": [0], "seedling-3": [1], "seed-3x": [2]}, id="words that are not seeds"),
        pytest.param([".a/seed-0", "a/seed-0"], {".a": [0], "a": [1]}, id="similar names"),
    ],
)  # fmt: skip
def test_a_group_is_a_path_without_its_seed(paths: list[str], groups: dict[str, list[int]]) -> None:
    """Groups are named by what distinguishes them, in order of first appearance."""
    found = group_paths([Path(path) for path in paths])
    assert found == groups
    assert list(found) == list(groups)


def _report(write_report, path: Path, **model):
    return read_report(write_report(path, ["Happy"], ["Happy"], model=model))


def test_a_model_counts_once(write_report, tmp_path) -> None:
    """A copy of a report, or a repeated report, is rejected."""
    first, second, copy = (
        _report(write_report, tmp_path / f"seed-{i}", sha256=sha) for i, sha in enumerate(["1a", "2b", "1a"])
    )
    require_different_models("mine", [first, second])
    with pytest.raises(ArtifactError, match=r"seed-0 and .*seed-2 of group 'mine'"):
        require_different_models("mine", [first, second, copy])
    with pytest.raises(ArtifactError, match="same model"):
        require_different_models("mine", [first, first])


def _trained(seed: int, **data) -> dict:
    return {
        "recipe": {"data": {"augment": {"flip": 0.5}, **data}, "runtime": {"seed": seed, "workers": seed}}
    }


def test_differences_besides_the_seed(write_report, tmp_path) -> None:
    """Other seeds and worker counts are expected; another input size or a repeated seed gives a warning."""
    same = [_report(write_report, tmp_path / f"a{i}", training=_trained(i)) for i in range(2)]
    assert note_recipes("mine", same) == ()
    other = _report(write_report, tmp_path / "b", training=_trained(1, augment={"flip": 0}, input_size=64))
    notes = note_recipes("mine", [*same, other])
    assert "more than the seed: data.augment.flip, data.input_size" in notes[0]
    assert "same seed: 1" in notes[1]


def test_reports_without_training_records(write_report, tmp_path) -> None:
    """They give no warnings."""
    odd = [_report(write_report, tmp_path / f"a{i}", training=value) for i, value in enumerate([None, "x"])]
    assert note_recipes("mine", odd) == ()
