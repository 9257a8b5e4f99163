"""`mien cite`: what to cite for a model file, as BibTeX: its data, its recipe, the software."""
