from collections.abc import Iterable
from typing import Any

import pytest

from modelgates_server.core.pricing.catalog import Api, Catalog
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.model_names import with_offered_models
from modelgates_server.docsite.openapi import document_at
from modelgates_server.providers.sandbox.offer import sandbox_models
from tests.gateway import ACME, sandbox_catalog

ENDPOINTS = "/models/{author}/{slug}/endpoints"
LOOK_UPS = ("/models/{author}/{slug}", "/model/{author}/{slug}", ENDPOINTS)


def requests_of(document: dict[str, Any], api: Api) -> list[dict[str, Any]]:
    content = document["paths"][f"/{api}"]["post"]["requestBody"]["content"]["application/json"]
    examples = content.get("examples", {"only": {"value": content.get("example")}})
    return [example["value"] for example in examples.values()]


def named(models: Iterable[Any]) -> dict[Api, set[str]]:
    document = with_offered_models(document_at(ORIGIN), Catalog(models, []))
    return {api: {request["model"] for request in requests_of(document, api)} for api in Api}


def test_samples_name_models_that_the_server_offers() -> None:
    assert named(sandbox_models()) == {
        Api.CHAT: {"sandbox/echo"},
        Api.MESSAGES: {"sandbox/echo"},
        Api.RESPONSES: {"sandbox/echo"},
        Api.COMPLETIONS: {"sandbox/echo"},
        Api.EMBEDDINGS: {"sandbox/embed"},
    }
    assert set().union(*named([*sandbox_models(), ACME]).values()) == {
        "acme/large",
        "sandbox/embed",
    }


def test_look_up_example_names_a_model_that_the_server_offers() -> None:
    paths = with_offered_models(document_at(ORIGIN), sandbox_catalog())["paths"]
    for path in LOOK_UPS:
        assert [each["example"] for each in paths[path]["parameters"]] == ["sandbox", "echo"]


def test_example_stays_when_the_server_offers_no_such_model() -> None:
    assert named([]) == {
        Api.CHAT: {"openai/gpt-4o-mini"},
        Api.MESSAGES: {"openai/gpt-4o-mini"},
        Api.RESPONSES: {"openai/gpt-4o-mini"},
        Api.COMPLETIONS: {"openai/gpt-4o-mini"},
        Api.EMBEDDINGS: {"sandbox/embed"},
    }


@pytest.mark.parametrize("api", list(Api))
def test_nothing_but_the_model_is_changed(api: Api) -> None:
    before = document_at(ORIGIN)
    after = with_offered_models(document_at(ORIGIN), sandbox_catalog())
    for request in (*requests_of(before, api), *requests_of(after, api)):
        del request["model"]
    others = (f"/{other}" for other in Api if other is not api)
    for path in (*others, *LOOK_UPS):
        before["paths"][path] = after["paths"][path]
    assert before == after
