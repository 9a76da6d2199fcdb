from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request
from tests.dialects.openai_chat import chat

LATER = "a response that arrives later cannot be metered. Leave it out."


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"deferred": True}, f"`deferred` is not supported: {LATER}"),
        ({"Deferred": True}, f"`Deferred` is not supported: {LATER}"),
        ({"background": True}, LATER),
        ({"async": True}, LATER),
        ({"batch": 1}, LATER),
        ({"completion_window": "24h"}, LATER),
        ({"queueRequest": True}, f"`queueRequest` is not supported: {LATER}"),
        ({"webhook": "https://a"}, LATER),
        ({"store": True}, "keep the conversation"),
        ({"previous_response_id": "resp_1"}, "not in the request"),
        ({"conversation": {"id": "conv_1"}}, "not in the request"),
        ({"preset": "fast"}, "`preset` is not supported: this server has no presets"),
        ({"external": {"a": 1}}, "`external` is not supported"),
        ({"transforms": ["middle-out", "x"]}, 'Leave it out, or send `[]` or `["middle-out"]`.'),
        ({"transforms": "x"}, "not supported: prompts are not transformed"),
        ({"transforms": [1]}, "`transforms[0]` must be a string"),
        ({"extra_body": {"max_tokens": 99999}}, "send its fields as top-level parameters"),
        ({"extraBody": {"n": 9}}, "`extraBody` is not supported: send its fields"),
        ({"extra_body": {"google": {"cached_content": "c"}}}, "top-level parameters"),
        ({"extra_body": {"google": {"thinking_config": {}}, "n": 9}}, "top-level parameters"),
        ({"extra_body": {"google": {"thinking_config": {"x": 1}}}}, "top-level parameters"),
        ({"extra_body": {"google": {"thinkingConfig": {}}}}, "Use `thinking_config` instead"),
        ({"deferred_tools": {"version": 1}}, "Send them in `tools`."),
        ({"stop_server_tools_when": [{"type": "max_cost"}]}, "X-ModelGates-Max-Cost"),
        ({"max_cost": 0.1}, "X-ModelGates-Max-Cost"),
        (
            {"providerOptions": {"gateway": {"only": ["a"]}}},
            "routing preferences belong in `provider`",
        ),
        ({"max_price": {"prompt": 1}}, "`provider.max_price`"),
        ({"zdr": True}, "it belongs in `provider`. Send it as `provider.zdr`."),
        ({"data_collection": "deny"}, "`provider.data_collection`"),
    ],
)
def test_unsupported_parameter_is_rejected_by_name(members: dict[str, Any], expected: str) -> None:
    for api in chat.BODIES:
        with pytest.raises(InvalidInput) as caught:
            parse_request(api, chat.body_of(api, **members))
        assert expected in str(caught.value)


@pytest.mark.parametrize("nothing", [None, False, [], {}, ""])
def test_unsupported_parameter_is_accepted_when_it_is_empty(nothing: object) -> None:
    for name in ("deferred", "background", "store", "preset", "transforms", "zdr"):
        members: dict[str, Any] = {name: nothing}
        assert chat.request(**members).choices == 1


THINKING = {"include_thoughts": True, "thinking_budget": 5}


@pytest.mark.parametrize(
    "members",
    [
        {"transforms": ["middle-out"]},
        {"plugins": [{"id": "context-compression"}]},
        {"plugins": [{"id": "web", "enabled": False}]},
        {"plugins": {}},
        {"search_parameters": {"mode": "off"}},
        {"batch": 0},
        {"speed": "standard"},
        {"inference_geo": "global"},
        {"extra_body": {}},
        {"extra_body": {"google": {"thinking_config": THINKING}}},
        {"max_new_tokens": 7, "max_tokens": 7},
        {"n_predict": 7, "max_tokens": 5, "max_completion_tokens": 7},
        {"max_output_tokens": None, "auto_max_new_tokens": False},
    ],
)
def test_parameter_is_accepted_when_its_value_is_supported(
    members: dict[str, Any],
) -> None:
    assert chat.request(**members).choices == 1


@pytest.mark.parametrize("nothing", [b"[ ]", b"{ }", b"[\n]"])
def test_empty_parameter_is_accepted_when_it_has_white_space(nothing: bytes) -> None:
    for name in (b"transforms", b"plugins", b"deferred", b"extra_body", b"connectors"):
        body = b'{"model":"a/b","messages":[{"content":"x"}],"%b":%b}' % (name, nothing)
        assert parse_request(Api.CHAT, body).choices == 1


@pytest.mark.parametrize(
    "members",
    [
        {"web_search": True},
        {"enable_web_search": True},
        {"enable_enhancement": True},
        {"search_settings": {"mode": "x"}},
        {"force_search_enhancement": True},
        {"connectors": [{"id": "web-search"}]},
        {"enable_code_interpreter": True},
        {"speed": "fast"},
        {"inference_geo": "us"},
        {"prompt_embeds": "AAAA"},
        {"search_parameters": {"mode": "auto"}},
        {"search_parameters": {}},
    ],
)
def test_parameter_without_a_price_is_rejected(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        chat.request(**members)
    assert str(caught.value) == (
        f"`{next(iter(members))}` has no price on this server. Leave it out."
    )


def test_plugin_is_rejected_by_its_id() -> None:
    plugins = [{"id": "context-compression"}, {"id": "response-healing"}]
    with pytest.raises(InvalidInput, match="The plugin `response-healing` is not supported"):
        chat.request(plugins=plugins)
    with pytest.raises(InvalidInput, match="must have an `id`"):
        chat.request(plugins=[{"enabled": True}])


@pytest.mark.parametrize(
    ("alias", "known"),
    [("max_new_tokens", "max_tokens"), ("num_choices", "n"), ("candidate_count", "n")],
)
def test_alias_of_a_limit_is_dropped_only_when_it_repeats_the_limit(alias: str, known: str) -> None:
    members: dict[str, Any] = {alias: 5, known: 5}
    assert alias not in chat.request(**members).wire
    for limits in ({alias: 5}, {alias: 6, known: 5}, {alias: 4, known: 5}, {alias: "5", known: 5}):
        with pytest.raises(InvalidInput, match=f"Use `{known}` instead of `{alias}`"):
            chat.request(**limits)
