"""Calls on the running server: what a client is told, what its account shows, and who may call."""

import itertools
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from modelgates_server.core.ledger.records import HoldState
from tests.e2e.calls import Client, Listening, Session, asked, chaos, read
from tests.server import Customer, RunningServer, open_customer_now
from tests.support import DOLLAR

ECHO = "sandbox/echo"
ID = re.compile(r"gen-\d{10}-[0-9A-Za-z]{21}")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@pytest.fixture
def session(server: RunningServer, customer: Customer) -> Iterator[Session]:
    with Session(server, customer) as opened:
        yield opened


def test_a_plain_answer_tells_its_cost_and_has_its_receipt_at_once(session: Session) -> None:
    answer = session.inference.chat("one two three", model=ECHO)
    assert answer.status_code == 200
    told = read(answer.text)
    assert ID.fullmatch(told["id"])
    assert answer.headers["x-generation-id"] == told["id"]
    assert (told["model"], told["provider"], told["object"]) == (ECHO, "sandbox", "chat.completion")
    assert told["choices"][0]["message"]["content"] == "one two three"
    # 3 words and 4 for the message, at 1 and 2 millionths of a dollar.
    cost = Decimal("0.000013")
    assert told["usage"] == {
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
    assert answer.headers["x-modelgates-cost"] == "0.000013"
    shown = session.inference.get(f"/generation?id={told['id']}")
    assert (shown["total_cost"], shown["tokens_prompt"], shown["state"]) == (cost, 7, "captured")
    [_] = session.check_books()


def test_a_stream_tells_its_cost_and_has_its_receipt_at_its_last_line(session: Session) -> None:
    told = session.inference.told("one two three", model=ECHO)
    assert told.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert ID.fullmatch(told.id)
    assert {chunk["id"] for chunk in told.chunks} == {told.id}
    *texts, last = told.chunks
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in texts)
    assert said == "one two three"
    assert [chunk for chunk in texts if "usage" in chunk] == []
    assert texts[-1]["choices"][0]["finish_reason"] == "stop"
    assert texts[-1]["choices"][0]["native_finish_reason"] == "stop"
    assert last["choices"] == []
    assert last["usage"]["cost"] == Decimal("0.000013")
    assert session.inference.get(f"/generation?id={told.id}")["total_cost"] == Decimal("0.000013")
    assert session.inference.get("/key")["usage"] == Decimal("0.000013")
    [_] = session.check_books()


def test_the_receipt_is_there_for_who_has_read_the_last_line(session: Session) -> None:
    for _ in range(20):
        with session.inference.stream("hello", model=ECHO) as listening:
            listening.until("[DONE]")
            shown = session.inference.get(f"/generation?id={listening.id}")
            assert shown["state"] == "captured"
            assert shown["total_cost"] == Decimal("0.000007")
            listening.rest()


def test_prompts_and_embeddings_are_charged_alike(session: Session) -> None:
    body: dict[str, Any] = {"model": ECHO, "prompt": "one two"}
    plain = read(session.inference.http.post("/completions", json=body).text)
    assert (plain["object"], plain["choices"][0]["text"]) == ("text_completion", "one two")
    assert plain["usage"]["cost"] == Decimal("0.000006")
    with session.inference.http.stream(
        "POST", "/completions", json={**body, "stream": True}
    ) as response:
        streamed = Listening(response)
        streamed.rest()
    assert streamed.cost == plain["usage"]["cost"]
    body = {"model": "sandbox/embed", "input": "one two three"}
    embedded = read(session.inference.http.post("/embeddings", json=body).text)
    assert len(embedded["data"][0]["embedding"]) == 8
    assert embedded["usage"]["cost"] == Decimal("0.0000003")
    assert "completion_tokens" not in embedded["usage"]
    assert len(session.check_books()) == 3


def test_no_number_of_money_has_the_tail_of_a_float(session: Session) -> None:
    for words in range(1, 40):
        session.inference.chat("word " * words, model=ECHO)
    viewer = session.viewer.http
    texts = [viewer.get(path).text for path in ("/credits", "/activity", "/key")]
    texts += [viewer.get(f"/generation?id={one.id}").text for one in session.check_books()]
    for text in texts:
        for number in NUMBER.findall(re.sub(r'"[^"]*"', "", text)):
            assert "e" not in number.lower()
            assert len(number.partition(".")[2]) <= 12, number
    used = read(texts[0])["data"]["total_usage"]
    assert used == Decimal("0.000001") * sum(3 * words + 4 for words in range(1, 40))


def test_activity_adds_up_to_what_was_used_over_keys_models_and_ways_to_end(
    session: Session,
) -> None:
    first, other = session.inference, session.new_key()
    for caller, model in itertools.product((first, other), (ECHO, "sandbox/lorem")):
        caller.chat("5", model=model)
        caller.told("6", model=model)
    first.chat(**chaos(status=500))
    first.told(**chaos(tokens=4, cut_after=2))
    generations = session.check_books()
    rows = session.viewer.get("/activity")
    assert len({(row["model"], row["api_key_hash"]) for row in rows}) == len(rows) == 5
    assert all(row["partial"] is True for row in rows)
    charged = [one for one in generations if one.state is HoldState.CAPTURED]
    assert sum(row["requests"] for row in rows) == len(charged) == 9


def test_asking_what_was_used_never_bills(session: Session) -> None:
    generation_id = session.inference.chat(model=ECHO).headers["x-generation-id"]
    viewer = session.viewer
    paths = [f"/generation?id={generation_id}", "/credits", "/credits/holds", "/activity", "/key"]
    before = [viewer.http.get(path).text for path in paths]
    for _ in range(10):
        assert [viewer.http.get(path).text for path in paths] == before
    assert session.inference.http.get("/models").status_code == 200
    assert len(session.check_books()) == 1


def test_a_generation_is_shown_to_its_own_account_alone(session: Session) -> None:
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


ASK: dict[str, Callable[[Client], httpx.Response]] = {
    "chat": lambda client: client.chat(model=ECHO),
    "stream": lambda client: client.chat(model=ECHO, stream=True),
    "completions": lambda client: client.http.post(
        "/completions", json={"model": ECHO, "prompt": "hello"}
    ),
    "embeddings": lambda client: client.http.post(
        "/embeddings", json={"model": "sandbox/embed", "input": "hello"}
    ),
}


@pytest.mark.parametrize("ask", ASK)
def test_keys_that_administer_or_look_cannot_spend(session: Session, ask: str) -> None:
    for kind in ("management", "viewer"):
        refused = ASK[ask](getattr(session, kind))
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
    assert session.check_books() == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (asked("hi", "acme/none"), "acme/none is not a valid model ID"),
        (
            asked("hi", "sandbox/embed"),
            (
                "sandbox/embed cannot be called at /chat/completions. Choose another model; "
                "this one is for /embeddings."
            ),
        ),
        ({"model": ECHO}, 'Input required: specify "prompt" or "messages"'),
    ],
)
def test_a_request_that_cannot_be_priced_is_refused_before_it_costs(
    session: Session, body: Any, message: str
) -> None:
    for stream in (False, True):
        refused = session.inference.http.post("/chat/completions", json={**body, "stream": stream})
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == message
        assert refused.json()["user_id"] == session.customer.account_id
    assert session.check_books() == []


def test_credits_fall_by_what_each_call_told(server: RunningServer) -> None:
    customer = open_customer_now(server.database_path, DOLLAR)
    told = Decimal(0)
    with Session(server, customer) as session:
        for number in range(10):
            answer = session.inference.chat(f"call {number}", model=ECHO)
            told += read(answer.text)["usage"]["cost"]
            assert session.viewer.get("/credits") == {"total_credits": 1, "total_usage": told}
            told += session.inference.told(f"call {number}", model=ECHO).cost
            assert session.viewer.get("/credits") == {"total_credits": 1, "total_usage": told}
        session.check_books()
