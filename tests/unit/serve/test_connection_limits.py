"""Connection limits: they follow from the open-file limit and hold per client."""

import re

import pytest

from mien.errors import SourceError
from mien.serve.connection_limits import ConnectionLimiter, ConnectionLimits, client_of, resolve_limits
from mien.serve.settings import ServeSettings


@pytest.mark.parametrize(
    ("settings", "max_files", "limits"),
    [
        pytest.param({}, 256, (64, 32), id="few files"),
        pytest.param({}, 1024, (448, 100), id="Linux"),
        pytest.param({}, 1_000_000, (1000, 100), id="many files"),
        pytest.param({}, None, (1000, 100), id="no limit"),
        pytest.param({"connections": 64, "connections_per_client": 64}, 256, (64, 64), id="behind a proxy"),
        pytest.param({"connections": 1}, 130, (1, 1), id="one"),
    ],
)
def test_connections_follow_from_opemax_files(
    settings: dict[str, int], max_files: int | None, limits: tuple[int, int]
) -> None:
    """Connections with a file each, excess connections and the process itself fit into the open-file limit."""
    resolved = resolve_limits(ServeSettings(**settings), max_files)
    assert resolved == limits
    assert max_files is None or resolved.total * 2 + 128 <= max_files


@pytest.mark.parametrize(("settings", "max_files"), [({}, 129), ({"connections": 65}, 256)])
def test_too_many_connections_for_the_open_file_limit(settings: dict[str, int], max_files: int) -> None:
    """The message's advice is sufficient."""
    with pytest.raises(SourceError, match="ulimit -n") as error:
        resolve_limits(ServeSettings(**settings), max_files)
    needed = int(re.findall(r"ulimit -n (\d+)", str(error.value))[0])
    assert resolve_limits(ServeSettings(**settings), needed).total == settings.get("connections", 1)


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
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(address: str, client: str) -> None:
    """One customer has a whole /64 of IPv6 addresses."""
    assert client_of(address) == client


class FakeConnection:
    """A connection that does nothing."""

    def __init__(self, address: str) -> None:
        self.address = address

    def abort(self) -> None:
        """Do nothing."""


def test_closed_connections_are_forgotten() -> None:
    """Otherwise memory would grow with every new address."""
    limiter = ConnectionLimiter(ConnectionLimits(total=1, per_client=1))
    for number in range(3):
        first, excess = FakeConnection(f"192.0.2.{number}"), FakeConnection("192.0.2.99")
        assert (limiter.add(first), limiter.add(excess)) == (True, False)
        limiter.remove(excess, was_admitted=False)
        limiter.remove(first, was_admitted=True)
    assert (limiter._n_admitted, len(limiter._n_per_client), len(limiter._excess)) == (0, 0, 0)
