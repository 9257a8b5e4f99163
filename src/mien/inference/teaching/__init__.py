"""Other classes from a few labeled faces: a linear layer on the features of a model file, in numpy.

`lesson.teach` does all of it; `regression` fits the layer, `cross_validation` chooses its strength and measures it, and
`card` says in words what came out.
"""
