"""The hook by which PyInstaller finds what mien needs at run time; the entry point ``pyinstaller40`` names this module."""

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Return the folder with the hook."""
    return [str(Path(__file__).parent)]
