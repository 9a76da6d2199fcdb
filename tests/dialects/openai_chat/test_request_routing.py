import pytest

from modelgates_server.core.errors import NoEndpoint
from modelgates_server.core.metering.request import Api, InferenceRequest
from modelgates_server.core.metering.routing import ModelChoice, choose_model
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.dialects.openai_chat.request import parse_request
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.support import T0_MS

CATALOG = Catalog(
    [calls.model()], [calls.flat(input="0.000001", cache_read="0", cache_write_1h="0.000002")]
)


def route(request: InferenceRequest) -> ModelChoice:
    return choose_model(CATALOG, request, calls.ACCOUNT, T0_MS)


def refused(request: InferenceRequest) -> str:
    with pytest.raises(NoEndpoint) as refusal:
        route(request)
    return str(refusal.value)


def caching(text: str) -> InferenceRequest:
    """A request with a part as it is written; a million tokens may cost 1.5 dollars."""
    messages = f'[{{"role":"user","content":[{text}]}}]'
    wishes = '{"max_price":{"prompt":1.5}}'
    body = f'{{"model":"{calls.MODEL}","provider":{wishes},"messages":{messages}}}'
    return parse_request(Api.CHAT, body.encode())


@pytest.mark.parametrize(
    "name",
    ['"cache_control":', '"cache_control" :\n', '"cache\\u005Fcontrol":', '"\\u0063ache_control":'],
)
def test_max_price_covers_writes_to_a_cache_when_the_request_asks_for_them(name: str) -> None:
    request = caching(f'{{"type":"text","text":"hi",{name}{{"type":"ephemeral"}}}}')
    assert "max_price.prompt of 1.5 dollars: acme/m1 may cost 2." in refused(request)


def test_max_price_covers_writes_to_a_cache_when_tools_or_the_whole_request_ask_for_them() -> None:
    ephemeral = {"type": "ephemeral"}
    limit = {"max_price": {"prompt": 1.5}}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": ephemeral}
    for members in ({"tools": [tool]}, {"cache_control": ephemeral}):
        request = chat.request(provider=limit, **members)
        assert "may cost 2." in refused(request)


@pytest.mark.parametrize(
    "text", ['"text":"hi"', '"text":"\\"cache_control\\": {}"', '"text":"hi","cache_control": null']
)
def test_max_price_is_compared_without_caches_when_nothing_is_to_be_written(text: str) -> None:
    request = caching(f'{{"type":"text",{text}}}')
    assert route(request).model.id == calls.MODEL
    request = chat.request(provider={"max_price": {"prompt": 1.5}}, cache_control=None)
    assert route(request).model.id == calls.MODEL
