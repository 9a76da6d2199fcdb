"""Deviations of a provider are repaired, charged and counted on a real server."""

from decimal import Decimal
from pathlib import Path

from tests.deadlines import http_request
from tests.e2e.calls import Session, acme_server
from tests.server import open_customer_now
from tests.upstream import DONE, UpstreamReply, chunk, usage, used

METRICS_TOKEN = "0123456789abcdef"
STORY = [
    b"data: : keepalive\n\n",
    b'data: {"choices":[{"index":0,"delta":{"content":"a\xff"}}]}\n',
    chunk("b"),
    chunk(finish="stop"),
    used(usage(3, 5)),
]
PREFIX = 'modelgates_provider_repairs_total{provider="acme",repair="'


def test_repairs_of_a_response_are_counted_with_the_name_of_its_provider(tmp_path: Path) -> None:
    with acme_server(tmp_path, MODELGATES_METRICS_TOKEN=METRICS_TOKEN) as (server, upstream):
        upstream.say = lambda _: UpstreamReply(STORY, cut=True)
        with Session(server, open_customer_now(server.database_path)) as session:
            reader = session.inference.read_stream()
            reader.read_rest()
            texts = [each["choices"][0]["delta"].get("content", "") for each in reader.chunks[:-1]]
            assert "".join(texts) == "a�b"
            upstream.say = lambda _: UpstreamReply([*STORY, DONE], 201, "application/json")
            answered = session.inference.chat().json()
            assert answered["choices"][0]["message"]["content"] == "a�b"
            assert Decimal(str(answered["usage"]["cost"])) == reader.cost > 0
        bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        lines = http_request("GET", f"{server.url}/metrics", headers=bearer).text.splitlines()
    counts = dict(
        line.removeprefix(PREFIX).split('"} ') for line in lines if line.startswith(PREFIX)
    )
    assert {name: float(count) for name, count in counts.items()} == {
        "content_type_ignored": 1,
        "data_skipped": 2,
        "end_missing": 1,
        "field_repaired": 2,
        "form_changed": 1,
        "lines_split": 2,
        "status_ignored": 1,
        "text_replaced": 2,
    }
