"""Protobuf's wire format, against protobuf's own library."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the messages to compare with are onnx's")

import onnx

from mien.runtime.protobuf import split_fields, write_field


def test_fields_are_those_that_protobuf_reads() -> None:
    """A message of integers, text and bytes that is written here is read by protobuf, and the other way round."""
    content = b"".join(
        [
            write_field(1, 300),
            write_field(1, 2**40),
            write_field(2, 1),
            write_field(8, "Ärger"),
            write_field(9, bytes(200)),
        ]
    )
    tensor = onnx.TensorProto.FromString(content)
    assert (list(tensor.dims), tensor.data_type, tensor.name) == ([300, 2**40], 1, "Ärger")
    assert tensor.raw_data == bytes(200)
    written = onnx.numpy_helper.from_array(np.arange(500, dtype=np.float32), "name").SerializeToString()
    fields = split_fields(written)
    assert b"".join(field for _, field, _ in fields) == written
    assert [value for number, _, value in fields if number == 9] == [
        np.arange(500, dtype=np.float32).tobytes()
    ]


def test_a_damaged_message() -> None:
    with pytest.raises(ValueError, match="truncated or damaged"):
        split_fields(write_field(9, bytes(50))[:-1])
