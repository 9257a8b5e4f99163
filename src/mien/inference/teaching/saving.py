"""Writing a model file and the card next to it."""

from pathlib import Path

from mien.artifacts import claim_output, disk_errors, new_file, one_writer, require_suffix, write_text
from mien.assets.bundled_models import read_card
from mien.formats.onnx_model import OnnxModel
from mien.inference.teaching.card import write_card
from mien.runtime.language import Language, LanguageCode


def save_model(model: OnnxModel, path: Path, *, language: LanguageCode = "en", force: bool = False) -> Path:
    """Write a model's file, and its card as Markdown next to it; return the file's path.

    Args:
        model: the model; if it was taught, its card is written from its metadata, otherwise copied.
        path: ends in ``.onnx``.
        language: of a card that is written.
        force: replace existing files.

    Raises:
        ArtifactError: a file exists already, or cannot be written.
    """
    require_suffix(path, [".onnx"], option="the model file")
    card_path = path.with_suffix(".md")
    if "taught" in model.info.training:
        card = write_card(model.info, path.stem, Language.load(language))
    else:
        card = read_card(model.path)
    content = model.content()
    with one_writer(path), disk_errors(path):
        for output in (path, card_path):
            claim_output(output, force=force)
        with new_file(path, replace=force) as partial:
            partial.write_bytes(content)
        if card:
            write_text(card_path, card, replace=force)
    return path
