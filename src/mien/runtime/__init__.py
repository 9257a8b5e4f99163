"""The process and the machine: progress, CPU cores, child processes, locks, terminal output, options."""
