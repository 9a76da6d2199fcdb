import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.dialect import ANTHROPIC
from modelgates_server.dialects.anthropic.request import parse_request
from tests.dialects.anthropic import messages
from tests.dialects.openai_chat.chat import JUNK


def rejection(**members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        messages.request(**members)
    return str(caught.value)


def rejection_of(body: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_request(Api.MESSAGES, body)
    return str(caught.value)


def test_request_is_read() -> None:
    request = messages.request(
        stream=True,
        service_tier="standard_only",
        metadata={"user_id": "u1"},
        session_id="s1",
        models=["b/c"],
        tools=[messages.tool()],
    )
    assert request.models == ("acme/m1", "b/c")
    assert request.cap_tokens == 64
    assert request.service_tier == "standard_only"
    assert (request.user, request.session_id) == ("u1", "s1")
    assert request.stream
    assert request.has_tools
    assert request.has_output
    assert (request.choices, request.texts, request.messages) == (1, 1, 1)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"messages":[{"role":"user","content":"a"}]}', "`model` is missing"),
        (b'{"model":"a"}', "`messages` is missing"),
        (b'{"model":"a","messages":null}', "`messages` is missing"),
        (b'{"model":"a","messages":[]}', "`messages` has 0 messages"),
        (b'{"model":"a","messages":{}}', "`messages`"),
        (b'{"model":"a","messages":[{"content":"a"}]}', "`messages[0].role`"),
        (b'{"model":"a","messages":[{"role":"tool","content":"a"}]}', "`messages[0].role`"),
        (b'{"model":"a","messages":[{"role":"user"}]}', "`messages[0].content` is missing"),
        (b'{"model":"a","messages":[{"role":"user","content":1}]}', "`messages[0].content`"),
        (b'{"model":"a","messages":[{"role":"user","content":[{}]}]}', "content[0].type`"),
        (b'{"model":"a","messages":[{"role":"user","content":[1]}]}', "messages[0].content"),
        (b'{"model":"a","messages":[{"role":"user","content":[{"type":1}]}]}', "content[0].type`"),
        (b'{"model":"a","messages":[' + b"[" * 2000 + b"]" * 2000 + b"]}", "nested too deeply"),
        (b"[]", "The request body"),
        (b"{", "is not valid JSON"),
        (b"\xff", "not valid UTF-8"),
    ],
)
def test_invalid_request_is_rejected_by_the_name_of_its_field(body: bytes, named: str) -> None:
    assert named in rejection_of(body)


def test_blocks_nested_too_deeply_are_rejected_at_once() -> None:
    block = messages.text("x" * 1000)
    for _ in range(200):
        block = messages.result("t", [block])
    assert "nested too deeply" in rejection(messages=[messages.user(block)])


def test_deepest_nesting_is_read() -> None:
    source = {"type": "content", "content": [messages.image(messages.png(1, 1))]}
    turn = messages.user(messages.result("t", [{"type": "document", "source": source}]))
    assert messages.request(messages=[turn]).media == 1


def test_tool_that_is_not_an_object_is_rejected_by_its_path() -> None:
    turn = messages.user({"type": "tool_addition", "tool": 1})
    assert "`messages[0].content[0].tool`" in rejection(messages=[turn])


def test_image_without_a_source_is_rejected_by_its_path() -> None:
    turn = messages.user(messages.text("a"), {"type": "image"})
    assert "`messages[0].content[1].source` is missing" in rejection(messages=[turn])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", -1),
        ("max_tokens", "9"),
        ("stream", "yes"),
        ("service_tier", 1),
        ("metadata", {"user_id": 1}),
        ("metadata", "a"),
        ("system", 5),
        ("tools", {}),
        ("models", "a"),
        ("output_config", "high"),
        ("context_management", []),
        ("provider", {"order": 1}),
    ],
)
def test_value_of_the_wrong_type_is_rejected_by_name(name: str, value: Any) -> None:
    assert f"`{name}" in rejection(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mcp_servers", [{"url": "https://a"}]),
        ("container", "c1"),
        ("fallbacks", [{"model": "b"}]),
        ("compaction", {"a": 1}),
        ("thread", {"id": "t"}),
        ("user_profile_id", "u"),
        ("billing_policy", {"a": 1}),
        ("workspace_id", "w"),
        ("betas", ["a"]),
        ("anthropic_version", "2023-06-01"),
        ("inference_geo", "us"),
        ("speed", "fast"),
        ("zdr", True),
        ("max_cost", 1),
        ("plugins", [{"id": "web"}]),
    ],
)
def test_parameter_that_limits_or_prices_is_rejected_by_name(name: str, value: Any) -> None:
    assert f"`{name}`" in rejection(**{name: value}) or f"`{value[0]['id']}`" in rejection(
        **{name: value}
    )


@pytest.mark.parametrize(
    ("name", "value"), [("speed", "standard"), ("inference_geo", "global"), ("container", None)]
)
def test_standard_values_pass(name: str, value: Any) -> None:
    assert name in messages.request(**{name: value}).wire


@pytest.mark.parametrize(
    "alias", ["max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "maxTokens"]
)
def test_other_name_of_the_limit_is_rejected(alias: str) -> None:
    assert "`max_tokens` instead of" in rejection(**{alias: 9})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"messages"', b'"Messages"'),
        (b'"max_tokens"', b'"maxTokens"'),
        (b'"role"', b'"Role"'),
        (b'"content"', b'"CONTENT"'),
        (b'"type"', b'"Type"'),
        (b'"media_type"', b'"mediaType"'),
        (b'"tools"', b'"Tools"'),
        (b'"name"', b'"NAME"'),
    ],
)
def test_other_spelling_of_a_name_is_rejected(old: bytes, new: bytes) -> None:
    block = messages.image(messages.png(1, 1))
    body = messages.body_of(messages=[messages.user(block)], tools=[messages.tool()])
    assert old in body
    assert "instead of" in rejection_of(body.replace(old, new, 1))


@pytest.mark.parametrize("name", [b'"max_tokens"', b'"role"', b'"type"', b'"source"'])
def test_name_given_twice_is_rejected(name: bytes) -> None:
    body = messages.body_of(messages=[messages.user(messages.image(messages.png(1, 1)))])
    assert "given twice" in rejection_of(body.replace(name, b"%b: 1, %b" % (name, name), 1))


def test_long_user_id_is_cut_and_sent_whole() -> None:
    request = messages.request(metadata={"user_id": "u" * 300})
    assert request.user == "u" * 255
    assert b"u" * 300 in bytes(request.wire["metadata"])


@pytest.mark.parametrize(
    "members",
    [
        {"system": [messages.text("a", cache_control={"type": "ephemeral"})]},
        {"messages": [messages.user(messages.text("a", cache_control={"type": "ephemeral"}))]},
        {"tools": [messages.tool(cache_control={"type": "ephemeral"})]},
        {"cache_control": {"type": "ephemeral"}},
        {
            "messages": [
                messages.user(
                    messages.result("t", [messages.text("a", cache_control={"type": "ephemeral"})])
                )
            ]
        },
    ],
)
def test_cache_is_noticed_where_the_price_of_the_prompt_is_bounded(members: Any) -> None:
    bounded: Any = {"provider": {"max_price": {"prompt": 1}}}
    assert messages.request(**members, **bounded).asks_for_caches
    assert not messages.request(**bounded).asks_for_caches
    assert not messages.request(**members).asks_for_caches


def test_required_parameters_have_the_names_that_models_list() -> None:
    request = messages.request(
        provider={"require_parameters": True},
        thinking={"type": "adaptive"},
        stop_sequences=["a"],
        top_k=5,
        x_new=1,
        metadata={"user_id": "u"},
    )
    assert request.parameters == {
        "thinking": "reasoning",
        "stop_sequences": "stop",
        "top_k": "top_k",
        "x_new": "x_new",
    }


def test_modalities_of_parts_are_noted() -> None:
    blocks = (messages.image(messages.png(1, 1)), messages.pdf(), {"type": "invented"})
    request = messages.request(messages=[messages.user(*blocks)])
    assert request.parts == {"image": "image", "document": "file", "invented": "other"}


def test_too_many_types_of_blocks_are_rejected() -> None:
    blocks = [{"type": f"t{number}"} for number in range(101)]
    assert "more than 100 types" in rejection(messages=[messages.user(*blocks)])


def test_edit_without_a_type_is_rejected() -> None:
    assert "edits[0].type" in rejection(context_management={"edits": [{}]})


def test_clearing_of_tools_passes() -> None:
    edits = [{"type": "clear_tool_uses_20250919"}]
    assert "context_management" in messages.request(context_management={"edits": edits}).wire


@given(st.data())
def test_any_value_is_read_or_rejected(data: st.DataObject) -> None:
    names = [
        *("messages", "system", "tools", "tool_choice", "metadata", "output_config"),
        *("context_management", "thinking", "max_tokens", "model", "models", "provider"),
    ]
    members = data.draw(st.dictionaries(st.sampled_from(names), JUNK, max_size=3))
    body = json.dumps({"model": "a", "messages": 1, **members}).encode()
    with contextlib.suppress(InvalidInput):
        parse_request(Api.MESSAGES, body)


@pytest.mark.parametrize("name", ["n", "best_of", "num_return_sequences", "candidate_count"])
def test_more_than_one_response_is_rejected(name: str) -> None:
    """A gateway behind this API may pass the number on to a model that writes several."""
    assert f"`{name}` is not supported" in rejection(**{name: 5})
    assert f"`{name}` is not supported" in rejection(**{name: "5"})
    for value in (None, 1):
        members: dict[str, Any] = {name: value}
        messages.request(**members)
    assert "Use `n` instead of `N`." in rejection(N=5)


def test_output_limit_of_zero_is_only_sent_to_claude() -> None:
    """Others read it as no limit."""
    request = messages.request(max_tokens=0)
    ANTHROPIC.refuse_unsendable(request, messages.served_by("claude-opus-4-8").endpoint)
    with pytest.raises(InvalidInput, match="`max_tokens` is 0"):
        ANTHROPIC.refuse_unsendable(request, messages.served_by("glm-5").endpoint)
