"""The figures in the guides are those of the code."""

from typing import Any

import pytest

from modelgates_server.core.metering.generations import HEADER_MAX_CHARS
from modelgates_server.core.metering.request import CHOICES_MAX, MODEL_MAX_CHARS
from modelgates_server.core.money import ENTRY_MAX_PICO, PLACES, Pico, format_pico
from modelgates_server.core.pricing.prices import RATE_PLACES_MAX
from modelgates_server.dialects.json_object import NAMES_MAX
from modelgates_server.providers.http import ProviderSettings
from modelgates_server.service.calls.body import ANSWER_MAX_BYTES
from modelgates_server.service.calls.call import STORED_ANSWER_MAX_BYTES
from modelgates_server.service.calls.settling import ANSWER_KEPT_MS
from modelgates_server.settings import Settings
from modelgates_server.web import body, body_budget
from modelgates_server.web import request as web_request
from modelgates_server.web.api.activity import DAYS
from modelgates_server.web.api.activity import PAGE_MAX as ROWS_MAX
from modelgates_server.web.api.holds import LISTED_MAX
from modelgates_server.web.api.keys import PAGE
from modelgates_server.web.api.models import PAGE_MAX
from modelgates_server.web.http import connection, limits
from modelgates_server.web.long_lists import WAITING_OF_ACCOUNT_MAX
from modelgates_server.web.mcp import docs
from modelgates_server.web.mcp import jsonrpc as messages
from modelgates_server.web.mcp import server as endpoint
from modelgates_server.web.pages import executor
from tests.e2e.guides import DOCS

KIB, MIB = 1024, 1024 * 1024
PROVIDER = ProviderSettings(name="a", base_url="http://a.example", api_key=None)
FIRST_WHOLE, WHOLE = f"{PROVIDER.first_byte_timeout_s:,}", f"{PROVIDER.total_timeout_s:,}"
LARGEST = f"{ENTRY_MAX_PICO // 10**PLACES:,}.{format_pico(Pico(ENTRY_MAX_PICO)).partition('.')[2]}"


def default(name: str) -> Any:
    return Settings.model_fields[name].default


LIMITS = [
    f"| size of a request | {default('max_body_mib')} MiB |",
    f"texts of a `prompt` | {CHOICES_MAX} each |",
    f"in a tool | {NAMES_MAX:,} each |",
    f"| size of a plain response, or of one event of a stream | {ANSWER_MAX_BYTES // MIB} MiB |",
    f"`session_id` | {MODEL_MAX_CHARS} characters |",
    f"| length of an `Idempotency-Key` | {HEADER_MAX_CHARS} bytes |",
    f"| {ANSWER_KEPT_MS // 3_600_000} hours, up to {STORED_ANSWER_MAX_BYTES // MIB} MiB |",
    f"| time to connect to a provider | {PROVIDER.connect_timeout_s} s |",
    f"| {FIRST_WHOLE} s | `first_byte_timeout_s` |",
    f"| silence within a response | {PROVIDER.idle_timeout_s} s |",
    f"| time for a whole response | {WHOLE} s |",
    f"| {default('keep_alive_s')} s | `MODELGATES_KEEP_ALIVE_S` |",
    f"| {default('drain_s')} s | `MODELGATES_DRAIN_S` |",
    f"| time to send a request | {default('request_timeout_s')} s, and 1 s more",
    f"more for each {limits.BODY_BYTES_PER_S // KIB} KiB of its body |",
    f"has {limits.STOP_S} seconds for its next {limits.BODY_BYTES_PER_S // KIB} KiB",
    f"of an account without credits | {web_request.UNPAID_MAX_BYTES // KIB} KiB |",
    f"are for bodies of up to {body_budget.SMALL_MAX_BYTES // KIB} KiB |",
    f"| size of a request to `/keys` | {body.BODY_MAX_BYTES // KIB} KiB |",
    f"| {connection.HEAD_MAX_BYTES // KIB} KiB, {connection.HEADERS_MAX} headers |",
    f"| open connections | {default('max_connections'):,} for each process |",
    f"| requests waiting on one connection | {connection.PIPELINE_MAX} |",
    f"| lifetime of an idle connection | {limits.IDLE_MAX_S} s |",
    f"that wait to be rendered | {executor.WAITING_MAX} for each process |",
    f"| `GET /keys` | {PAGE} a page;",
    f"| all, or {PAGE_MAX:,} a page",
    f"| `GET /credits/holds` | {LISTED_MAX:,}, the oldest |",
    f"| `GET /activity` | {DAYS} whole UTC days and the current one; {ROWS_MAX:,} rows a page,",
    f"`/activity` | {WAITING_OF_ACCOUNT_MAX} for each process; one is",
    f"| {format_pico(Pico(1))} dollars;",
    f"| {LARGEST} dollars |",
    f"| places of a price | up to {RATE_PLACES_MAX} |",
]
OTHERS = {
    "guides/errors.md": [
        f"than {default('request_timeout_s')} seconds to arrive",
        f"than {default('max_body_mib')} MiB, or {body.BODY_MAX_BYTES // KIB} KiB for `/keys`",
        f"larger than {connection.HEAD_MAX_BYTES // KIB} KiB, or there are more",
        f"more than {connection.HEADERS_MAX} of them",
    ],
    "guides/streaming.md": [
        f"after {default('keep_alive_s')} seconds of silence",
        f"`MODELGATES_DRAIN_S` ({default('drain_s')} seconds)",
        f"`MODELGATES_SHUTDOWN_GRACE_S` ({default('shutdown_grace_s')} seconds)",
    ],
    "guides/operating.md": [f"`total_timeout_s` ({WHOLE})"],
    "guides/mcp.md": [
        f"at most {messages.BODY_MAX_BYTES // KIB} KiB, and {endpoint.RUNNING_MAX} are answered",
        f"have {endpoint.BATCH_ANSWERS_BYTES // KIB} KiB together",
        f"an address {docs.BURST} requests at once\nand {1000 // docs.EVERY_MS} a second",
    ],
}


def test_limit_in_a_guide_is_the_one_of_the_code(subtests: pytest.Subtests) -> None:
    for page, figures in {"guides/limits.md": LIMITS, **OTHERS}.items():
        text = (DOCS / page).read_text("utf-8")
        for figure in figures:
            with subtests.test(page=page, figure=figure):
                assert figure in text
