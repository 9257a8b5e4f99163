"""`mien bench`: time per face on this machine, step by step."""
