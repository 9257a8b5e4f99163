"""Colors of things that a plot tells apart, legible on light and on dark pages."""

SERIES_COLORS = (
    *("#3554d1", "#e8743b", "#19a979", "#945ecf", "#13a4b4", "#bf399e"),
    *("#6c8893", "#d9a400", "#8c564b", "#e05780", "#7a9a01"),
)


def series_color(index: int) -> str:
    """Return the color of the i-th thing; colors repeat after eleven."""
    return SERIES_COLORS[index % len(SERIES_COLORS)]
