"""Metrics: pure functions on numpy arrays, one idea per file.

Nothing here reads files, draws or prints. An undefined value (the precision of a class that was never
predicted, the correlation of a constant) is None, never NaN.
"""
