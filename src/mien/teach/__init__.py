"""`mien teach`: a model file with other classes, from a folder or list of a few labeled photographs."""
