"""`mien bench`: how long a face takes on this machine, step by step."""
