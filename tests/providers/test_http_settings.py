"""Invalid settings are rejected, and no text that is shown or raised contains a secret."""

import traceback
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput, ProviderError
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.providers.http import ProviderSettings
from modelgates_server.providers.retry_after import retry_after_s
from tests.providers.upstream import KEY, STREAM, always, answer, asking, once, serving
from tests.support import T0_MS

GOOD: dict[str, Any] = {"name": "acme", "base_url": "https://h/v1", "api_key": KEY}
SECRET = "s3cret"


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": ""},
        {"base_url": "h/v1"},
        {"base_url": "ftp://h/v1"},
        {"base_url": "https:///v1"},
        {"base_url": "https://h:port/v1"},
        {"base_url": "https://api..h/v1"},
        {"base_url": f"https://me:{SECRET}@h/v1"},
        {"base_url": f"https://{SECRET}@h/v1"},
        {"base_url": f"https://:{SECRET}@h/v1"},
        {"api_key": ""},
        {"api_key": f"{SECRET}\n"},
        {"api_key": f" {SECRET}"},
        {"api_key": f"{SECRET}é"},
        {"api_key": f"{SECRET}\r\nX: y"},
        {"api_key_header": ""},
        {"api_key_header": "api key"},
        {"api_key_header": "Content-Length"},
        {"headers": {"X y": "v"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"Authorization": SECRET}},
        {"headers": {"X-Y": f"{SECRET}\n"}},
        {"headers": {"X-Y": ""}},
        {"connect_timeout_s": 0},
        {"first_byte_timeout_s": 0},
        {"idle_timeout_s": 0},
        {"total_timeout_s": -1},
    ],
)
def test_invalid_setting_is_rejected_without_showing_its_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        ProviderSettings(**{**GOOD, **wrong})
    assert str(caught.value).startswith("acme: ")
    assert SECRET not in str(caught.value)


def test_settings_have_defaults_for_everything_optional() -> None:
    read = msgspec.convert(GOOD, ProviderSettings)
    assert read == ProviderSettings(**GOOD)
    assert read.headers == {}


def test_settings_show_only_their_name() -> None:
    settings = ProviderSettings(**GOOD, headers={"X-Y": SECRET})
    for shown in (repr(settings), str(settings), f"{[settings]}", repr(settings.__rich_repr__())):
        assert "acme" in shown
        assert not [secret for secret in (KEY, SECRET, "https") if secret in shown]


@pytest.mark.parametrize(
    ("sent", "limit"),
    [
        (b"", 1000),
        (b"SSH-2.0\r\n", 1000),
        (STREAM, 1000),
        (answer(bytes(2000)), 1000),
    ],
)
async def test_errors_show_neither_the_key_nor_the_address(sent: bytes, limit: int) -> None:
    async with serving(once(sent)) as upstream, asking(upstream.port) as acme:
        with pytest.raises(ProviderError) as caught:
            await (await acme.send(Api.CHAT, b"{}")).read(limit)
    error = caught.value
    for secret in (KEY, "127.0.0.1", str(upstream.port)):
        assert secret not in f"{error} {error!r} {error.raw} {error.provider_code}"
    assert KEY not in "".join(traceback.format_exception(error))
    assert KEY not in repr(error.__cause__)


async def test_providers_and_replies_do_not_show_the_key() -> None:
    async with serving(always(answer())) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        assert KEY not in f"{acme!r} {acme} {reply!r} {reply}"


@pytest.mark.parametrize(
    ("milliseconds", "seconds_or_date", "wait_s"),
    [
        ("", "", None),
        ("", "0", 0),
        ("", "20", 20),
        ("", "1.2", 2),
        ("", "999999999999", 3600),
        ("", "-1", None),
        ("", "1e3", None),
        ("", "nan", None),
        ("", "\uff12", None),
        ("", "soon", None),
        ("1500", "20", 2),
        ("0.5", "", 1),
        ("never", "20", 20),
        ("", "Mon, 23 Nov 2026 13:12:30 GMT", 30),
        ("", "Monday, 23-Nov-26 13:12:30 GMT", 30),
        ("", "Mon Nov 23 13:12:30 2026", 30),
        ("", "Mon, 23 Nov 2026 15:12:30 +0200", 30),
        ("", "Mon, 23 Nov 2026 13:12:30 -0000", 30),
        ("", "Mon, 23 Nov 2026 13:11:59 GMT", 0),
        ("", "Mon, 23 Nov 2099 13:12:30 GMT", 3600),
        ("", "Mon, 99 Nov 2026 13:12:30 GMT", None),
        ("", "Mon, 23 Nov 99999 13:12:30 GMT", None),
        ("", "Mon, 23 Nov 2026 13:12:30 +9999999", None),
    ],
)
def test_retry_time_is_read_or_ignored_when_invalid(
    milliseconds: str, seconds_or_date: str, wait_s: int | None
) -> None:
    assert retry_after_s(milliseconds, seconds_or_date, T0_MS) == wait_s


@given(st.text(), st.text() | st.from_regex(r"\A[ -~]{0,9}, ?\d+ [A-Z][a-z]{2} \d+ [0-9:]+ ?.*\Z"))
@example("", "Mon, 23 Nov 2026 13:12:30 +99999999999999999999")
def test_arbitrary_retry_times_do_not_fail_the_call(
    milliseconds: str, seconds_or_date: str
) -> None:
    wait_s = retry_after_s(milliseconds, seconds_or_date, T0_MS)
    assert wait_s is None or 0 <= wait_s <= 3600


async def test_retry_time_is_read_from_the_headers() -> None:
    for header, wait_s in [("retry-after: 7 ", 7), ("Retry-After-Ms: 7001", 8), ("X: 1", None)]:
        busy = answer(b"{}", "429 Too Many Requests", header)
        async with serving(always(busy)) as upstream, asking(upstream.port) as acme:
            assert (await acme.send(Api.CHAT, b"{}")).retry_after_s == wait_s
