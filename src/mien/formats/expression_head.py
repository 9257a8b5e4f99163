"""Other classes for a model file: another expression head on its `features`, written without the onnx package.

The parts of the graph are kept as they are, byte for byte, except for those that only the old head needed. Field numbers
are those of onnx.proto3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.formats.model_file import HASH_KEY, ZEROS, with_hash
from mien.formats.onnx_model import FEATURES_NAME, METADATA_KEY, ModelInfo
from mien.runtime.protobuf import split_fields, write_field

# Fields of the model, the graph, a node, an attribute, and of tensors and descriptions of values.
_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER, _OUTPUT, _VALUE_INFO = 1, 5, 12, 13
_INPUT_OF_NODE, _OUTPUT_OF_NODE, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5
_SUBGRAPHS = {6, 11}
_NAME = {_INITIALIZER: 8, _OUTPUT: 1, _VALUE_INFO: 1}
_DATA_TYPES = {"float32": 1, "int64": 7}
_INTEGER_ATTRIBUTE = 2
# The names under which an export stores the head.
WEIGHT, BIAS = "network.expression_head.weight", "network.expression_head.bias"


@dataclass(frozen=True, slots=True, eq=False)
class ExpressionHead:
    """A linear layer on a model's features, and how its outputs become probabilities.

    With ``keeps_classes`` the first row stands for "none of the new classes": its probability is divided among the classes
    of the model as the model divides it, so that the odds between any two of them stay as they are.

    Attributes:
        weight: ``(K, F)``.
        bias: ``(K,)``.
        temperature: divisor of the logits.
        keeps_classes: the classes are those of the model, and then those of all rows but the first.
        merging: ``(C, D)`` of zeros and ones, which adds up the probabilities of C classes to those of D; or None.
    """

    weight: NDArray[np.floating]
    bias: NDArray[np.floating]
    temperature: float = 1.0
    keeps_classes: bool = False
    merging: NDArray[np.floating] | None = None

    def combine(self, gate: NDArray[np.floating], kept: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return probabilities ``(N, D)`` as the graph computes them.

        Args:
            gate: ``(N, K)`` probabilities of the rows.
            kept: ``(N, C)`` probabilities of the model's own classes, for ``keeps_classes``.
        """
        joined = np.concatenate([gate[:, :1] * kept, gate[:, 1:]], axis=1) if self.keeps_classes else gate
        return np.asarray(joined if self.merging is None else joined @ self.merging, dtype=np.float64)


def replace_head(content: bytes, head: ExpressionHead, info: ModelInfo) -> bytes:
    """Return a model file with another expression head, other metadata, and its hash.

    Args:
        content: a model file with the output `features`.
        head: the new head.
        info: the new metadata.
    """
    parts = []
    for number, field, value in split_fields(content):
        if number == _GRAPH:
            parts.append(write_field(_GRAPH, _replace_in_graph(value, head, len(info.classes))))
        elif number != _METADATA:
            parts.append(field)
    for key, text in ((METADATA_KEY, info.to_json()), (HASH_KEY, ZEROS.decode())):
        parts.append(write_field(_METADATA, write_field(1, key) + write_field(2, text)))
    return with_hash(b"".join(parts))


def _replace_in_graph(graph: bytes, head: ExpressionHead, n_classes: int) -> bytes:
    fields = split_fields(graph)
    nodes = [split_fields(value) for number, _, value in fields if number == _NODE]
    outputs = [_name_of(number, value) for number, _, value in fields if number == _OUTPUT]
    needed = {name for name in outputs if name != b"expression"}
    # A subgraph may use tensors that its node does not list.
    keeps_all = head.keeps_classes or any(
        _SUBGRAPHS.intersection(found for found, _, _ in split_fields(value))
        for node in nodes
        for number, _, value in node
        if number == _ATTRIBUTE
    )
    kept_nodes = []
    for node in reversed(nodes):  # a node comes after those whose outputs it takes
        if keeps_all or needed.intersection(value for number, _, value in node if number == _OUTPUT_OF_NODE):
            kept_nodes.append(node)
            needed.update(value for number, _, value in node if number == _INPUT_OF_NODE)
    kept_nodes.reverse()
    taken = needed.union(
        value for node in kept_nodes for number, _, value in node if number == _OUTPUT_OF_NODE
    )
    added = _HeadWriter(taken)
    old_name = added.unused("kept_expression")
    parts = []
    for node in kept_nodes:
        renamed = [
            write_field(number, old_name)
            if number in (_INPUT_OF_NODE, _OUTPUT_OF_NODE) and value == b"expression"
            else field
            for number, field, value in node
        ]
        parts.append(write_field(_NODE, b"".join(renamed)))
    added.write(head, old_name)
    for number, field, value in fields:
        if number == _OUTPUT and _name_of(number, value) == b"expression":
            parts.append(write_field(_OUTPUT, _with_classes(value, n_classes)))
        elif number not in (_NODE, _INITIALIZER, _VALUE_INFO) or _name_of(number, value) in taken - {
            b"expression"
        }:
            parts += [] if number == _NODE else [field]
    return b"".join([*parts, *added.fields])


def _name_of(number: int, value: bytes) -> bytes:
    """Return the name of an initializer, an output or a description of a value; of others nothing."""
    return next((name for found, _, name in split_fields(value) if found == _NAME.get(number)), b"")


def _with_classes(output: bytes, n_classes: int) -> bytes:
    """Return the description of an output ``(N, C)`` with another C: name, then type, tensor, shape, and two dimensions."""

    def replace(message: bytes, *path: int) -> bytes:
        if not path:
            first = next(field for number, field, _ in split_fields(message) if number == 1)
            return first + write_field(1, write_field(1, n_classes))
        return b"".join(
            write_field(number, replace(value, *path[1:])) if number == path[0] else field
            for number, field, value in split_fields(message)
        )

    return replace(output, 2, 1, 2)


class _HeadWriter:
    """Writes the nodes and tensors of a head, under names that the graph does not have.

    Attributes:
        fields: what has been written, as fields of the graph.
    """

    def __init__(self, taken: set[bytes]) -> None:
        self.fields: list[bytes] = []
        self._taken = set(taken)

    def unused(self, name: str) -> str:
        """Return a name that is not taken yet, and take it."""
        while name.encode() in self._taken:
            name += "_"
        self._taken.add(name.encode())
        return name

    def write(self, head: ExpressionHead, kept: str) -> None:
        """Write the head; ``kept`` names the probabilities of the kept classes."""
        weight, bias = self._tensor(WEIGHT, head.weight), self._tensor(BIAS, head.bias)
        temperature = self._tensor("temperature", np.array(head.temperature))
        logits = self._node("Gemm", [FEATURES_NAME, weight, bias], "logits", transB=1)
        scaled = self._node("Div", [logits, temperature], "scaled_logits")
        last = self._node("Softmax", [scaled], "gate", axis=1)
        if head.keeps_classes:
            sizes = self._tensor("sizes", np.array([1, len(head.bias) - 1]), kind="int64")
            rest, new = self.unused("rest"), self.unused("new")
            self._add("Split", [last, sizes], [rest, new], axis=1)
            old = self._node("Mul", [kept, rest], "rest_expression")
            last = self._node("Concat", [old, new], "joined", axis=1)
        if head.merging is not None:
            last = self._node("MatMul", [last, self._tensor("merging", head.merging)], "merged")
        self._add("Identity", [last], ["expression"])

    def _tensor(self, name: str, values: NDArray[np.generic], *, kind: str = "float32") -> str:
        array = values.astype(np.dtype(kind).newbyteorder("<"))
        name = self.unused(name)
        dimensions = b"".join(write_field(1, size) for size in array.shape)
        tensor = [
            dimensions,
            write_field(2, _DATA_TYPES[kind]),
            write_field(8, name),
            write_field(9, array.tobytes()),
        ]
        self.fields.append(write_field(_INITIALIZER, b"".join(tensor)))
        return name

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        name = self.unused(output)
        self._add(operator, inputs, [name], **attributes)
        return name

    def _add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int) -> None:
        parts = [write_field(_INPUT_OF_NODE, name) for name in inputs]
        parts += [write_field(_OUTPUT_OF_NODE, name) for name in outputs]
        parts.append(write_field(_OPERATOR, operator))
        for name, value in attributes.items():
            attribute = write_field(1, name) + write_field(3, value) + write_field(20, _INTEGER_ATTRIBUTE)
            parts.append(write_field(_ATTRIBUTE, attribute))
        self.fields.append(write_field(_NODE, b"".join(parts)))
