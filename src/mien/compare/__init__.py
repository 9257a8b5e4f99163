"""`mien compare`: compare reports of the same faces, and test whether their models differ significantly."""
