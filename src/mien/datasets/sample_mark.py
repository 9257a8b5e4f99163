"""The file by which a set that `mien sample` drew is known: it may be replaced, and has no terms of use."""

SAMPLE_MARK = "sample.json"
SAMPLE_MAKER = {"made_by": "mien sample"}
