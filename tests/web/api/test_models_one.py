"""Looking up one model, however its id is written in the path, and the models for embeddings."""

import json

import pytest

from tests.server import Customer
from tests.web.harness import Api

PLACES = ("/api/v1/models", "/api/v1/model", "/v1/models", "/v1/model")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("slash", ["/", "%2F", "%2f"])
async def test_model_is_returned_as_it_is_listed(place: str, slash: str, api: Api) -> None:
    listed = (await api.call("GET", "/api/v1/models")).json()["data"]
    [row] = [row for row in listed if row["id"] == "sandbox/echo"]
    answer = await api.client.get(f"{place}/sandbox{slash}echo")
    assert answer.status_code == 200
    assert answer.json()["data"] == row


async def test_model_has_the_fields_that_clients_of_openai_read(api: Api) -> None:
    answer = (await api.call("GET", "/api/v1/models/sandbox/echo")).json()
    created = answer.pop("data")["created"]
    expected = {"id": "sandbox/echo", "object": "model", "created": created, "owned_by": "sandbox"}
    assert answer == expected


@pytest.mark.parametrize("slash", ["/", "%2F"])
async def test_endpoints_are_found_with_either_slash(slash: str, api: Api) -> None:
    answer = await api.client.get(f"/api/v1/models/sandbox{slash}echo/endpoints")
    assert answer.json()["data"]["id"] == "sandbox/echo"


@pytest.mark.parametrize(
    "path",
    [
        "/models/sandbox/none",
        "/model/sandbox/none",
        "/models/sandbox%2Fnone",
        "/models/sandbox/echo/more",
        "/models/..%2F..%2Fcredits",
        "/models/sandbox/..%2Fecho",
        "/models/sandbox/echo%00",
        "/models/a/" + "x" * 3000,
    ],
)
async def test_unknown_model_is_a_404_in_json(path: str, api: Api) -> None:
    answer = await api.client.get(f"http://gateway/api/v1{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == 404
    assert len(answer.content) < 600


async def test_models_for_embeddings_are_those_that_the_operation_accepts(
    api: Api, acme: Customer
) -> None:
    answer = (await api.call("GET", "/api/v1/embeddings/models")).json()
    assert answer["total_count"] == len(answer["data"]) > 0
    for row in answer["data"]:
        body = {"model": row["id"], "input": "hello"}
        made = await api.call("POST", "/api/v1/embeddings", acme.inference, json=body)
        assert made.status_code == 200
    none = await api.call("GET", "/api/v1/embeddings/models?q=no-such-model")
    assert none.json()["data"] == []


async def test_coinbase_is_gone_without_a_key(api: Api) -> None:
    answer = await api.call("POST", "/api/v1/credits/coinbase", json={"amount": 5})
    assert answer.status_code == 410
    message = json.loads(answer.content)["error"]["message"]
    assert message == (
        "The Coinbase APIs used by this endpoint have been deprecated, so the Coinbase Commerce "
        "credits API has been removed. Use the web credits purchase flow instead."
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sandbox/ecko", "Did you mean `sandbox/echo`?"),
        ("echo", "Did you mean `sandbox/echo`?"),
        ("sandbox/echo:nitro", "Use `sandbox/echo`."),
        ("openrouter/auto", "This server does not choose models."),
        ("acme/unknown", ""),
    ],
)
async def test_call_of_an_unknown_model_gets_what_to_use_instead(
    name: str, expected: str, api: Api, acme: Customer
) -> None:
    body = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
    answer = await api.call("POST", "/api/v1/chat/completions", acme.inference, json=body)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message.startswith(f"{name} is not a valid model ID")
    assert expected in message
    assert "sandbox/embed" not in message, "it cannot be called at this path"


async def test_look_up_of_an_unknown_model_suggests_the_nearest(api: Api) -> None:
    answer = await api.call("GET", "/api/v1/models/sandbox/ecko")
    message = answer.json()["error"]["message"]
    assert message.startswith("Model not found. Did you mean `sandbox/echo`")
