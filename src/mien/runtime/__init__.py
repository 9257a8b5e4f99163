"""The process and the machine: progress, CPU cores, child processes."""
