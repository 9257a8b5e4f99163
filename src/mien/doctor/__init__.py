"""`mien doctor`: what is installed, what this machine has, what is missing, and the command that fixes it."""

from mien.doctor.report import run_doctor

__all__ = ["run_doctor"]
