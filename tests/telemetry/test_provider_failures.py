"""The log lines and the metric of failed attempts, with a real upstream that fails in every way."""

import socket
import string
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.provider_causes import ProviderCause
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.service.ports import Store
from modelgates_server.telemetry import provider_advice, provider_failures
from modelgates_server.telemetry.observer import CallObserver
from tests.deadlines import DEADLINE_S
from tests.gateway import (
    ACME,
    ACME_PRICE,
    CallHarness,
    asking,
    metered,
    new_caller,
    sandbox_catalog,
    take,
)
from tests.support import ManualClock
from tests.upstream import Upstream, UpstreamReply, answer, chunk, plain, running_upstream

KEY = "sk-upstream-0123456789"
VARIABLE = "ACME_API_KEY"
TEXT = "The provider's own words"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@asynccontextmanager
async def calling(
    store: Store, clock: ManualClock, folder: Path, url: str, **settings: Any
) -> AsyncIterator[CallHarness]:
    """A harness whose provider `acme` is at a URL and has a key."""
    acme = HttpProvider(ProviderSettings(name="acme", base_url=url, api_key=KEY, **settings), clock)
    services = metered(
        store,
        clock,
        folder / "spool",
        catalog=sandbox_catalog([ACME], [ACME_PRICE]),
        providers={"acme": acme},
        key_variables={"acme": VARIABLE},
    )
    yield CallHarness(store, clock, services, await new_caller(store))
    await acme.close()


async def failed(harness: CallHarness, **request: Any) -> list[Any]:
    """The warnings about a call that fails."""
    with capture_logs() as lines:
        call = await harness.begin(asking(**request))
        with pytest.raises(ProviderError):
            await take(call)
    warnings = [line for line in lines if line["event"] == "attempt failed"]
    await harness.saved(call)
    return warnings


def said(status: int, text: str = TEXT, **more: Any) -> UpstreamReply:
    return plain({"error": {"message": text, "code": "some_code", **more}}, status)


REPLIES: list[tuple[str, UpstreamReply, ProviderCause, str]] = [
    ("401", said(401), ProviderCause.KEY_REJECTED, f"rejected our key (401). Check `{VARIABLE}`."),
    ("402", said(402), ProviderCause.PAYMENT_REQUIRED, "requires payment (402). Add credits"),
    ("403", said(403), ProviderCause.NOT_PERMITTED, "does not permit this call (403)"),
    ("404", said(404), ProviderCause.NOT_FOUND, "(404). Check `upstream_model` of `acme/large`"),
    ("400", said(400), ProviderCause.REQUEST_REJECTED, "rejected the request (400)"),
    ("429", said(429), ProviderCause.RATE_LIMITED, "has reached its rate limit (429)"),
    ("500", said(500), ProviderCause.PROVIDER_FAILED, "failed (500)"),
    ("503", said(503), ProviderCause.PROVIDER_FAILED, "failed (503)"),
    ("504", said(504), ProviderCause.TIMED_OUT, "did not respond in time (504)"),
    ("308", said(308), ProviderCause.REDIRECTED, "redirects to another address (308)"),
    (
        "key rejected with 400",
        said(400, "Incorrect API key provided: sk-up***"),
        ProviderCause.KEY_REJECTED,
        "rejected our key (400)",
    ),
    (
        "quota exceeded with 429",
        said(429, "You exceeded your current quota, please check your plan and billing details."),
        ProviderCause.PAYMENT_REQUIRED,
        "requires payment (429)",
    ),
    (
        "error with status 200",
        plain({"error": {"message": TEXT, "type": "authentication_error"}}),
        ProviderCause.KEY_REJECTED,
        "rejected our key (401)",
    ),
    ("no JSON", UpstreamReply([b"<html>"]), ProviderCause.INVALID_RESPONSE, "cannot be read"),
    (
        "cut",
        UpstreamReply([b'{"id": '], cut=True, content_type="application/json"),
        ProviderCause.CONNECTION_LOST,
        "closed the connection before its response was complete",
    ),
]


@pytest.mark.parametrize(("name", "reply", "cause", "words"), REPLIES, ids=[r[0] for r in REPLIES])
async def test_failed_attempt_is_logged_with_its_cause_and_advice(
    store: Store,
    clock: ManualClock,
    tmp_path: Path,
    upstream: Upstream,
    name: str,
    reply: UpstreamReply,
    cause: ProviderCause,
    words: str,
) -> None:
    upstream.say = lambda _: reply
    async with calling(store, clock, tmp_path, upstream.url) as harness:
        [line] = await failed(harness)
        exposition = (await harness.metered.metrics.exposition()).decode()
    assert line["log_level"] == "warning"
    assert line["cause"] == cause
    assert words in line["reason"]
    assert line["reason"].startswith("Provider `acme` ")
    assert line["provider"] == "acme"
    is_about_account = cause in {
        ProviderCause.KEY_REJECTED,
        ProviderCause.PAYMENT_REQUIRED,
        ProviderCause.NOT_PERMITTED,
        ProviderCause.NOT_FOUND,
    }
    assert bool(line["provider_text"]) == is_about_account, name
    labels = f'cause="{cause}",endpoint="acme:large"'
    assert f"modelgates_provider_failures_total{{{labels}}} 1.0" in exposition


async def test_stream_that_breaks_off_is_logged_with_its_cause(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([chunk("word")], cut=True)
    async with calling(store, clock, tmp_path, upstream.url) as harness:
        [line] = await failed(harness, stream=True)
    assert line["cause"] == "connection_lost"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("url", "settings", "cause"),
    [
        ("http://127.0.0.1:{closed}/v1", {}, ProviderCause.CONNECTION_REFUSED),
        ("http://localhost:{closed}/v1", {}, ProviderCause.CONNECTION_REFUSED),
        ("http://nowhere.invalid/v1", {}, ProviderCause.NAME_NOT_FOUND),
        ("https://127.0.0.1:{port}/v1", {}, ProviderCause.TLS_FAILED),
        ("http://127.0.0.1:{port}/v1", {"first_byte_timeout_s": 0.05}, ProviderCause.TIMED_OUT),
    ],
)
async def test_provider_that_cannot_be_reached_is_logged_with_its_cause(
    store: Store,
    clock: ManualClock,
    tmp_path: Path,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    settings: dict[str, Any],
    cause: ProviderCause,
) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    go = threading.Event()
    upstream.say = lambda _: plain(answer("late", late=go.wait(DEADLINE_S)))
    port = upstream.url.rpartition(":")[2].removesuffix("/v1")
    full = url.format(closed=closed_port(), port=port)
    async with calling(store, clock, tmp_path, full, **settings) as harness:
        [line] = await failed(harness)
        go.set()
    assert line["cause"] == cause
    assert line["status"] is None


async def test_proxy_that_cannot_be_reached_is_the_cause(
    store: Store, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", f"http://operator:s3cret-password@127.0.0.1:{closed_port()}")
    async with calling(store, clock, tmp_path, "http://acme.example/v1") as harness:
        [line] = await failed(harness)
    assert line["cause"] == "proxy_failed"
    assert "s3cret" not in str(line)


async def test_further_failures_of_one_kind_are_logged_as_a_number(
    store: Store,
    clock: ManualClock,
    tmp_path: Path,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider_failures, "_WINDOW_S", 3600)
    async with calling(store, clock, tmp_path, upstream.url) as harness:
        with capture_logs() as lines:
            for status in (503, 503, 401, 503, 503):
                upstream.say = lambda _, status=status: said(status)  # type: ignore[misc]
                call = await harness.begin(asking())
                with pytest.raises(ProviderError):
                    await take(call)
            observer = harness.calls._observer
            assert isinstance(observer, CallObserver)
            observer._failures._budget("acme", ProviderCause.PROVIDER_FAILED)._end()
        exposition = (await harness.metered.metrics.exposition()).decode()
    logged = [(line["event"], line["cause"], line.get("count")) for line in lines]
    assert logged == [
        ("attempt failed", "provider_failed", None),
        ("attempt failed", "key_rejected", None),
        ("more attempts failed", "provider_failed", 3),
    ]
    labels = 'cause="provider_failed",endpoint="acme:large"'
    assert f"modelgates_provider_failures_total{{{labels}}} 4.0" in exposition


async def test_rejected_request_is_logged_without_the_words_of_the_provider(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.say = lambda _: said(400, "the prompt `my secret diary` is too long")
    async with calling(store, clock, tmp_path, upstream.url) as harness:
        [line] = await failed(harness)
    assert "diary" not in str(line)
    assert line["provider_code"] == "some_code"


async def test_response_that_no_client_waits_for_is_no_failure_of_the_provider(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.say = lambda _: plain(answer("hello"))
    async with calling(store, clock, tmp_path, upstream.url) as harness:
        with capture_logs() as lines:
            await harness.answer(asking())
    assert [line for line in lines if line["log_level"] == "warning"] == []


@pytest.mark.parametrize("cause", ProviderCause)
def test_every_cause_has_advice(cause: ProviderCause) -> None:
    template = provider_advice._ADVICE[cause]
    fields = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    assert fields <= {"status", "table", "model", "check_key"}
    assert template.endswith((".", "{check_key}"))
