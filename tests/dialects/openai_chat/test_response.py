import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import Ending, FinishReason, InvalidAnswer
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import Price, charge_for
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.chunks import ChunkWriter, error_chunk
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.openai_chat.response import rewrite_answer, usage_object
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.support import T0_MS

STOPPED = Ending("stop", FinishReason.STOP)
PRICE = calls.flat(input="0.001", output="0.002", request="0.0000000000007")
REPORT = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def generation(
    usage: Usage | None = None,
    api: Api = Api.CHAT,
    *,
    price: Price = PRICE,
    held_pico: int = 10**15,
) -> Generation:
    """A call that ended with this usage; a voided call if there is none."""
    started = calls.held(calls.priced(price, chat.request(api)))
    if usage is None:
        return calls.replace(started, state=HoldState.VOIDED, ended_at_ms=T0_MS)
    charge = charge_for(price, usage, 0, held_pico)
    return calls.replace(
        started,
        state=HoldState.CAPTURED,
        ended_at_ms=T0_MS,
        usage=usage,
        lines=charge.lines,
        cost_pico=charge.amount_pico,
    )


PLAIN = generation(Usage(input=9, output=2))


def exact(text: bytes) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text, parse_float=Decimal, parse_int=int)
    return read


def answered(payload: bytes, of: Generation = PLAIN) -> bytes:
    meter = ChatResponseMeter()
    return rewrite_answer(meter.observe(payload), of, meter)


def chunked(payload: bytes, *, finished: bool = False) -> bytes | None:
    meter = ChatResponseMeter(endings={9: STOPPED} if finished else {})
    return ChunkWriter(PLAIN, meter).chunk(meter.observe(payload))


def streamed(*payloads: bytes) -> list[bytes | None]:
    """The client's chunks of a stream."""
    meter = ChatResponseMeter()
    writer = ChunkWriter(PLAIN, meter)
    return [writer.chunk(meter.observe(payload)) for payload in payloads]


def usage_chunk(of: Generation, last: JsonObject) -> bytes:
    """The last chunk for a client that asks for the usage."""
    return ChunkWriter(of, ChatResponseMeter(), asks_for_usage=True).usage_chunk(of, last)


def test_response_is_forwarded_byte_for_byte_except_for_gateway_fields() -> None:
    message = (
        b'{"role": "assistant","content":"\\u00e9\\/ \xc3\xa9","x":1.10, "tool_calls":[{"id":"c1",'
        b'"type":"function","function":{"name":"f","arguments":"{\\"a\\": 1.0e2}"}}]}'
    )
    payload = (
        b'{"id":"up-1","object":"chat.completion","created":1,"model":"m1-large","provider":"x",'
        b'"choices":[{"index":0,"message":%b,"logprobs": {"a":[ 1.50]},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":1},"service_tier":"default","system_fingerprint":"fp",'
        b'"citations":[ "a" ],"x_groq":{"id":"r"}}'
    ) % message
    shown = answered(payload)
    for kept in (message, b'{"a":[ 1.50]}', b'[ "a" ]', b'"service_tier":"default"', b'"fp"'):
        assert kept in shown
    read = exact(shown)
    assert (read["id"], read["model"], read["provider"]) == (PLAIN.id, calls.MODEL, "acme")
    assert (read["object"], read["created"]) == ("chat.completion", 1)
    assert read["choices"][0]["native_finish_reason"] == "stop"
    assert read["usage"]["prompt_tokens"] == 9
    assert "x_groq" not in read


@pytest.mark.parametrize("name", ["tool_calls", "function_call", "audio", "images"])
def test_null_fields_that_clients_do_not_accept_are_dropped(name: str) -> None:
    message = {"content": None, "refusal": None, name: None}
    payload = {"error": None, "choices": [{"message": message, "finish_reason": "stop"}]}
    read = exact(answered(json.dumps(payload).encode()))
    shown = {"role": "assistant", "content": None, "refusal": None}
    assert read["choices"][0]["message"] == shown
    assert "error" not in read
    assert read["system_fingerprint"] is None


def test_native_finish_reason_is_kept_and_never_invented() -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"finish_reason": "stop", "native_finish_reason": "STOP"}, "STOP"),
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": None}, None),
        ({}, None),
    ]
    for reasons, native in cases:
        payload = json.dumps({"choices": [{"message": {}, **reasons}]}).encode()
        choice = exact(answered(payload))["choices"][0]
        assert choice["native_finish_reason"] == native
        assert choice["finish_reason"] == reasons.get("finish_reason")


def test_only_the_last_chunk_has_a_native_finish_reason() -> None:
    first_payload = b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'
    last_payload = b'{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}'
    first, last = (exact(chunk or b"") for chunk in streamed(first_payload, last_payload))
    assert "native_finish_reason" not in first["choices"][0]
    assert last["choices"][0]["native_finish_reason"] == "length"
    assert last["choices"][0]["delta"] == {}


def test_chunk_is_forwarded_unchanged_except_for_gateway_fields() -> None:
    choices = (
        b'[{"index":0, "delta":{"content":"\\u00e9\\n"},"logprobs":null,"finish_reason":null}]'
    )
    payload = (
        b'{"id":"up-1","object":"chat.completion.chunk","created":5,"model":"m1-large",'
        b'"choices":%b,"obfuscation":"xyz","system_fingerprint":null,"usage":null}'
    ) % choices
    _, shown = streamed(payload, payload)
    assert shown is not None
    assert choices in shown
    read = exact(shown)
    assert (read["id"], read["model"], read["provider"]) == (PLAIN.id, calls.MODEL, "acme")
    assert (read["created"], read["obfuscation"]) == (5, "xyz")
    assert not {"usage", "system_fingerprint"} & read.keys()


def test_choice_without_a_finish_reason_gets_null() -> None:
    shown = chunked(b'{"choices":[{"index":0,"delta":{"content":"a","tool_calls":null}}]}')
    assert exact(shown or b"")["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
    ]


MISTRAL = [
    b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}',
    b'{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":%b}',
]
OPENAI = [
    b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}',
    b'{"choices":[],"usage":%b}',
]
GEMINI = [
    b'{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":9}}',
    b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":%b}',
]
GROQ = [
    b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"x_groq":{"id":"r"}}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":%b}}',
]
MOONSHOT = [
    b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":%b}]}',
]


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(stream, id=name)
        for name, stream in {
            "openai": OPENAI,
            "mistral": MISTRAL,
            "gemini": GEMINI,
            "groq": GROQ,
            "moonshot": MOONSHOT,
        }.items()
    ],
)
def test_usage_is_read_in_every_place_and_sent_once_at_the_end(
    stream: list[bytes],
) -> None:
    payloads = [part.replace(b"%b", json.dumps(REPORT).encode()) for part in stream]
    meter = ChatResponseMeter()
    for payload in payloads:
        meter.observe(payload)
    assert meter.reported == REPORT
    assert meter.reading().usage == Usage(input=9, output=2)
    shown = [exact(chunk) for chunk in streamed(*payloads) if chunk is not None]
    assert len(shown) == 2
    for chunk in shown:
        assert not {"usage", "x_groq"} & chunk.keys()
    last = exact(usage_chunk(PLAIN, meter.observe(payloads[-1])))
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 11


def test_last_chunk_has_the_common_fields_and_the_usage() -> None:
    last = ChatResponseMeter().observe(
        b'{"id":"up","object":"chat.completion.chunk","created":7,"choices":[]}'
    )
    read = exact(usage_chunk(PLAIN, last))
    assert list(read) == ["object", "created", "id", "model", "provider", "choices", "usage"]
    assert (read["id"], read["created"], read["choices"]) == (PLAIN.id, 7, [])
    alone = exact(usage_chunk(generation(Usage(), Api.COMPLETIONS), {}))
    assert (alone["object"], alone["created"]) == ("text_completion", T0_MS // 1000)


def test_last_chunk_of_a_failed_stream_has_the_error_and_a_choice() -> None:
    error = {"message": "Provider returned error", "code": 502}
    read = exact(error_chunk(PLAIN, {}, error))
    assert read["error"] == error
    assert read["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    assert read["usage"]["cost"] == Decimal("0.013000000001")
    text = exact(error_chunk(generation(None, Api.COMPLETIONS), {}, error))
    assert text["choices"] == [{"index": 0, "text": "", "finish_reason": "error"}]
    assert text["usage"]["cost"] == 0


@given(st.binary(max_size=50) | chat.JUNK.map(lambda junk: json.dumps(junk).encode()), chat.JUNK)
@example(b'{"usage":' + b"9" * 5000 + b"}", None)
def test_arbitrary_responses_do_not_crash_the_reader_or_the_writer(
    noise: bytes, junk: object
) -> None:
    choice = {"delta": junk, "message": {"content": junk, "tool_calls": junk}, "usage": junk}
    forms = [
        {name: junk} for name in ("id", "choices", "usage", "x_groq", "error", "created", "model")
    ]
    forms += [{"choices": [choice], "usage": {"prompt_tokens": junk}, "x_groq": {"usage": junk}}]
    for payload in [noise, *(json.dumps(form).encode() for form in forms)]:
        meter = ChatResponseMeter()
        try:
            members = meter.observe(payload)
        except InvalidAnswer:
            continue
        assert meter.output.text_bytes >= 0
        meter.reading()
        assert json.loads(rewrite_answer(members, PLAIN, meter))
        assert json.loads(usage_chunk(PLAIN, members))
        for endings in ({}, {9: STOPPED}):
            meter.endings = endings
            chunk = ChunkWriter(PLAIN, meter).chunk(members)
            assert chunk is None or json.loads(chunk)["id"] == PLAIN.id


def deeper(frames: int, members: JsonObject) -> bytes:
    """Rewrite a response deeper in the call stack than it was read."""
    return (
        deeper(frames - 1, members)
        if frames
        else rewrite_answer(members, PLAIN, ChatResponseMeter())
    )


def test_response_that_can_be_read_can_be_rewritten_whatever_its_depth() -> None:
    for depth in range(900, 1000):
        payload = b'{"choices":[{"message":{"audio":null,"a":%b%b}}]}' % (
            b"[" * depth,
            b"]" * depth,
        )
        meter = ChatResponseMeter()
        try:
            members = meter.observe(payload)
        except InvalidAnswer:
            continue
        assert deeper(8, members)


counts = st.integers(0, 10**6)


@given(
    calls.prices,
    st.builds(Usage, input=counts, cache_read=counts, output=counts, reasoning=counts),
    st.integers(0, 10**18),
)
def test_cost_details_add_up_exactly_to_the_cost(
    price: Price, usage: Usage, held_pico: int
) -> None:
    of = generation(usage, price=price, held_pico=held_pico)
    read = exact(usage_chunk(of, {}))["usage"]
    parts = read["cost_details"]
    prompt = parts["upstream_inference_prompt_cost"]
    completion = parts["upstream_inference_completions_cost"]
    assert prompt >= 0
    assert completion >= 0
    assert prompt + completion == read["cost"] == Decimal(of.cost_pico).scaleb(-12)
    assert read["prompt_tokens"] + read["completion_tokens"] == read["total_tokens"]


def test_usage_has_every_field_that_clients_require() -> None:
    use = Usage(
        input=1,
        cache_read=2,
        cache_write=3,
        cache_write_1h=4,
        input_audio=5,
        output=6,
        reasoning=7,
        output_audio=8,
        output_image=9,
    )
    read = exact(usage_chunk(generation(use), {}))["usage"]
    # 15 and 30 thousandths of a dollar; the fee of 0.7 picos is rounded to one.
    assert read == {
        "prompt_tokens": 15,
        "completion_tokens": 30,
        "total_tokens": 45,
        "cost": Decimal("0.075000000001"),
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": 2,
            "cache_write_tokens": 7,
            "audio_tokens": 5,
            "video_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": Decimal("0.015000000001"),
            "upstream_inference_completions_cost": Decimal("0.06"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": 7,
            "image_tokens": 9,
            "audio_tokens": 8,
        },
    }


def test_embedding_has_no_completion_in_its_usage_or_cost() -> None:
    third = calls.flat(input="0.0000000000016")
    payload = b'{"object":"list","data":[{"embedding":[ 0.10]}],"model":"m1-large"}'
    read = exact(answered(payload, generation(Usage(input=1), Api.EMBEDDINGS, price=third)))
    assert read["data"] == [{"embedding": [Decimal("0.10")]}]
    assert read["model"] == calls.MODEL
    usage = read["usage"]
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (1, 1)
    assert not {"completion_tokens", "completion_tokens_details"} & usage.keys()
    assert (
        usage["cost"] == usage["cost_details"]["upstream_inference_prompt_cost"] == Decimal("2E-12")
    )
    assert usage["cost_details"]["upstream_inference_completions_cost"] == 0
    assert "system_fingerprint" not in read


def test_voided_call_has_no_cost_and_no_usage() -> None:
    usage = usage_object(generation(None))
    assert usage["total_tokens"] == 0
    assert bytes(usage["cost"]) == b"0"


def test_cost_is_written_exactly() -> None:
    of = calls.replace(PLAIN, cost_pico=4_909_999_999_999, lines=())
    assert b'"cost":4.909999999999,' in usage_chunk(of, {})


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_multiline_chunk_is_sent_on_one_line(end: bytes) -> None:
    # `data:` lines of one event are joined with LF, which is white space between JSON tokens.
    choices = b'[ {"index": 0,%b "delta": {"content": "a\\nb"},%b "finish_reason": null} ]'
    payload = b'{"object": {%b"a": 1},%b"choices": %b}' % (end, end, choices % (end, end))
    meter = ChatResponseMeter()
    members = meter.observe(payload)
    shown = ChunkWriter(PLAIN, meter).chunk(members)
    assert shown is not None
    for chunk in (shown, usage_chunk(PLAIN, members), error_chunk(PLAIN, members, {"code": 502})):
        assert chunk.splitlines() == [chunk]
    assert exact(shown)["choices"][0]["delta"] == {"role": "assistant", "content": "a\nb"}
