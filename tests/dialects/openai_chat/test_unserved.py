from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request
from tests.dialects.openai_chat import chat

LATER = "an answer that comes later cannot be metered"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"deferred": True}, f"deferred is not served: {LATER}"),
        ({"Deferred": True}, f"Deferred is not served: {LATER}"),
        ({"background": True}, LATER),
        ({"async": True}, LATER),
        ({"batch": 1}, LATER),
        ({"completion_window": "24h"}, LATER),
        ({"queueRequest": True}, f"queueRequest is not served: {LATER}"),
        ({"webhook": "https://a"}, LATER),
        ({"store": True}, "keep the conversation"),
        ({"previous_response_id": "resp_1"}, "not in the request"),
        ({"conversation": {"id": "conv_1"}}, "not in the request"),
        ({"preset": "fast"}, "preset is not served: there are no presets here"),
        ({"external": {"a": 1}}, "external is not served"),
        ({"transforms": ["middle-out", "x"]}, 'leave it out, or send [] or ["middle-out"]'),
        ({"transforms": "x"}, "not served: prompts are not transformed"),
        ({"transforms": [1]}, "$.transforms[0]"),
        ({"extra_body": {"max_tokens": 99999}}, "put its members at the root of the request"),
        ({"extraBody": {"n": 9}}, "extraBody is not served: put its members at the root"),
        ({"extra_body": {"google": {"cached_content": "c"}}}, "at the root"),
        ({"extra_body": {"google": {"thinking_config": {}}, "n": 9}}, "at the root"),
        ({"extra_body": {"google": {"thinking_config": {"x": 1}}}}, "at the root"),
        ({"extra_body": {"google": {"thinkingConfig": {}}}}, "write thinking_config instead"),
        ({"deferred_tools": {"version": 1}}, "send them as tools"),
        ({"stop_server_tools_when": [{"type": "max_cost"}]}, "X-ModelGates-Max-Cost"),
        ({"max_cost": 0.1}, "X-ModelGates-Max-Cost"),
        ({"providerOptions": {"gateway": {"only": ["a"]}}}, "belong in provider"),
        ({"max_price": {"prompt": 1}}, "provider.max_price"),
        ({"zdr": True}, "write it in provider: provider.zdr"),
        ({"data_collection": "deny"}, "provider.data_collection"),
    ],
)
def test_request_for_what_is_not_served_is_refused_by_name(
    members: dict[str, Any], says: str
) -> None:
    for api in Api:
        with pytest.raises(InvalidInput) as refusal:
            parse_request(api, chat.body_of(api, **members))
        assert says in str(refusal.value)


@pytest.mark.parametrize("nothing", [None, False, [], {}, ""])
def test_request_that_asks_for_nothing_unserved_passes(nothing: object) -> None:
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
def test_request_passes_when_a_member_asks_for_nothing_that_is_not_served(
    members: dict[str, Any],
) -> None:
    assert chat.request(**members).choices == 1


@pytest.mark.parametrize("nothing", [b"[ ]", b"{ }", b"[\n]"])
def test_request_passes_when_what_is_empty_has_white_space(nothing: bytes) -> None:
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
def test_request_is_refused_when_a_feature_has_no_price(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        chat.request(**members)
    assert str(refusal.value) == f"{next(iter(members))} has no price here; leave it out"


def test_plugin_is_refused_by_its_id() -> None:
    plugins = [{"id": "context-compression"}, {"id": "response-healing"}]
    with pytest.raises(InvalidInput, match="the plugin response-healing is not served here"):
        chat.request(plugins=plugins)
    with pytest.raises(InvalidInput, match="must have an id"):
        chat.request(plugins=[{"enabled": True}])


@pytest.mark.parametrize(
    ("alias", "ours"),
    [("max_new_tokens", "max_tokens"), ("num_choices", "n"), ("candidate_count", "n")],
)
def test_other_name_of_a_limit_is_left_out_when_it_says_the_same(alias: str, ours: str) -> None:
    members: dict[str, Any] = {alias: 5, ours: 5}
    assert alias not in chat.request(**members).wire
    for limits in ({alias: 5}, {alias: 6, ours: 5}, {alias: 4, ours: 5}, {alias: "5", ours: 5}):
        with pytest.raises(InvalidInput, match=f"write {ours} instead of {alias}"):
            chat.request(**limits)
