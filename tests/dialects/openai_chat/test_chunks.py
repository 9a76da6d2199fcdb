"""Only chunks of OpenAI's API leave the gateway, whatever the provider sends."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api
from tests.dialects.openai_chat.accumulated import accumulated, answered, failed, response, sent
from tests.dialects.openai_chat.chat import JUNK, texts
from tests.dialects.openai_chat.test_stream import relayed
from tests.support import T0_MS
from tests.upstream import chunk, event, usage, used

VERDICT = [{"prompt_index": 0, "content_filter_results": {"jailbreak": {"filtered": False}}}]
AZURE_HEAD = {"id": "", "object": "", "created": 0, "model": ""}


@pytest.mark.parametrize(
    "foreign",
    [{}, {"type": "ping"}, {"warning": "no usage"}, {"choices": None}, {"object": "x", "id": "y"}],
)
def test_chunk_without_choices_is_dropped_and_counted(foreign: dict[str, Any]) -> None:
    adapter = response()
    shown = relayed(adapter, chunk("Hel"), event(foreign), chunk("lo"))
    assert [each["choices"][0]["delta"]["content"] for each in shown] == ["Hel", "lo"]
    assert adapter.meter.repairs[Repair.CHUNK_DROPPED] == 1


@pytest.mark.parametrize(
    "nothing",
    [
        {"choices": [], "usage": usage(3, 5)},
        {"usage": usage(3, 5)},
        {"choices": [], "usage": usage(3, 5), "timings": {"prompt_ms": 1}},
        {"choices": [], "usage": None, "system_fingerprint": "fp"},
        {"id": "x", "choices": []},
    ],
)
def test_chunk_that_has_at_most_usage_is_withheld_and_not_counted(nothing: dict[str, Any]) -> None:
    adapter = response()
    assert relayed(adapter, event(nothing)) == []
    assert not adapter.meter.repairs


@pytest.mark.parametrize("members", [{}, {"usage": None}, {"usage": usage(3, 5)}])
def test_azure_s_verdict_on_the_prompt_reaches_the_client(members: dict[str, Any]) -> None:
    # https://github.com/microsoft/autogen/issues/6465
    body = {**AZURE_HEAD, "choices": [], "prompt_filter_results": VERDICT, **members}
    (shown,) = relayed(response(), event(body))
    assert (shown["prompt_filter_results"], shown["choices"]) == (VERDICT, [])
    assert (shown["object"], shown["created"]) == ("chat.completion.chunk", T0_MS // 1000)
    assert "usage" not in shown


def test_azure_s_annotations_reach_the_client_with_a_delta() -> None:
    results: dict[str, Any] = {"content_filter_results": {"hate": {"filtered": False}}}
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": None,
        **results,
        "content_filter_offsets": {"start": 1},
    }
    adapter = response()
    shown = relayed(adapter, chunk("a"), event({**AZURE_HEAD, "choices": [choice], "usage": None}))
    assert shown[1]["choices"] == [{**choice, "delta": {}}]
    assert adapter.meter.repairs[Repair.MESSAGE_ADDED] == 1


def test_unknown_fields_of_a_chunk_without_choices_reach_the_client() -> None:
    (shown,) = relayed(response(), event({"choices": [], "citations": ["https://a"]}))
    assert shown["citations"] == ["https://a"]


def test_head_is_corrected_in_every_chunk() -> None:
    heads: list[dict[str, Any]] = [
        {},
        {"object": ""},
        {"created": "now"},
        {"created": 1.5, "object": "chat.completion"},
    ]
    choices = [{"delta": {"content": "a"}}]
    for shown in sent([{**head, "choices": choices} for head in heads])[: len(heads)]:
        assert (shown["object"], shown["created"]) == ("chat.completion.chunk", T0_MS // 1000)
        assert shown["choices"][0]["index"] == 0
        assert shown["choices"][0]["finish_reason"] is None


def test_only_the_first_delta_has_a_role() -> None:
    # OpenAI's client would join the roles to `assistantassistant`.
    delta = {"role": "assistant", "content": "a"}
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    whole = accumulated(sent([{"choices": choices}, {"choices": choices}]))
    assert (whole.choices[0].message.role, whole.choices[0].message.content) == ("assistant", "aa")
    (odd,) = relayed(response(), event({"choices": [{"delta": {"role": "model"}}]}))
    assert odd["choices"][0]["delta"] == {"role": "assistant"}


def test_choice_without_a_delta_gets_what_it_has() -> None:
    message = {"message": {"content": "a"}}
    shown = sent([{"choices": [each]} for each in (message, {"text": "b"}, {}, {"delta": None})])
    texts = [each["choices"][0]["delta"].get("content") for each in shown]
    assert texts == ["a", "b", None, None, None]


def test_message_that_repeats_the_deltas_is_dropped() -> None:
    # MiniMax ends a stream with the whole message.
    adapter = response()
    whole = {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    shown = relayed(adapter, chunk("Hello"), event({"choices": [whole]}))
    assert shown[1]["choices"][0]["delta"] == {}
    assert adapter.meter.output.text_bytes == len("Hello")


@pytest.mark.parametrize("choice", [{}, {"message": None}, {"message": "a"}, {"message": {}}])
def test_message_is_never_missing_in_a_plain_response(choice: dict[str, Any]) -> None:
    # https://github.com/agentgateway/agentgateway/issues/1464
    shown = answered({"choices": [{**choice, "finish_reason": "length"}], "usage": usage(9, 96)})
    assert shown["choices"][0]["message"] == {"role": "assistant", "content": None}
    assert ChatCompletion.model_validate(shown)


def test_legacy_completion_always_has_a_text() -> None:
    choices = [{"text": "a"}, {"text": None}, {"delta": {"content": "b"}}, {"message": {}}]
    shown = sent([{"choices": [each]} for each in choices], Api.COMPLETIONS)
    assert [each["choices"][0]["text"] for each in shown] == ["a", "", "b", "", ""]
    assert {each["object"] for each in shown} == {"text_completion"}


def test_log_probabilities_survive_only_as_an_object() -> None:
    kept = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": []}], "refusal": None}
    for sent_by_it, shown in ((kept, kept), (None, None), ([], "gone"), (5, "gone")):
        choice = {
            "index": 0,
            "delta": {"content": "a"},
            "logprobs": sent_by_it,
            "finish_reason": None,
        }
        chunks = sent([{"choices": [choice]}, {"choices": [choice]}])
        assert chunks[1]["choices"][0].get("logprobs", "gone") == shown


def test_last_chunk_keeps_the_provider_s_time() -> None:
    adapter = response()
    relayed(adapter, event({"created": 7, "choices": [{"delta": {"content": "a"}}]}))
    assert failed(adapter)["created"] == 7
    assert used(usage(1, 1))


# A choice in any shape that a provider may send.
_texts = texts | JUNK
_functions = JUNK | st.fixed_dictionaries({}, optional={"name": _texts, "arguments": _texts})
_calls = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 3) | st.sampled_from(["0", None, -1, 10**9]) | JUNK,
        "id": st.sampled_from(["a", "b", "", None, 5]) | texts,
        "type": st.sampled_from(["function", "", None]),
        "function": _functions,
    },
)
_parts = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["assistant", "model", "", None]) | JUNK,
        "content": _texts | st.lists(st.fixed_dictionaries({"type": texts, "text": _texts})),
        "refusal": _texts,
        "reasoning": texts | st.none(),
        "reasoning_content": texts | st.none(),
        "tool_calls": JUNK | st.lists(_calls | JUNK, max_size=3),
    },
)
_choices = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, None, "0", -1, 2**40]),
        "delta": _parts | JUNK,
        "message": _parts | JUNK,
        "text": _texts,
        "finish_reason": st.sampled_from([None, None, "stop", "length", "STOP", "", "null"]) | JUNK,
        "logprobs": st.sampled_from([None, [], 5]),
    },
)
_chunks = st.fixed_dictionaries(
    {},
    optional={
        "id": JUNK,
        "object": JUNK,
        "created": JUNK,
        "model": JUNK,
        "system_fingerprint": st.none() | texts,
        "usage": JUNK,
        "choices": st.none() | st.lists(_choices, max_size=1),
        "type": JUNK,
    },
)


@settings(max_examples=60)
@given(st.lists(_chunks, max_size=4))
def test_stream_of_any_chunks_is_readable_for_openai_s_client(chunks: list[Any]) -> None:
    shown = [each for each in sent(chunks) if not _ends_with_an_error(each)]
    accumulated(shown)
    assert all(chunk["choices"] or "usage" not in chunk for chunk in shown)


@given(_chunks)
def test_plain_response_of_any_shape_fits_openai_s_types(body: dict[str, Any]) -> None:
    try:
        shown = answered(body)
    except ProviderError:
        return
    for choice in shown["choices"]:
        if choice["finish_reason"] in (None, "error"):
            choice["finish_reason"] = "stop"  # OpenRouter's additions to OpenAI's words
    assert ChatCompletion.model_validate(json.loads(json.dumps(shown)))


def _ends_with_an_error(chunk: dict[str, Any]) -> bool:
    """Whether a chunk has OpenRouter's own word for an end, which OpenAI's types do not know."""
    return any(choice["finish_reason"] == "error" for choice in chunk["choices"])
