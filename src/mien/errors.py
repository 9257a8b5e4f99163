"""Expected failures, and how a command reports them.

MienError             (exit code 1 unless noted)
├── DatasetError      a raw dataset does not have the layout or content of its kind
├── RecipeError       a recipe has a wrong key, type or value, or options exclude each other (exit code 2)
├── ArtifactError     a pack, run, model or report is missing, damaged, from another version, or in the way
├── SourceError       an input, address, port, font or detector file cannot be used
├── ModelError        a network or model file cannot be built, loaded, run or exported
├── EngineError       the workers of an engine cannot be reached, or were lost
├── StoppedError      training received SIGTERM (exit code 143)
└── MissingExtraError an optional part of mien is not installed

A message says, in one line, what was required, what was found, where, and what to do next. Mistakes of a programmer who
calls the Python API are ``ValueError`` and ``TypeError``, not these.
"""

import signal


class MienError(Exception):
    """Base class of expected failures. The command line prints the message on one line."""

    exit_code = 1


class DatasetError(MienError):
    """A raw dataset does not have the layout or content of its kind."""


class RecipeError(MienError):
    """A recipe has a wrong key, type or value, or options exclude each other."""

    exit_code = 2


class ArtifactError(MienError):
    """A pack, run, model or report is missing, damaged, from another version, or in the way."""


class SourceError(MienError):
    """An input, address, port, font or detector file cannot be used."""


class ModelError(MienError):
    """A network or model file cannot be built, loaded, run or exported."""


class EngineError(MienError):
    """The workers of an engine cannot be reached, or were lost."""


class StoppedError(MienError):
    """Training received SIGTERM."""

    exit_code = 128 + signal.SIGTERM


class MissingExtraError(MienError):
    """An optional part of mien is not installed."""

    def __init__(self, command: str, extra: str) -> None:
        super().__init__(f"`mien {command}` needs the `{extra}` extra: pip install 'mien[{extra}]'")
