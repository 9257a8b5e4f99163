"""The options of `mien push`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.runtime.language import LanguageCode
from mien.runtime.options import language_option, option


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """What is uploaded with a model, and who may see it."""

    reports: tuple[Path, ...] = option(
        (),
        "report of this model, written by `mien evaluate`: its metrics go into the card; may be repeated",
        flag="--report",
        metavar="REPORT",
    )
    language: LanguageCode = language_option("the card")
    public: bool = option(
        False, "let everyone see the repository if it is created (default: only you and your organization)"
    )
    message: str = option("Upload a model with mien", "title of the commit", metavar="TEXT")
    preview: Path | None = option(
        None, "write what would be uploaded into this folder, and send nothing", metavar="FOLDER"
    )
    force: bool = option(
        False,
        "replace a model or card that the repository holds, or the folder of --preview; the Hub keeps the old files in its "
        "history",
    )
