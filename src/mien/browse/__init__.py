"""`mien browse`: a contact sheet of a pack's faces, for looking at them."""

from mien.browse.sheet import require_image_suffix
from mien.browse.stage import browse, draw_rows

__all__ = ["browse", "draw_rows", "require_image_suffix"]
