"""Calls on the running server: their responses, what the account shows, and which keys may call."""

import itertools
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from modelgates_server.core.ledger.records import HoldState
from tests.e2e.calls import Client, ResponseReader, Session, chaos, chat_body, read
from tests.server import Customer, RunningServer, open_customer_now
from tests.support import DOLLAR

ECHO = "sandbox/echo"
ID = re.compile(r"gen-\d{10}-[0-9A-Za-z]{21}")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@pytest.fixture
def session(server: RunningServer, customer: Customer) -> Iterator[Session]:
    with Session(server, customer) as opened:
        yield opened


def test_plain_response_has_its_cost_and_its_receipt_exists_at_once(session: Session) -> None:
    response = session.inference.chat("one two three", model=ECHO)
    assert response.status_code == 200
    body = read(response.text)
    assert ID.fullmatch(body["id"])
    assert response.headers["x-generation-id"] == body["id"]
    assert (body["model"], body["provider"], body["object"]) == (ECHO, "sandbox", "chat.completion")
    assert body["choices"][0]["message"]["content"] == "one two three"
    # Input: 3 words and 4 for the message, at $0.000001 each. Output: 3 words at $0.000002.
    cost = Decimal("0.000013")
    assert body["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "cost": cost,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": 0,
            "cache_write_tokens": 0,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "image_tokens": 0,
            "audio_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": Decimal("0.000007"),
            "upstream_inference_completions_cost": Decimal("0.000006"),
        },
    }
    assert response.headers["x-modelgates-cost"] == "0.000013"
    shown = session.inference.get(f"/generation?id={body['id']}")
    assert (shown["total_cost"], shown["tokens_prompt"], shown["state"]) == (cost, 7, "captured")
    [_] = session.check_ledger()


def test_stream_has_its_cost_in_its_last_chunk_and_its_receipt_exists(session: Session) -> None:
    stream = session.inference.read_stream("one two three", model=ECHO)
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert ID.fullmatch(stream.id)
    assert {chunk["id"] for chunk in stream.chunks} == {stream.id}
    *texts, last = stream.chunks
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in texts)
    assert text == "one two three"
    assert [chunk for chunk in texts if "usage" in chunk] == []
    assert texts[-1]["choices"][0]["finish_reason"] == "stop"
    assert texts[-1]["choices"][0]["native_finish_reason"] == "stop"
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]
    assert last["usage"]["cost"] == Decimal("0.000013")
    assert session.inference.get(f"/generation?id={stream.id}")["total_cost"] == Decimal("0.000013")
    assert session.inference.get("/key")["usage"] == Decimal("0.000013")
    [_] = session.check_ledger()


def test_receipt_exists_as_soon_as_the_last_line_is_read(session: Session) -> None:
    for _ in range(20):
        with session.inference.stream("hello", model=ECHO) as reader:
            reader.read_until("[DONE]")
            shown = session.inference.get(f"/generation?id={reader.id}")
            assert shown["state"] == "captured"
            assert shown["total_cost"] == Decimal("0.000007")
            reader.read_rest()


def test_completions_and_embeddings_are_charged_as_chat_is(session: Session) -> None:
    body: dict[str, Any] = {"model": ECHO, "prompt": "one two"}
    plain = read(session.inference.http.post("/completions", json=body).text)
    assert (plain["object"], plain["choices"][0]["text"]) == ("text_completion", "one two")
    assert plain["usage"]["cost"] == Decimal("0.000006")
    with session.inference.http.stream(
        "POST", "/completions", json={**body, "stream": True}
    ) as response:
        streamed = ResponseReader(response)
        streamed.read_rest()
    assert streamed.cost == plain["usage"]["cost"]
    body = {"model": "sandbox/embed", "input": "one two three"}
    embedded = read(session.inference.http.post("/embeddings", json=body).text)
    assert len(embedded["data"][0]["embedding"]) == 8
    assert embedded["usage"]["cost"] == Decimal("0.0000003")
    assert "completion_tokens" not in embedded["usage"]
    assert len(session.check_ledger()) == 3


def test_amounts_have_no_rounding_errors_of_floats(session: Session) -> None:
    for words in range(1, 40):
        session.inference.chat("word " * words, model=ECHO)
    viewer = session.viewer.http
    texts = [viewer.get(path).text for path in ("/credits", "/activity", "/key")]
    texts += [
        viewer.get(f"/generation?id={generation.id}").text for generation in session.check_ledger()
    ]
    for text in texts:
        for number in NUMBER.findall(re.sub(r'"[^"]*"', "", text)):
            assert "e" not in number.lower()
            assert len(number.partition(".")[2]) <= 12, number
    used = read(texts[0])["data"]["total_usage"]
    assert used == Decimal("0.000001") * sum(3 * words + 4 for words in range(1, 40))


def test_activity_adds_up_to_usage_over_keys_models_and_outcomes(
    session: Session,
) -> None:
    first, other = session.inference, session.new_key()
    for caller, model in itertools.product((first, other), (ECHO, "sandbox/lorem")):
        caller.chat("5", model=model)
        caller.read_stream("6", model=model)
    first.chat(**chaos(status=500))
    first.read_stream(**chaos(tokens=4, cut_after=2))
    generations = session.check_ledger()
    rows = session.viewer.get("/activity")
    assert len({(row["model"], row["api_key_hash"]) for row in rows}) == len(rows) == 5
    assert all(row["partial"] is True for row in rows)
    charged = [generation for generation in generations if generation.state is HoldState.CAPTURED]
    assert sum(row["requests"] for row in rows) == len(charged) == 9


def test_reading_usage_is_never_charged(session: Session) -> None:
    generation_id = session.inference.chat(model=ECHO).headers["x-generation-id"]
    viewer = session.viewer
    paths = [f"/generation?id={generation_id}", "/credits", "/credits/holds", "/activity", "/key"]
    before = [viewer.http.get(path).text for path in paths]
    for _ in range(10):
        assert [viewer.http.get(path).text for path in paths] == before
    assert session.inference.http.get("/models").status_code == 200
    assert len(session.check_ledger()) == 1


def test_generation_is_shown_only_to_its_own_account(session: Session) -> None:
    generation_id = session.inference.chat(model=ECHO).headers["x-generation-id"]
    path = f"/generation?id={generation_id}"
    for client in (session.management, session.inference, session.viewer):
        assert client.get(path)["id"] == generation_id
    stranger = session.client(open_customer_now(session.server.database_path).management)
    refused = stranger.http.get(path)
    assert refused.status_code == 404
    assert refused.json()["error"]["message"] == (
        f"Generation not found: `{generation_id}`. Check the id, and use a key of the account "
        "that made the call."
    )


CALLS: dict[str, Callable[[Client], httpx.Response]] = {
    "chat": lambda client: client.chat(model=ECHO),
    "stream": lambda client: client.chat(model=ECHO, stream=True),
    "completions": lambda client: client.http.post(
        "/completions", json={"model": ECHO, "prompt": "hello"}
    ),
    "embeddings": lambda client: client.http.post(
        "/embeddings", json={"model": "sandbox/embed", "input": "hello"}
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_management_and_viewer_keys_cannot_call_models(session: Session, call: str) -> None:
    for kind in ("management", "viewer"):
        refused = CALLS[call](getattr(session, kind))
        assert refused.status_code == 403
        assert refused.json() == {
            "error": {
                "message": (
                    f"{kind.capitalize()} keys cannot call models. Create an inference key."
                ),
                "code": 403,
            },
            "user_id": session.customer.account_id,
        }
    assert session.check_ledger() == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (chat_body("hi", "acme/none"), "acme/none is not a valid model ID"),
        (
            chat_body("hi", "sandbox/embed"),
            (
                "sandbox/embed cannot be called at /chat/completions. Choose another model; "
                "this one is for /embeddings."
            ),
        ),
        ({"model": ECHO}, 'Input required: specify "prompt" or "messages"'),
    ],
)
def test_request_that_cannot_be_priced_is_refused_and_costs_nothing(
    session: Session, body: Any, message: str
) -> None:
    for stream in (False, True):
        refused = session.inference.http.post("/chat/completions", json={**body, "stream": stream})
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == message
        assert refused.json()["user_id"] == session.customer.account_id
    assert session.check_ledger() == []


def test_credits_fall_by_the_cost_in_each_response(server: RunningServer) -> None:
    customer = open_customer_now(server.database_path, DOLLAR)
    usage = Decimal(0)
    with Session(server, customer) as session:
        for number in range(10):
            response = session.inference.chat(f"call {number}", model=ECHO)
            usage += read(response.text)["usage"]["cost"]
            assert session.viewer.get("/credits") == {"total_credits": 1, "total_usage": usage}
            usage += session.inference.read_stream(f"call {number}", model=ECHO).cost
            assert session.viewer.get("/credits") == {"total_credits": 1, "total_usage": usage}
        session.check_ledger()
