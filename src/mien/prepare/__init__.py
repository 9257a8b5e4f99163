"""`mien prepare`: turns a raw data set into a pack."""
