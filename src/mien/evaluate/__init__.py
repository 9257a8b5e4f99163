"""`mien evaluate`: how good a model file is on the faces of a pack, as a table, as data and as a page."""
