"""`mien compare`: compare reports of the same faces, and test whether their models differ significantly."""

from mien.compare.grouped import compare_groups
from mien.compare.grouped_summary import GroupedSummary
from mien.compare.stage import compare
from mien.compare.summary import ComparisonSummary

__all__ = ["ComparisonSummary", "GroupedSummary", "compare", "compare_groups"]
