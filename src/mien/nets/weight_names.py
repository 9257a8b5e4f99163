"""Fitting the tensors of another file to a backbone, whatever names their library gave them.

Libraries wrap the same layers in different names (``module.``, ``backbone.``, ``_orig_mod.``), and some name the layers
differently (timm ``blocks.0.0.conv_dw``, torchvision ``features.1.0.block.0.0``, efficientnet_pytorch
``_blocks.0._depthwise_conv``, mmpretrain ``layers.1.0.depthwise_conv.conv``) but define them in the same order.
"""

from typing import NamedTuple

from torch import Tensor

# The count of batches says nothing about the network, and files of old torch releases lack it.
COUNTER = "num_batches_tracked"
# By order, at least this fraction of the backbone must agree without a gap: a few equal shapes prove nothing.
MIN_FRACTION_BY_ORDER = 0.9
MAX_PREFIX_PARTS = 6
# Parts of prefixes that say that the tensors are a moving average of the weights.
_AVERAGES = frozenset(("average", "averaged_model", "ema", "ema_model", "model_ema", "module_ema"))


class Fit(NamedTuple):
    """How a file fits a backbone.

    Attributes:
        tensors: the file's tensors under the backbone's own names, in its shapes.
        n_matched: how many of them count; the count of batches of a norm does not.
        n_total: how many tensors of the backbone count.
        prefix: what stands before the backbone's names in the file, with its last dot.
        by_order: whether they were matched by order and shape because the names are another library's.
        missing: names of the backbone's tensors that the file lacks, or has in another shape.
        unused: names in the file that fit nothing.
    """

    tensors: dict[str, Tensor]
    n_matched: int
    n_total: int
    prefix: str
    by_order: bool
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def fit_backbone(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> Fit:
    """Match a file's tensors to a backbone's by name, or by order if the names are another library's.

    Args:
        tensors: tensors of the file.
        own: the backbone's state dict.
    """
    prefixes = dict.fromkeys(
        "".join(f"{part}." for part in name.split(".")[:n])
        for name in tensors
        for n in range(min(name.count("."), MAX_PREFIX_PARTS) + 1)
    )
    # A moving average comes first: of equal fits, the first one counts.
    prefixes = dict.fromkeys(sorted(prefixes, key=lambda prefix: _AVERAGES.isdisjoint(prefix.split("."))))
    best: tuple[int, str, dict[str, str]] = (0, "", {})
    for by_order in (False, True):
        for prefix in prefixes:
            pairs = (_pair_by_order if by_order else _pair_by_name)(tensors, own, prefix)
            n_matched = sum(map(_counts, pairs))
            if n_matched > best[0]:
                best = (n_matched, prefix, pairs)
                is_by_order = by_order
    n_matched, prefix, pairs = best
    counting = [name for name in own if _counts(name)]
    taken = set(pairs.values())
    return Fit(
        {name: tensors[theirs].reshape(own[name].shape) for name, theirs in pairs.items()},
        n_matched,
        len(counting),
        prefix,
        bool(pairs) and is_by_order,
        tuple(name for name in counting if name not in pairs),
        tuple(name for name in tensors if name not in taken and _counts(name)),
    )


def _counts(name: str) -> bool:
    return name.rpartition(".")[2] != COUNTER


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape without trailing ones: some libraries have a linear layer where others have a 1x1 convolution."""
    shape = tuple(tensor.shape)
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _pair_by_name(tensors: dict[str, Tensor], own: dict[str, Tensor], prefix: str) -> dict[str, str]:
    return {
        name: prefix + name
        for name, value in own.items()
        if prefix + name in tensors and _shape(tensors[prefix + name]) == _shape(value)
    }


def _pair_by_order(tensors: dict[str, Tensor], own: dict[str, Tensor], prefix: str) -> dict[str, str]:
    """Pair the longest run from the start in which the last part of the names and the shapes agree."""
    theirs = [name for name in tensors if name.startswith(prefix) and _counts(name)]
    ours = [name for name in own if _counts(name)]
    pairs: dict[str, str] = {}
    for name, other in zip(ours, theirs, strict=False):
        kinds = name.rpartition(".")[2], other.rpartition(".")[2]
        if kinds[0] != kinds[1] or _shape(own[name]) != _shape(tensors[other]):
            break
        pairs[name] = other
    return pairs if len(pairs) >= MIN_FRACTION_BY_ORDER * len(ours) else {}
