"""JSON texts, where Python's reader would be lenient: numbers that are none, and keys of which the last one wins."""

import json
import math
from collections import Counter
from typing import Any


def parse_json(text: str | bytes | bytearray) -> Any:
    """Return the value of a JSON text; bytes are UTF-8, with or without a byte order mark, UTF-16 or UTF-32.

    Raises:
        ValueError: it is not JSON, is nested too deeply, repeats a key, or has a number that is not finite or exceeds 64 bits.
    """

    def parse_int(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**63:
            raise ValueError(f"the number {digits[:20]} has more than 64 bits")
        return value

    if not isinstance(text, str):
        # Strictly: json.loads would let bytes pass that are no characters.
        text = text.decode(json.detect_encoding(text))
    try:
        return json.loads(
            text,
            parse_constant=_finite_float,
            parse_float=_finite_float,
            parse_int=parse_int,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {key[:40]!r} occurs more than once")
    return values


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is not finite")
    return value
