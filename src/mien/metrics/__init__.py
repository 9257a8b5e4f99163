"""How good a model is: pure functions on numpy arrays, one idea a file.

Nothing here reads a file, draws or prints. A value that does not exist (the precision of a class never
predicted, the correlation of a constant) is None, never NaN.
"""
