"""`mien compare`: reports side by side, and whether their models really differ on the same faces."""
