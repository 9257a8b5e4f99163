"""Models on the Hugging Face Hub, named ``hf://ORG/NAME[@REVISION][/FILE]``: fetched through huggingface_hub.

It keeps them in its own cache (``HF_HOME``), finds the token where `hf auth login` leaves it (or in ``HF_TOKEN``), and asks
another Hub if ``HF_ENDPOINT`` names one. Without network, what is in the cache is used. A fetched file is read like any
other model file, with the same checks.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mien.errors import ArtifactError, MienError, MissingExtraError
from mien.runtime.progress import PROGRESS_LOGGER

_log = logging.getLogger(__name__)

SCHEME = "hf://"
MODEL_FILE = "model.onnx"
CARD_FILE = "README.md"
FORM = "hf://ORG/NAME, hf://ORG/NAME@REVISION or hf://ORG/NAME/FILE.onnx"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
# A revision has slashes only as a reference of the Hub, such as a pull request's.
_ADDRESS = re.compile(
    rf"hf://(?P<repo>{_NAME}/{_NAME})(?:@(?P<revision>refs/(?:pr|convert)/[\w.-]+|[\w.-]+))?(?:/(?P<file>.+))?",
    re.ASCII,
)
_LOG_IN = "Run `hf auth login`, or set HF_TOKEN"
# What an address lacks, by the exception of `huggingface_hub.errors`; an exception comes before those that it derives from.
_FAILURES = {
    "LocalEntryNotFoundError": "is not in the cache, and the Hub cannot be reached: {answer}. Check the network, and that "
    "neither HF_HUB_OFFLINE nor HF_ENDPOINT is set by mistake",
    "GatedRepoError": f"needs its authors' permission: request it on its page. {_LOG_IN}",
    "RepositoryNotFoundError": f"does not exist, or is private. Check the name. {_LOG_IN}",
    "RevisionNotFoundError": "has no such revision. Name a branch, a tag or a commit",
    "EntryNotFoundError": f"has no such file; without a name, {MODEL_FILE} is meant. Name it as hf://ORG/NAME/FILE.onnx",
    "LocalTokenNotFoundError": f"needs a token. {_LOG_IN}",
}


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A model on the Hub.

    Attributes:
        repo: ``ORG/NAME``.
        revision: branch, tag or commit; None for the default branch.
        file: path of the model file in the repository.
    """

    repo: str
    revision: str | None = None
    file: str = MODEL_FILE

    @classmethod
    def parse(cls, text: str) -> "HubAddress":
        """Return what an address names.

        Raises:
            ValueError: it is not one.

        Example:
            >>> HubAddress.parse("hf://org/faces@v1")
            HubAddress(repo='org/faces', revision='v1', file='model.onnx')
        """
        match = _ADDRESS.fullmatch(text)
        file = (match["file"] if match else None) or MODEL_FILE
        is_local = (
            not file.startswith("/") and not {"", ".", ".."} & set(file.split("/")) and "\\" not in file
        )
        if match is None or not is_local or not file.endswith(".onnx") or "--" in match["repo"]:
            raise ValueError(f"must be {FORM}, got {text!r}")
        return cls(match["repo"], match["revision"], file)

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{SCHEME}{self.repo}{revision}" + ("" if self.file == MODEL_FILE else f"/{self.file}")


def is_hub_address(text: object) -> bool:
    """Return whether a model is named by an address on the Hub."""
    return isinstance(text, str) and text.startswith(SCHEME)


def fetch_model(text: str) -> Path:
    """Return the path of a model on the Hub in huggingface_hub's cache, and fetch its card beside it if there is one.

    Raises:
        ArtifactError: the address is invalid, there is no such file, it may not be read, or the Hub cannot be reached and
            the file is not in the cache.
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        address = HubAddress.parse(text)
    except ValueError as error:
        raise ArtifactError(f"A model on the Hub {error}") from None
    with hub_errors(str(address)):
        # Only what is on the Hub needs it.
        from huggingface_hub import hf_hub_download, try_to_load_from_cache  # noqa: PLC0415
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: PLC0415

        path = Path(
            hf_hub_download(address.repo, address.file, revision=address.revision, endpoint=endpoint())
        )
        # The card is of the commit that the model is from. That it has none is in the cache too.
        commit = path.parents[address.file.count("/")].name
        if try_to_load_from_cache(address.repo, CARD_FILE, revision=commit) is None:
            try:
                hf_hub_download(address.repo, CARD_FILE, revision=commit, endpoint=endpoint())
            except (EntryNotFoundError, LocalEntryNotFoundError):
                _log.debug("%s has no card", address)
    return path


def endpoint() -> str | None:
    """Return the address of the Hub that ``HF_ENDPOINT`` names; None for the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def cached_repo(path: Path) -> str | None:
    """Return the repository, ``ORG/NAME``, that a file in huggingface_hub's cache is from; None for any other file."""
    for folder in path.parents:
        if folder.name == "snapshots" and folder.parent.name.startswith("models--"):
            return folder.parent.name.removeprefix("models--").replace("--", "/")
    return None


@contextmanager
def hub_errors(shown: str) -> Iterator[None]:
    """Turn what huggingface_hub raises in the block into errors of one line, and show its progress only where mien does.

    Args:
        shown: the address, as messages show it.

    Raises:
        ArtifactError: see `fetch_model`.
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import errors  # noqa: PLC0415 - only what is on the Hub needs it
        from huggingface_hub.utils import (  # noqa: PLC0415
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"... {shown}", "hub") from error
    hides_bars = not logging.getLogger(PROGRESS_LOGGER).isEnabledFor(logging.INFO)
    hides_bars = hides_bars and not are_progress_bars_disabled()
    if hides_bars:
        disable_progress_bars()
    try:
        yield
    except (MienError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - those of the HTTP client too, which has changed between releases
        # The outermost error often does not say why.
        cause: BaseException = error
        while cause.__cause__ is not None and not hasattr(cause, "response"):
            cause = cause.__cause__
        answer = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        for name, what in _FAILURES.items():
            if isinstance(error, getattr(errors, name)):
                raise ArtifactError(f"{shown} {what.format(answer=answer)}") from None
        status = getattr(getattr(cause, "response", None), "status_code", None)
        advice = (
            f"The token must be allowed to do this. {_LOG_IN}"
            if status in (401, 403)
            else "Check the network"
        )
        hub = endpoint() or "The Hub"
        raise ArtifactError(f"{hub} cannot be used for {shown}: {answer}. {advice}") from None
    finally:
        if hides_bars:
            enable_progress_bars()
