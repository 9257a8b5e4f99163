"""The network (torch): the backbone with its heads, and loading the weights of a finished run."""
