"""`mien push`: upload a model file with its card in one commit."""

import logging
import shutil
from pathlib import Path

from mien.artifacts import file_sha256, new_folder
from mien.assets.bundled_models import find_model, read_card
from mien.assets.hub import CARD_FILE, MODEL_FILE, SCHEME, HubAddress, endpoint, hub_errors
from mien.errors import ArtifactError
from mien.formats.model_file import read_model_file
from mien.formats.onnx_model import OnnxModel
from mien.formats.report_file import read_report_on
from mien.push.card import build_card
from mien.push.options import PushOptions
from mien.runtime.language import Language

_log = logging.getLogger(__name__)


def push(model: str | Path, address: str, options: PushOptions | None = None) -> str:
    """Upload a model and its card to the Hugging Face Hub, or write what would be uploaded to a folder.

    Args:
        model: a file written by `mien export`, with a license.
        address: ``hf://ORG/NAME``; ``@BRANCH`` for another branch than the default one.
        options: see `PushOptions`.

    Returns:
        One line that says what was uploaded, and how to load it.

    Raises:
        ArtifactError: the address is invalid; the model cannot be used, has no license or no hash; a report is of another
            model; the repository holds a model already; or the Hub cannot be reached or refuses.
        MissingExtraError: huggingface_hub is not installed.
    """
    options = options or PushOptions()
    try:
        target = HubAddress.parse(address)
    except ValueError as error:
        raise ArtifactError(f"The target {error}") from None
    path = find_model(model)
    info, sha256 = OnnxModel.load(path).info, file_sha256(path)
    if target.file != MODEL_FILE:
        raise ArtifactError(
            f"The model is uploaded as {MODEL_FILE}: give {SCHEME}{target.repo} without a file"
        )
    if read_model_file(path).sha256 is None:
        raise ArtifactError(
            f"{path} is from an earlier release and has no hash, so a damaged copy could not be detected. "
            "Export it again"
        )
    if not info.license.strip():
        raise ArtifactError(
            f"{path} states no license, without which nobody may use it. Export it again with `--license TEXT`"
        )
    metrics = [read_report_on(report, path) for report in options.reports]
    with hub_errors(str(target)):
        card = build_card(
            target.repo,
            info,
            sha256,
            metrics,
            read_card(path),
            language=Language.load(options.language),
        )
    if options.preview is not None:
        with new_folder(options.preview, force=options.force, kind_mark=CARD_FILE) as folder:
            shutil.copyfile(path, folder / MODEL_FILE)
            (folder / CARD_FILE).write_text(card, encoding="utf-8")
        return f"{options.preview}: what would be uploaded to {target}; nothing was sent"
    with hub_errors(str(target)):
        return _upload(path, card, target, options)


def _upload(path: Path, card: str, target: HubAddress, options: PushOptions) -> str:
    """Create the repository if there is none, and commit both files to it; return the line that `push` returns."""
    from huggingface_hub import CommitOperationAdd, HfApi, get_token  # noqa: PLC0415 - only a push needs it
    from huggingface_hub.errors import LocalTokenNotFoundError, RepositoryNotFoundError  # noqa: PLC0415

    if get_token() is None:
        raise LocalTokenNotFoundError
    api = HfApi(endpoint=endpoint())
    try:
        found = api.model_info(target.repo, revision=target.revision)
        held = {file.rfilename for file in found.siblings or ()} & {MODEL_FILE, CARD_FILE}
        if held and not options.force:
            raise ArtifactError(
                f"{target} holds {' and '.join(sorted(held))} already: `--force` replaces what is there, which stays in its "
                "history"
            )
        parent = found.sha
        if options.public and found.private:
            _log.warning("%s exists and stays private: change that on its page", target)
    except RepositoryNotFoundError:
        api.create_repo(target.repo, private=not options.public)
        parent = None
    commit = api.create_commit(
        target.repo,
        [CommitOperationAdd(MODEL_FILE, path), CommitOperationAdd(CARD_FILE, card.encode())],
        commit_message=options.message,
        revision=target.revision,
        # Somebody else's commit in between fails instead of being overwritten.
        parent_commit=parent,
    )
    return f"{commit.commit_url}: load it with mien.load({f'{SCHEME}{target.repo}@{commit.oid}'!r})"
