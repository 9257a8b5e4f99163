"""`mien prepare`: a raw set becomes a pack."""
