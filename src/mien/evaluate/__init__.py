"""`mien evaluate`: the metrics of a model file on a split of a pack, as a table, as data and as an HTML report."""
