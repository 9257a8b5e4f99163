"""The limits: named, bounded, each an option of `mien serve` and a row of the guide."""

import re
import socket
from dataclasses import fields
from pathlib import Path

import pytest

from mien.cli import build_parser, main
from mien.errors import SourceError
from mien.reading.recognise import BATCH_FACES
from mien.serve import command
from mien.serve.crowd import Crowd, CrowdLimits, client_of, crowd_limits
from mien.serve.settings import MOST_BATCH_FACES, ServeSettings

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "serve.md"
NAMES = [one.name for one in fields(ServeSettings)]


def test_a_batch_is_one_call_of_the_model() -> None:
    """No batch is so large that it would be read in several calls."""
    assert MOST_BATCH_FACES == BATCH_FACES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("body_bytes", 0),
        ("images", -1),
        ("request_seconds", 0),
        ("batch_faces", 33),
        ("window_ms", float("nan")),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(
    name: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Python and on the command line."""
    with pytest.raises(ValueError, match=name):
        ServeSettings(**{name: value})
    option = "--" + name.replace("_", "-")
    with pytest.raises(SystemExit) as ended:
        main(["serve", f"{option}={value}"])
    assert ended.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_an_option_with_its_default(name: str) -> None:
    """The command line's defaults are the settings'."""
    args = build_parser().parse_args(["serve"])
    assert getattr(args, name) == getattr(ServeSettings(), name)
    assert type(getattr(args, name)) is type(getattr(ServeSettings(), name))


def test_the_guide_has_every_setting() -> None:
    """The guide's table has each option with its default, and no other."""
    rows = re.findall(r"^\| `--([a-z-]+)` \| ([\d,.]+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {name.replace("-", "_"): float(value.replace(",", "")) for name, value in rows}
    assert shown == {name: float(getattr(ServeSettings(), name)) for name in NAMES}


@pytest.mark.parametrize(
    ("settings", "n_files", "limits"),
    [
        pytest.param({}, 256, (64, 32), id="few files"),
        pytest.param({}, 1024, (448, 100), id="Linux"),
        pytest.param({}, 1_000_000, (1000, 100), id="many files"),
        pytest.param({}, None, (1000, 100), id="no limit"),
        pytest.param({"connections": 64, "connections_per_client": 64}, 256, (64, 64), id="behind a proxy"),
        pytest.param({"connections": 1}, 130, (1, 1), id="one"),
    ],
)
def test_connections_follow_from_open_files(
    settings: dict[str, int], n_files: int | None, limits: tuple[int, int]
) -> None:
    """Each connection and its file, the guests and the process fit into the files that may be open."""
    found = crowd_limits(ServeSettings(**settings), n_files)
    assert (found.connections, found.per_client) == limits
    assert n_files is None or found.connections * 2 + 128 <= n_files


@pytest.mark.parametrize(("settings", "n_files"), [({}, 129), ({"connections": 65}, 256)])
def test_connections_that_cannot_be_are_refused(settings: dict[str, int], n_files: int) -> None:
    """In one line, whose advice is enough."""
    with pytest.raises(SourceError, match="ulimit -n") as refused:
        crowd_limits(ServeSettings(**settings), n_files)
    needed = int(re.findall(r"ulimit -n (\d+)", str(refused.value))[0])
    assert crowd_limits(ServeSettings(**settings), needed).connections == settings.get("connections", 1)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_a_network(address: str, client: str) -> None:
    """One customer has more IPv6 addresses than anyone can count."""
    assert client_of(address) == client


class Caller:
    """A connection that does nothing."""

    def __init__(self, address: str) -> None:
        self.address = address

    def abort(self) -> None:
        """Stay."""


def test_a_client_that_has_left_is_forgotten() -> None:
    """Neither its place nor its address stays: addresses are without number."""
    crowd = Crowd(CrowdLimits(connections=1, per_client=1))
    for number in range(3):
        first, guest = Caller(f"192.0.2.{number}"), Caller("192.0.2.99")
        assert (crowd.enter(first), crowd.enter(guest)) == (True, False)
        crowd.leave(guest, was_admitted=False)
        crowd.leave(first, was_admitted=True)
    assert (crowd._n_admitted, len(crowd._of_client), len(crowd._guests)) == (0, 0, 0)


def test_answers_are_sent_at_once() -> None:
    """Only a socket that says it is TCP gets TCP_NODELAY from asyncio; without it a small answer waits 40 ms."""
    with command._listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert listener.getsockname()[1] > 0
