"""`mien explain`: why a model answers as it does for a face, as maps, near training faces, a page and JSON."""
