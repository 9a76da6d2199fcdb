"""A 404 says which base URL is right, and what the server offers, to everyone alike."""

from contextlib import nullcontext
from dataclasses import replace

import httpx
import pytest

from modelgates_server.bootstrap.composition import http_app
from tests.deadlines import async_http_client
from tests.server import Customer
from tests.web.harness import OPTIONS, Api

BASE = (
    "The base URL of the API is `http://gateway/api/v1`. It has `/chat/completions`, "
    "`/completions`, `/embeddings`, `/models` and others; `http://gateway/docs` describes them."
)


async def message_of(api: Api, path: str, **request: str) -> str:
    answer = await api.client.post(path, headers=request)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error.keys() == {"message", "code"}
    text: str = error["message"]
    return text


@pytest.mark.parametrize(
    ("path", "offered"),
    [
        ("/chat/completions", "chat/completions"),
        ("/models", "models"),
        ("/api/v1/api/v1/chat/completions", "chat/completions"),
        ("/v1/v1/chat/completions", "chat/completions"),
        ("/api/v1/v1/embeddings", "embeddings"),
        ("/api/chat/completions", "chat/completions"),
        ("/openai/v1/chat/completions", "chat/completions"),
        ("/openai/deployments/gpt-4o/chat/completions", "chat/completions"),
        ("/openai/deployments/gpt-4o/embeddings", "embeddings"),
        ("/v1/engines/davinci/completions", "completions"),
        ("/models/sandbox/echo", "models/sandbox/echo"),
        ("/api/v1/chat/completion", "chat/completions"),
        ("/api/v1/credit", "credits"),
        ("/v2/credits", "credits"),
    ],
)
async def test_path_with_a_wrong_base_gets_the_right_path(
    path: str, offered: str, api: Api
) -> None:
    expected = f"Resource not found: `{path}`. Did you mean `/api/v1/{offered}`? {BASE}"
    assert await message_of(api, path) == expected


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/generate", "Use `/completions`."),
        ("/api/v1/images/generations", "This server does not offer this API."),
        ("/v1/audio/transcriptions", "This server does not offer this API."),
    ],
)
async def test_api_that_is_not_offered_gets_what_to_use_instead(
    path: str, hint: str, api: Api
) -> None:
    message = await message_of(api, path)
    assert message.startswith(f"Resource not found: `{path}`. {hint}")
    assert message.endswith(BASE)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (
            "/api/v1/chat/completions/chat/completions",
            "Did you mean `/api/v1/chat/completions`? End the base URL before the operation.",
        ),
        ("/v1/chat/completions/models", "Did you mean `/api/v1/models`? End the base URL"),
        ("/api/v1/models/gpt-4o", "The id of a model has an author: `/models/{author}/{slug}`."),
        ("/v1beta/models/gemini:generateContent", "The id of a model has an author"),
        ("/api/tags", "Use `/models` with a client for OpenAI's API."),
    ],
)
async def test_path_that_is_not_served_is_not_suggested(path: str, hint: str, api: Api) -> None:
    message = await message_of(api, path)
    assert message.startswith(f"Resource not found: `{path}`. {hint}")


@pytest.mark.parametrize("path", ["/favicon.ico", "/etc/passwd", "/wp-login.php", "/api/v1", "/a"])
async def test_foreign_path_gets_only_the_base_url(path: str, api: Api) -> None:
    assert await message_of(api, path) == f"Resource not found: `{path}`. {BASE}"


async def test_message_is_the_same_with_and_without_a_key(api: Api, acme: Customer) -> None:
    for path in ("/api/v1/keyz", "/chat/completions", "/metrics"):
        plain = await api.client.get(path)
        for key in (acme.management, acme.inference, "nonsense"):
            answer = await api.client.get(path, headers={"Authorization": f"Bearer {key}"})
            assert answer.content == plain.content


async def test_path_is_cut_and_a_key_in_it_is_not_repeated(api: Api, acme: Customer) -> None:
    message = await message_of(api, "/" + "x" * 20_000)
    assert len(message) < 400
    for start in ("/x", "/" + "x" * 50):
        message = await message_of(api, f"{start}/{acme.management}")
        assert acme.management[:12] not in message


async def test_message_has_the_public_url_of_the_settings(api: Api) -> None:
    options = replace(OPTIONS, public_url="https://llm.example/gate")
    app = http_app(api.services, options, nullcontext)
    async with async_http_client(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        message = (await client.get("/x")).json()["error"]["message"]
    assert "`https://llm.example/gate/api/v1`" in message
    assert "gateway" not in message


async def test_invalid_host_is_not_repeated(api: Api) -> None:
    message = await message_of(api, "/x", Host="<script>")
    assert "The base URL of the API is `/api/v1`." in message
