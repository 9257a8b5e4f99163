"""`mien export`: write a run's selected network as one model file."""
