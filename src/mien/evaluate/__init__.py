"""`mien evaluate`: the metrics of a model file on a split of a pack, as a table, as data and as an HTML report."""

from mien.evaluate.stage import EvaluationSummary, evaluate

__all__ = ["EvaluationSummary", "evaluate"]
