"""`mien doctor`: what is installed, what this machine has, what is missing, and the command that fixes it."""
