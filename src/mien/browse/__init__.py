"""`mien browse`: a sheet of a pack's faces, for people who would rather look than count."""

from mien.browse.sheet import require_image_suffix
from mien.browse.stage import browse, draw_rows

__all__ = ["browse", "draw_rows", "require_image_suffix"]
