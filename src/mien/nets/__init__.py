"""The networks (torch): the backbone with its heads, and the weights of a finished run."""
