"""The options of `mien serve`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.runtime.options import DETECTOR_HELP, option, option_group
from mien.serve.settings import ServeSettings

TOKEN_VARIABLE = "MIEN_TOKEN"  # noqa: S105 - the name of an environment variable


def parse_token(text: str) -> str:
    """Return a token without surrounding blanks.

    Raises:
        ValueError: nothing is left.
    """
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where the server listens, and who may use it. With a token, every host name is allowed."""

    detector_path: Path | None = option(None, DETECTOR_HELP, flag="--detector", metavar="FILE")
    host: str = option("127.0.0.1", "address to listen on")
    port: int = option(8000, "port to listen on; 0: any free port", least=0, most=65_535)
    token: str | None = option(
        None,
        f"require this bearer token; better set {TOKEN_VARIABLE}, which the process list does not show",
        repr=False,
        parse=parse_token,
    )
    allow_origins: tuple[str, ...] = option(
        (),
        "website whose pages may use the API, such as https://example.org; may be repeated (default: none)",
        flag="--allow-origin",
        metavar="ORIGIN",
    )
    allow_hosts: tuple[str, ...] = option(
        (),
        "host name under which the server may be reached without a token, such as faces.example.org; * allows any; may "
        "be repeated (default: IP addresses, localhost and this machine's name)",
        flag="--allow-host",
        metavar="NAME",
    )
    settings: ServeSettings = option_group(ServeSettings, "limits and timeouts")
