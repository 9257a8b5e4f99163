"""The terms of use of a raw dataset: what its user states, what the authors of its kind state, or that it was drawn."""

from pathlib import Path

from mien.artifacts import read_json
from mien.datasets.base import CroppedDataset, FaceDataset
from mien.datasets.dataset_file import open_sources
from mien.datasets.registry import DATASETS, DatasetOptions
from mien.datasets.sample_mark import SAMPLE_MAKER, SAMPLE_MARK
from mien.errors import ArtifactError

DRAWN = "none, its faces were drawn by `mien sample`"
# A layout does not prove that a set is the one that it is named for.
IF_IT_IS = ", if this is that set"


def find_terms(kind: str, raw: Path, dataset: FaceDataset, options: DatasetOptions) -> str | None:
    """Return the terms of use of a raw dataset, or None if they are unknown; of a file that describes several sets, all of them.

    Args:
        kind: a key of `DATASETS`.
        raw: its path.
        dataset: the set as it was opened there; its name begins with the kind that it turned out to be.
        options: how it was opened; terms that they state come first.
    """
    if options.terms is not None:
        return options.terms
    if isinstance(dataset, CroppedDataset):
        return dataset.terms
    if kind == "yaml":
        sources = open_sources(raw)[0]
        found = [find_terms(source.kind, source.raw, source.dataset, source.options) for source in sources]
        return "; ".join(dict.fromkeys(terms for terms in found if terms is not None)) or None
    mark = (raw if raw.is_dir() else raw.parent) / SAMPLE_MARK
    try:
        if mark.is_file() and SAMPLE_MAKER.items() <= read_json(mark, what="mark of a drawn set").items():
            return DRAWN
    except ArtifactError:
        pass  # a file of another program that has this name
    kinds = [kind for kind in DATASETS if dataset.name == kind or dataset.name.startswith(f"{kind}-")]
    terms = DATASETS[max(kinds, key=len)].terms if kinds else None
    if terms is None or "none found" in terms:
        return terms
    return terms + IF_IT_IS
