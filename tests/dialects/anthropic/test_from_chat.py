import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.from_chat import from_chat
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.messages import from_chat_of, text
from tests.dialects.openai_chat.chat import HI, JUNK, requests

NEWEST, FORMER, BUDGET, OTHER = (
    "claude-opus-5-5",
    "claude-opus-4-8",
    "claude-haiku-4-5-20251001",
    "glm-5",
)
PNG = base64.b64encode(messages.png(1, 1)).decode()
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def asked(*turns: Any, model: str = FORMER, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = from_chat_of(model, messages=list(turns), **members)[0][
        "messages"
    ]
    return found


def rejection(model: str = FORMER, **members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        from_chat_of(model, **members)
    return str(caught.value)


def call(call_id: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls_of(*calls: Any, **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **members}


def tool_result(call_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


@given(requests(), st.sampled_from([NEWEST, FORMER, BUDGET, OTHER]))
def test_any_chat_is_translated_or_rejected(sent: tuple[Api, bytes], model: str) -> None:
    api, body = sent
    if api is not Api.CHAT:
        return
    try:
        translated = from_chat(parse_chat(api, body), messages.served_by(model))
    except InvalidInput:
        return
    parse_request(Api.MESSAGES, translated.body)


@given(st.data())
def test_any_value_is_translated_or_rejected(data: st.DataObject) -> None:
    names = [
        *("stop", "reasoning_effort", "response_format", "tool_choice", "temperature", "user"),
        *("top_p", "reasoning_details", "thinking", "parallel_tool_calls"),
    ]
    members = data.draw(st.dictionaries(st.sampled_from(names), JUNK, max_size=3))
    details = {
        "role": "assistant",
        "content": data.draw(JUNK),
        "reasoning_details": data.draw(JUNK),
    }
    details["tool_calls"] = data.draw(JUNK)
    body = {"model": "a", "messages": [details], "tools": [FUNCTION], **members}
    with contextlib.suppress(InvalidInput):
        request = parse_chat(Api.CHAT, json.dumps(body).encode())
        from_chat(request, messages.served_by(FORMER))


def test_leading_system_messages_become_the_system_prompt() -> None:
    turns = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [text("b", cache_control={"type": "ephemeral"})]},
        *HI,
    ]
    body, _ = from_chat_of(messages=turns)
    assert body["system"] == [text("a"), text("b", cache_control={"type": "ephemeral"})]
    assert from_chat_of(messages=[turns[0], *HI])[0]["system"] == "a"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (FORMER, {"role": "system", "content": "now"}),
        (BUDGET, {"role": "user", "content": [text("<system>\nnow\n</system>")]}),
    ],
)
def test_later_system_message_stays_in_its_place(model: str, expected: Any) -> None:
    found = asked(*HI, {"role": "system", "content": "now"}, *HI, model=model)
    assert found[1] == expected


def test_system_message_after_the_assistant_is_told_to_the_user() -> None:
    said = {"role": "assistant", "content": "a"}
    found = asked(*HI, said, {"role": "system", "content": [text("now"), text("on")]})
    assert found[-1]["content"] == [text("<system>\nnow\n\non\n</system>")]


def test_results_and_the_next_question_become_one_message() -> None:
    turns = (
        *HI,
        calls_of(call("a", '{"x": 1.50}'), call("b", ""), content="look"),
        tool_result("b", [text("two")]),
        tool_result("a", ""),
        {"role": "user", "content": "and?"},
    )
    _, said, heard = asked(*turns, tools=[FUNCTION])
    assert said["content"] == [
        text("look"),
        messages.use("a", given={"x": 1.5}),
        messages.use("b"),
    ]
    assert heard["content"] == [
        messages.result("b", [text("two")]),
        {"type": "tool_result", "tool_use_id": "a"},
        text("and?"),
    ]


def test_arguments_keep_their_bytes() -> None:
    turns = [*HI, calls_of(call("a", '{"x": 1.50, "y":12345678901234567890}')), tool_result("a")]
    chat = parse_chat(Api.CHAT, json.dumps({"model": "a", "messages": turns}).encode())
    body = from_chat(chat, messages.served_by(FORMER)).body
    assert b'"input":{"x": 1.50, "y":12345678901234567890}' in body


@pytest.mark.parametrize(
    ("turns", "named"),
    [
        ([*HI, calls_of(call("a"))], "`a` has no result"),
        ([*HI, calls_of(call("a")), *HI], "`messages[2]` must be the result"),
        ([*HI, calls_of(call("a")), tool_result("b")], "[2].tool_call_id` is `b`"),
        ([*HI, calls_of(call("a")), tool_result("a"), tool_result("a")], "[3].tool_call_id"),
        ([*HI, calls_of(call("a"), call("a"))], "[1].tool_calls[1].id`"),
        ([*HI, calls_of(call("", "{}"))], "[1].tool_calls[0].id`"),
        ([*HI, calls_of(call("a", "[1]"))], "function.arguments`"),
        ([*HI, calls_of(call("a", "{oops"))], "function.arguments`"),
        ([*HI, calls_of({"id": "a"})], "has no `function`"),
        ([{"role": "user", "content": ""}], "`messages[0].content` is empty"),
        ([{"role": "critic", "content": "a"}], "`messages[0].role`"),
        ([{"role": "system", "content": "a"}], "no message apart from the system prompt"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "`input_audio`"),
        ([{"role": "user", "content": [{"type": "invented"}]}], "`invented`"),
        ([{"role": "user", "content": [{"type": "text"}]}], "[0].text` is missing"),
        ([*HI, {"role": "assistant", "content": "", "audio": {"id": "a"}}], "[1].audio`"),
        ([*HI, {"role": "assistant", "function_call": {"name": "f"}}], "[1].function_call`"),
    ],
)
def test_conversation_without_a_counterpart_is_rejected(turns: Any, named: str) -> None:
    assert named in rejection(messages=turns)


def test_ids_have_only_characters_that_anthropic_accepts() -> None:
    turns = (
        *HI,
        calls_of(call("f.1:a"), call("f_1_a")),
        tool_result("f_1_a"),
        tool_result("f.1:a"),
    )
    _, said, heard = asked(*turns)
    first, second = [each["id"] for each in said["content"]]
    assert first.replace("_", "").isalnum()
    assert second == "f_1_a"
    assert [each["tool_use_id"] for each in heard["content"]] == [second, first]


def test_empty_message_of_the_assistant_is_left_out() -> None:
    assert len(asked(*HI, {"role": "assistant", "content": ""}, *HI)) == 2


def test_refusal_is_repeated_as_text() -> None:
    said = {"role": "assistant", "content": None, "refusal": "no"}
    assert asked(*HI, said, *HI)[1] == {"role": "assistant", "content": "no"}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}},
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            },
        ),
        (
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
            messages.pdf(b"%PDF", title="a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": "https://a/b.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
        ),
    ],
)
def test_part_has_a_counterpart(part: Any, block: Any) -> None:
    assert asked({"role": "user", "content": [text("a"), part]})[0]["content"] == [text("a"), block]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0="}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url", "image_url": {"url": "ftp://a"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "file", "file": {"file_data": "data:text/csv;base64,QQ=="}},
    ],
)
def test_unreadable_media_are_rejected_and_never_described(part: Any) -> None:
    assert "`messages[0].content[0]." in rejection(messages=[{"role": "user", "content": [part]}])


def test_signed_thinking_comes_first_and_unsigned_is_dropped() -> None:
    details = [
        {"type": "reasoning.text", "text": "wh", "index": 0},
        {"type": "reasoning.text", "text": "y", "signature": "sig==", "index": 0},
        {"type": "reasoning.encrypted", "data": "enc==", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "other", "format": "openai-responses-v1"},
        {"type": "reasoning.text", "text": "unsigned"},
    ]
    said = {"role": "assistant", "content": "so", "reasoning": "why", "reasoning_details": details}
    body, omitted = from_chat_of(messages=[*HI, said, *HI])
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "why", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "enc=="},
        text("so"),
    ]
    assert omitted == ("messages.reasoning_details",)


def test_reasoning_without_details_is_dropped_and_named() -> None:
    said = {"role": "assistant", "content": "so", "reasoning_content": "why", "name": "n"}
    body, omitted = from_chat_of(messages=[*HI, said, *HI])
    assert body["messages"][1] == {"role": "assistant", "content": "so"}
    assert omitted == ("messages.reasoning_content", "messages.name")


@pytest.mark.parametrize(
    ("model", "members", "expected"),
    [
        (FORMER, {"reasoning_effort": "high"}, ("adaptive", "high")),
        (FORMER, {"reasoning": {"effort": "minimal"}}, ("adaptive", "low")),
        (FORMER, {"reasoning": {"enabled": True}}, ("adaptive", None)),
        (FORMER, {"reasoning": {"max_tokens": 5000}}, ("adaptive", "medium")),
        (FORMER, {"reasoning": {"enabled": False}}, ("disabled", None)),
        (FORMER, {"reasoning_effort": "none"}, ("disabled", None)),
        (FORMER, {}, (None, None)),
        (BUDGET, {"reasoning_effort": "high"}, (8000, None)),
        (BUDGET, {"reasoning": {"max_tokens": 500}}, (1024, None)),
        (BUDGET, {"reasoning": {"max_tokens": 20_000}}, (9999, None)),
        ("claude-opus-4-6", {"reasoning": {"max_tokens": 5000}}, (5000, None)),
        ("claude-opus-4-6", {"reasoning_effort": "xhigh"}, ("adaptive", "high")),
        (OTHER, {"reasoning": {"effort": "low"}}, (2000, None)),
    ],
)
def test_reasoning_is_written_for_the_model(model: str, members: Any, expected: Any) -> None:
    body, _ = from_chat_of(model, max_tokens=10_000, **members)
    thinking = body.get("thinking", {})
    found = thinking.get("budget_tokens", thinking.get("type"))
    assert (found, body.get("output_config", {}).get("effort")) == expected


def test_excluded_reasoning_is_not_shown() -> None:
    body, _ = from_chat_of(reasoning={"effort": "low", "exclude": True})
    assert body["thinking"]["display"] == "omitted"
    assert from_chat_of(reasoning={"effort": "low"})[0]["thinking"]["display"] == "summarized"


def test_limit_without_room_for_thinking_turns_it_off_and_says_so() -> None:
    body, omitted = from_chat_of(BUDGET, max_tokens=1024, reasoning_effort="high")
    assert "thinking" not in body
    assert omitted == ("reasoning",)


@pytest.mark.parametrize(
    ("details", "model", "is_kept"),
    [
        ([], BUDGET, False),
        ([{"type": "reasoning.text", "text": "t", "signature": "s"}], BUDGET, True),
        ([], FORMER, True),
    ],
)
def test_turn_that_began_without_thinking_goes_on_without_it(
    details: Any, model: str, is_kept: bool
) -> None:
    turns = [*HI, calls_of(call("a"), reasoning_details=details), tool_result("a")]
    body, omitted = from_chat_of(model, messages=turns, max_tokens=9000, reasoning_effort="low")
    assert ("thinking" in body) == is_kept
    assert omitted == (() if is_kept else ("reasoning",))


def test_reasoning_that_cannot_be_turned_off_is_rejected() -> None:
    assert "cannot be turned off" in rejection(NEWEST, reasoning={"enabled": False})


def test_own_form_of_thinking_passes() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert from_chat_of(BUDGET, max_tokens=9000, thinking=thinking)[0]["thinking"] == thinking


@pytest.mark.parametrize(
    ("model", "members", "kept", "omitted"),
    [
        (BUDGET, {"temperature": 0.5, "top_k": 5}, {"temperature", "top_k"}, ()),
        (BUDGET, {"temperature": 0.5, "top_p": 0.9}, {"temperature"}, ("top_p",)),
        (FORMER, {"temperature": 0.5}, set(), ("temperature",)),
        (BUDGET, {"temperature": 0.5, "reasoning_effort": "low"}, set(), ("temperature",)),
        (
            BUDGET,
            {"temperature": 0.5, "reasoning": {"enabled": False}},
            {"temperature"},
            (),
        ),
    ],
)
def test_sampling_is_sent_to_models_that_take_it(
    model: str, members: Any, kept: set[str], omitted: tuple[str, ...]
) -> None:
    body, names = from_chat_of(model, max_tokens=9000, **members)
    assert {"temperature", "top_p", "top_k"} & body.keys() == kept
    assert names == omitted


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"n": 2}, "`n`"),
        ({"logprobs": True}, "`logprobs`"),
        ({"logit_bias": {"1": 1}}, "`logit_bias`"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "a"}}, "is not supported"),
        ({"temperature": 1.5}, "`temperature`"),
        ({"stop": ["a", " \n"]}, "`stop`"),
        ({"service_tier": "flex"}, "`service_tier`"),
        ({"response_format": {"type": "json_object"}}, "`json_object`"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "schema` is missing"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "`tools[0]`"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "`tool_choice`"),
        ({"functions": [{"name": "f"}]}, "`functions`"),
        ({"reasoning_effort": "extreme"}, "`reasoning_effort`"),
    ],
)
def test_parameter_without_a_counterpart_is_rejected_by_name(members: Any, named: str) -> None:
    assert named in rejection(**members)


def test_model_that_rejects_forced_calls_is_not_asked_for_one() -> None:
    assert "`tool_choice`" in rejection(NEWEST, tools=[FUNCTION], tool_choice="required")


def test_neutral_values_are_accepted_silently() -> None:
    members: Any = {"n": 1, "logprobs": False, "presence_penalty": 0, "store": False}
    members |= {"modalities": ["text"], "stream_options": {"include_usage": True}, "stream": True}
    body, omitted = from_chat_of(**members)
    assert omitted == ()
    assert body["stream"] is True


def test_dropped_parameters_are_named() -> None:
    body, omitted = from_chat_of(seed=1, frequency_penalty=0.5, verbosity="low", x_new=1)
    assert omitted == ("seed", "frequency_penalty", "verbosity", "x_new")
    assert not set(omitted) & body.keys()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        (None, None),
    ],
)
def test_choice_of_tools_is_translated(choice: Any, expected: Any) -> None:
    body, _ = from_chat_of(tools=[FUNCTION], tool_choice=choice)
    assert body.get("tool_choice") == expected


def test_calls_one_by_one_need_a_choice() -> None:
    body, _ = from_chat_of(tools=[FUNCTION], parallel_tool_calls=False)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    body, _ = from_chat_of(tools=[FUNCTION], parallel_tool_calls=False, tool_choice="none")
    assert body["tool_choice"] == {"type": "none"}


def test_functions_become_tools() -> None:
    function = {"name": "f", "description": "d", "strict": True}
    given_tools = [{"type": "function", "function": function}]
    schema = {"type": "object", "properties": {}}
    (tool,) = from_chat_of(tools=given_tools)[0]["tools"]
    assert tool == {"name": "f", "description": "d", "input_schema": schema, "strict": True}
    body, omitted = from_chat_of("claude-opus-4-1-20250805", tools=given_tools)
    assert "strict" not in body["tools"][0]
    assert omitted == ("tools.strict",)


def test_short_parameters_are_translated() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}}
    body, _ = from_chat_of(
        stop="a", user="u", service_tier="default", response_format=schema, reasoning_effort="low"
    )
    assert body["stop_sequences"] == ["a"]
    assert body["metadata"] == {"user_id": "u"}
    assert body["service_tier"] == "standard_only"
    form = {"type": "json_schema", "schema": {"a": 1}}
    assert body["output_config"] == {"effort": "low", "format": form}
    assert "json_schema" in rejection("claude-opus-4-1", response_format=schema)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limit_is_the_clients(name: str) -> None:
    limit: Any = {name: 77}
    assert from_chat_of(**limit)[0]["max_tokens"] == 77
    assert "max_tokens" not in from_chat_of()[0]
