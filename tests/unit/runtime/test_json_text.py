"""JSON texts in which Python's reader would let something pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.runtime.json_text import parse_json

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@given(_VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_python_writes_is_read_back(value: object, encoding: str) -> None:
    text = json.dumps(value)
    assert parse_json(text) == parse_json(text.encode(encoding)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"top": 1, "prior": "half", "top": 2}', "the key 'top' occurs more than once"),
        ('[{"a": {"b": 1, "b": 1}}]', "the key 'b' occurs more than once"),
        ("NaN", "not finite"),
        ("-Infinity", "not finite"),
        ("1e999", "not finite"),
        (str(2**63), "more than 64 bits"),
        ("[" * 100_000, "nested too deeply"),
        (b'"\xed\xa0\x80"', "can't decode"),
        ("{'a': 1}", "Expecting property name"),
    ],
)
def test_what_python_would_let_pass_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)
