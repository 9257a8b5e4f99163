"""The failures that mien expects, and how a command reports them.

MienError
├── DatasetError    a raw set cannot be read as what it was said to be
├── RecipeError     a recipe has a wrong key, type or value (exit code 2)
├── ArtifactError   a pack, run, model or report is missing, broken or from another version
├── SourceError     an image, folder, video or camera given to ``predict`` cannot be used
├── ModelError      a network cannot be built, loaded or exported
├── StoppedError    a SIGTERM asked a training to end (exit code 143)
└── MissingExtraError   an optional part of mien is not installed

A message says what was required, what came, where, and what to do next, in one line. Mistakes of a
programmer calling the Python API are ``ValueError`` and ``TypeError``, not these.
"""

import signal


class MienError(Exception):
    """Base of every expected failure. The command line prints its message as one line."""

    exit_code = 1


class DatasetError(MienError):
    """A raw set cannot be read as what it was said to be."""


class RecipeError(MienError):
    """A recipe has a wrong key, type or value."""

    exit_code = 2


class ArtifactError(MienError):
    """A pack, run, model or report is missing, broken, from another version, or in the way."""


class SourceError(MienError):
    """An image, folder, video, camera or address given to ``predict`` cannot be used."""


class ModelError(MienError):
    """A network cannot be built, loaded or exported."""


class StoppedError(MienError):
    """A SIGTERM asked a training to end before its time."""

    exit_code = 128 + signal.SIGTERM


class MissingExtraError(MienError):
    """An optional part of mien is not installed."""

    def __init__(self, verb: str, extra: str) -> None:
        super().__init__(f"`mien {verb}` needs the `{extra}` extra: pip install 'mien[{extra}]'")
