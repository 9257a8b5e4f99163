"""`mien audit`: which labels of a pack are probably wrong, and a page on which to correct them."""
