"""Parsing origins, prefixes and addresses of proxies."""

import pytest

from mien.cli import build_parser
from mien.cli.parser import read_options
from mien.serve.options import ServeOptions, parse_host, parse_network, parse_origin, parse_prefix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org", "https://example.org"),
        (" HTTPS://Example.ORG/ ", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80/", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_origins_are_written_as_browsers_send_them(text: str, expected: str) -> None:
    """The expected values are those of `new URL(text).origin` in Chromium, except for extensions."""
    assert parse_origin(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "https://",
        "https://example.org/page",
        "https://a@example.org",
        "https://example.org?x",
        "http://a:b",
        "https://*.example.org",
        "http://[::1",
        "http://a:99999",
    ],
)
def test_what_is_no_origin_is_rejected(text: str) -> None:
    """No browser would ever send it, so that it would silently allow nothing."""
    with pytest.raises(ValueError, match="SCHEME://HOST"):
        parse_origin(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("/faces/", "/faces"), ("/a/b-1.x", "/a/b-1.x"), ("/", ""), ("", "")]
)
def test_prefixes(text: str, expected: str) -> None:
    """A prefix has no trailing slash."""
    assert parse_prefix(text) == expected


@pytest.mark.parametrize(
    "text", ["faces", "//evil.example", "/a//b", "/a?b", "/a/../b", "/a b", "https://a/b", "/é"]
)
def test_what_is_no_prefix_is_rejected(text: str) -> None:
    """A prefix becomes part of redirects: it must not name another host."""
    with pytest.raises(ValueError, match="must be a path"):
        parse_prefix(text)


def test_networks() -> None:
    """An address is a network of one."""
    assert [parse_network(text) for text in ("10.0.0.1/8", "::1", "*")] == ["10.0.0.0/8", "::1/128", "*"]
    with pytest.raises(ValueError, match="IP address"):
        parse_network("proxy.example.org")


def test_the_command_line_repeats_origins_and_proxies(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them is parsed on its own."""
    arguments = ["--allow-origin", "https://A.example/", "--allow-origin", "null", "--root-path", "/faces/"]
    arguments += ["--trust-proxy", "10.0.0.1", "--trust-proxy", "*"]
    options = read_options(ServeOptions, build_parser().parse_args(["serve", *arguments]))
    assert options.allow_origins == ("https://a.example", "null")
    assert options.trusted_proxies == ("10.0.0.1/32", "*")
    assert options.root_path == "/faces"
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["serve", "--allow-origin", "a.example"])
    assert ended.value.code == 2
    assert "--allow-origin: must be SCHEME://HOST[:PORT]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "name"), [("Faces.Example.org", "faces.example.org"), ("*", "*"), (" host_1. ", "host_1")]
)
def test_hosts_are_names(text: str, name: str) -> None:
    assert parse_host(text) == name


@pytest.mark.parametrize("text", ["http://faces.example.org/", "faces.example.org:8000", "faces/", "", "-a"])
def test_what_no_host_header_would_match_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="without scheme, port and path"):
        parse_host(text)
