"""`mien prepare`: turns a raw dataset into a pack."""
