"""The credentials of a provider are in nothing that the gateway sends, stores or logs.

A server that quotes the request's headers may do so in any part of a response and in any encoding.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from modelgates_server.core.errors import GatewayError
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.service.ports import Store
from modelgates_server.telemetry import logs
from modelgates_server.web.error_responses import ErrorResponses
from tests.e2e.secrets import encodings, is_in, quoted
from tests.gateway import (
    ACME,
    ACME_PRICE,
    CallHarness,
    FakeClient,
    asking,
    metered,
    moved_away,
    new_caller,
    relay,
    sandbox_catalog,
    take,
)
from tests.support import ManualClock
from tests.upstream import (
    DONE,
    Upstream,
    UpstreamReply,
    answer,
    chunk,
    plain,
    running_upstream,
    usage,
)

KEY = "sk-vllm-Qm7Zt4Kd9Xw2Rb6Ny8Lp3Vc5"
HEADER = "hunter2-hunter2-0123456789abcdef"
QUERY = "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"
SECRETS = {"key": KEY, "header": HEADER, "query": QUERY}


class Way(NamedTuple):
    """How a quotation gets into a response."""

    reply: Callable[[str], UpstreamReply]
    streamed: bool = False


def body(template: str, status: int = 200, **headers: str) -> Callable[[str], UpstreamReply]:
    """A body of JSON in which `@` is the quotation, with its own escapes."""

    def reply(text: str) -> UpstreamReply:
        filled = template.replace('"@"', quoted(text)).replace("@", quoted(text)[1:-1])
        return UpstreamReply([filled.encode()], status, "application/json", headers)

    return reply


def raw(content_type: str, status: int, encoding: str = "utf-8") -> Callable[[str], UpstreamReply]:
    return lambda text: UpstreamReply(
        [f"<p>You sent {text}</p>".encode(encoding)], status, content_type
    )


def error_event(text: str) -> bytes:
    return b'data: {"error": {"message": %b, "code": 500}}\n\n' % quoted(text).encode()


def in_stream(text: str) -> UpstreamReply:
    return UpstreamReply([chunk("word"), error_event(text), DONE])


def in_two_pieces(text: str) -> UpstreamReply:
    event = error_event(text)
    return UpstreamReply([chunk("word"), event[:45], event[45:], DONE])


SOUND = json.dumps(answer("hello"))
ERRORS = {
    "401": Way(body('{"error": {"message": "You sent @", "code": "@"}}', 401)),
    "400": Way(body('{"error": {"message": "You sent @", "type": "@", "headers": ["@"]}}', 400)),
    "429": Way(body('{"error": {"message": "@", "code": "@"}}', 429)),
    "500 without JSON": Way(raw("text/html", 500)),
    "500 in UTF-16": Way(raw("text/html", 500, "utf-16")),
    "name of a field": Way(body('{"error": {"@": "@"}}', 500)),
    "200 with an error": Way(body('{"error": {"message": "You sent @", "code": "@"}}')),
    "200 with a text as error": Way(body('{"error": "You sent @"}')),
    "200 with a foreign error": Way(body('{"detail": "You sent @"}')),
    "200 with a list": Way(body('[{"error": {"message": "You sent @"}}]')),
    "failed finish reason": Way(
        body('{"choices": [{"index": 0, "finish_reason": "error", "message": {"content": ""}}]}')
    ),
    "stream that is an error": Way(
        body('{"error": {"message": "You sent @", "code": "@"}}'), streamed=True
    ),
    "event in a stream": Way(in_stream, streamed=True),
    "event in two pieces": Way(in_two_pieces, streamed=True),
    "encoding": Way(
        lambda text: UpstreamReply([b"\x01"], 200, headers={"Content-Encoding": text[:60]})
    ),
}
WORDS = {
    "words of a response": Way(
        body(
            SOUND.replace('"large"', '"@"')
            .replace('"chatcmpl-1"', '"@"')
            .replace('"stop"', '"@"')
            .replace('"total_tokens"', '"note": "@", "total_tokens"')
        )
    ),
}
PLAIN_WORDS = {
    "metadata of a response": Way(
        body(SOUND.replace('"object"', '"headers": {"@": ["@"]}, "object"', 1))
    ),
    "metadata of a chunk": Way(
        lambda text: UpstreamReply(
            [
                chunk("word").replace(b'"object"', b'"sent": %b, "object"' % quoted(text).encode()),
                chunk(finish="stop", usage=usage(3, 1)),
                DONE,
            ]
        ),
        streamed=True,
    ),
}

ALL = set(encodings(KEY))
JSON_ENCODINGS = {"plain", "bearer", "escaped"}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@pytest.fixture
async def harness(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[CallHarness]:
    settings = ProviderSettings(
        name="acme",
        base_url=f"{upstream.url}?key={QUERY}",
        api_key=KEY,
        headers={"X-Team": "search", "X-Auth-Token": HEADER},
    )
    acme = HttpProvider(settings, clock)
    services = metered(
        store,
        clock,
        tmp_path / "spool",
        catalog=sandbox_catalog([ACME], [ACME_PRICE]),
        providers={"acme": acme},
    )
    yield CallHarness(store, clock, services, await new_caller(store))
    await acme.close()


async def response_of(harness: CallHarness, way: Way) -> bytes:
    """All that a client gets, whether the call succeeds or not."""
    responses = ErrorResponses()
    if way.streamed:
        client = FakeClient()
        try:
            await relay(await harness.begin(asking(stream=True)), client)
        except GatewayError as error:
            return repr((client.pieces, responses.describe(error))).encode()
        return b"".join(client.pieces)
    try:
        return await take(await harness.begin(asking()))
    except GatewayError as error:
        return repr(responses.describe(error)).encode()


def all_bytes(folder: Path) -> bytes:
    """The database, its log, and the spool."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("way", "encodings_of_response"),
    [
        *((way, ALL) for way in ERRORS.values()),
        *((way, JSON_ENCODINGS) for way in WORDS.values()),
        *((way, JSON_ENCODINGS) for way in PLAIN_WORDS.values()),
    ],
    ids=[*ERRORS, *WORDS, *PLAIN_WORDS],
)
async def test_credentials_are_nowhere_when_a_provider_quotes_them(
    harness: CallHarness,
    upstream: Upstream,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    way: Way,
    encodings_of_response: set[str],
) -> None:
    """A sound response of a model may be about keys, so only whole ones are redacted there."""
    caplog.set_level(logging.DEBUG, "modelgates_server")
    for kind, secret in SECRETS.items():
        for name, shown in encodings(secret).items():
            if way not in ERRORS.values() and name in {"beginning", "masked", "upper case"}:
                continue
            upstream.say = lambda _, shown=shown: way.reply(shown)  # type: ignore[misc]
            response = await response_of(harness, way)
            if name in encodings_of_response:
                assert not is_in(secret, response), (kind, name)
    printed = capsys.readouterr()
    places = {
        "log": (printed.out + printed.err + caplog.text).encode(),
        "metrics": await harness.metered.metrics.exposition(),
        "files": all_bytes(tmp_path),
    }
    for place, data in places.items():
        assert not any(is_in(secret, data) for secret in SECRETS.values()), place


async def test_credentials_are_not_in_the_spool(
    harness: CallHarness, upstream: Upstream, tmp_path: Path, sqlite_path: Path
) -> None:
    [words] = WORDS.values()
    upstream.say = lambda _: words.reply(KEY)
    call = await harness.begin(asking())
    with moved_away(sqlite_path):
        body = await take(call)
        assert list((tmp_path / "spool").iterdir())
        assert not is_in(KEY, body + all_bytes(tmp_path))
    await harness.calls.settling.drain_spool()


async def test_text_of_a_model_about_keys_is_not_changed(
    harness: CallHarness, upstream: Upstream
) -> None:
    text = "Keys look like sk-vllm-... or sk-vllm-Other0123456789, and %20 is a space: \\u0041"
    upstream.say = lambda _: plain(answer(text))
    response, _ = await harness.answer(asking())
    assert response["choices"][0]["message"]["content"] == text


def test_credentials_are_hidden_in_every_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    provider = HttpProvider(
        ProviderSettings(name="acme", base_url="http://127.0.0.1:9/v1", api_key=KEY), ManualClock()
    )
    logs.hide([provider.redactor])
    try:
        logs.write_line("an event", {"headers": [f"x-api-key: {KEY}"]}, "critical")
    finally:
        logs.hide([])
    assert not is_in(KEY, capsys.readouterr().err.encode())
