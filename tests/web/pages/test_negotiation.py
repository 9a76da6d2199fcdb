from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.head import RequestHead
from modelgates_server.web.pages.negotiation import (
    KnownHosts,
    checked_base,
    checked_names,
    has,
    takes_gzip,
    wants_html,
    wants_markdown,
)
from modelgates_server.web.request import RequestContext

HOSTS = KnownHosts(names=("gateway.example", "a"))


def call(scheme: str = "http", **headers: str) -> RequestContext:
    async def receive() -> Any:
        raise AssertionError("the body is never read")

    lines = [(name.replace("_", "-").encode(), v.encode("latin-1")) for name, v in headers.items()]
    scope = {"type": "http", "scheme": scheme, "path": "/docs", "headers": lines}
    return RequestContext(scope, receive, RequestHead(lines), BodyBudget(0))


@pytest.mark.parametrize(
    ("asked", "base"),
    [
        (call(host="gateway.example"), "http://gateway.example"),
        (call(host="Gateway.Example:8000"), "http://gateway.example:8000"),
        (call(host="127.0.0.1:8000"), "http://127.0.0.1:8000"),
        (call(host="[::1]:8000"), "http://[::1]:8000"),
        (call("https", host="a"), "https://a"),
        (call(host="a", x_forwarded_proto="https"), "https://a"),
        (call("https", host="a", x_forwarded_proto="http"), "http://a"),
        (call(host="a", x_forwarded_proto="javascript"), "http://a"),
        (call(host="a", x_forwarded_proto="https,http"), "https://a"),
        (call(host="a", x_forwarded_proto=" HTTPS , http"), "https://a"),
    ],
)
def test_reader_s_address_is_that_of_the_request(asked: RequestContext, base: str) -> None:
    assert HOSTS.base_of(asked) == base


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("evil.example", "http://127.0.0.1:8000"),
        ("evil.example:80", "http://127.0.0.1:8000"),
        ("a.evil", "http://127.0.0.1:8000"),
        ("localhost.evil", "http://127.0.0.1:8000"),
        ("127.0.0.1.evil", "http://127.0.0.1:8000"),
        ("10.0.0.6", "http://127.0.0.1:8000"),
        ("[::2]:8000", "http://127.0.0.1:8000"),
        ("10.0.0.5:9000", "http://10.0.0.5:9000"),
        ("localhost:9000", "http://localhost:9000"),
        ("127.1.2.3", "http://127.1.2.3"),
        ("[::1]", "http://[::1]"),
    ],
)
def test_address_is_a_loopback_address_when_the_host_is_unknown(host: str, base: str) -> None:
    asked = call(host=host, x_forwarded_host="evil.example")
    asked.request.scope["server"] = ("10.0.0.5", 8000)
    assert HOSTS.base_of(asked) == base
    assert KnownHosts("https://b/c").base_of(asked) == "https://b/c"


@pytest.mark.parametrize("names", ["a b", "https://a", "a:80", "*", "*.a", "a,,/", "a\nb"])
def test_invalid_name_of_a_host_is_rejected(names: str) -> None:
    with pytest.raises(InvalidInput, match="the setting must be names of hosts between commas"):
        checked_names(names, "the setting")


def test_names_of_hosts_are_read_between_commas() -> None:
    assert checked_names(" A.lan,10.0.0.5 , [::2],", "x") == ("a.lan", "10.0.0.5", "::2")
    assert checked_names("", "x") == ()


@pytest.mark.parametrize(
    "host",
    [
        "",
        'a"><script>',
        "a/b",
        "a b",
        "user@a",
        "a:b",
        "a:123456",
        "-a",
        "a\\b",
        "[::1",
        "ä",
        "a" * 300,
    ],
)
def test_invalid_host_never_gets_into_a_page(host: str) -> None:
    with pytest.raises(InvalidInput):
        HOSTS.base_of(call(host=host))
    with pytest.raises(InvalidInput):
        HOSTS.base_of(call())


def test_request_with_two_hosts_is_rejected() -> None:
    for hosts in (["a", "b"], ["a", "a"], ["", "a"]):
        asked = call()
        asked.request.scope["headers"].extend((b"host", host.encode()) for host in hosts)
        with pytest.raises(InvalidInput, match="Invalid Host header"):
            HOSTS.base_of(asked)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.example",
        "ftp://gateway.example",
        'https://a"><script>',
        "https://a?b",
        "https://a#b",
        "https://a//b",
        "https://user@a",
        "https://a/b c",
        "https://a/..",
        "https://a/b/../c",
        "https://a/./b/",
    ],
)
def test_invalid_address_is_rejected_by_name(url: str) -> None:
    with pytest.raises(InvalidInput, match="the setting must look like"):
        checked_base(url, "the setting")


@pytest.mark.parametrize(
    "url", ["https://a.example", "http://[::1]:80/x", "https://a/b/c-d", "https://a/.b/c.."]
)
def test_address_loses_its_trailing_slash(url: str) -> None:
    assert checked_base(url, "x") == checked_base(f"{url}/", "x") == url


@pytest.mark.parametrize(
    ("accept", "markdown", "html"),
    [
        ("text/markdown", True, False),
        ("text/markdown, text/html, */*", True, True),
        ("TEXT/MARKDOWN;q=0.9", True, False),
        ("text/html, text/markdown;q=0.5", False, True),
        ("text/markdown;q=0", False, False),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", False, True),
        ("*/*", False, False),
        ("", False, False),
        ("text/markdown;q=", True, False),
        (",;q=1,,text/markdown ; Q=1.000", True, False),
    ],
)
def test_markdown_is_chosen_when_the_client_names_it(
    accept: str, markdown: bool, html: bool
) -> None:
    asked = call(accept=accept)
    assert (wants_markdown(asked), wants_html(asked)) == (markdown, html)


@pytest.mark.parametrize(
    ("encodings", "gzip"),
    [
        ("gzip, deflate, br", True),
        ("gzip;q=0", False),
        ("br", False),
        ("*", True),
        ("*, gzip;q=0", False),
        ("identity", False),
    ],
)
def test_gzip_is_chosen_when_the_client_accepts_it(encodings: str, gzip: bool) -> None:
    assert takes_gzip(call(accept_encoding=encodings)) == gzip
    assert not takes_gzip(call())


def test_client_s_version_is_recognized_by_its_tag() -> None:
    for known in ('"a"', 'W/"a"', '"b", W/"a"', "*"):
        assert has(call(if_none_match=known), b'"a"')
    for unknown in ('"b"', "a", '""'):
        assert not has(call(if_none_match=unknown), b'"a"')
    assert not has(call(), b'"a"')
