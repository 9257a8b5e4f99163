"""`mien export`: a run becomes one model file."""
