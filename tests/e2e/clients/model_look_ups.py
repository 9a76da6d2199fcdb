"""Looks models up through OpenAI's client and a version of OpenRouter's, as an application does.

Arguments: address of the server, inference key. Prints JSON on success: the clients' versions.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import openai
from openrouter import OpenRouter, errors
from openrouter._version import __version__

MODEL, EMBEDDING_MODEL = "sandbox/echo", "sandbox/embed"


def refused(kind: type[Exception], call: Callable[[], object]) -> Any:
    """The error of a call; fails if there is no error of this kind."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def look_up_with_openai(base_url: str, key: str) -> None:
    """Retrieves a model by its id, whose slash the client encodes, and one that is unknown."""
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    model = client.models.retrieve(MODEL)
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "sandbox")
    assert model.created > 0
    assert MODEL in {each.id for each in client.models.list()}
    error = refused(openai.NotFoundError, lambda: client.models.retrieve("sandbox/ecko"))
    assert "Did you mean `sandbox/echo`" in error.message


def call_below(base_url: str, key: str) -> Any:
    """The text of a call with this base URL."""
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    message: Any = {"role": "user", "content": "hello"}
    answer = client.chat.completions.create(model=MODEL, messages=[message])
    return answer.choices[0].message.content


def check_base_urls(url: str, key: str) -> None:
    """Calls with the base URLs that people give: `/v1` works, the host alone is explained."""
    assert call_below(f"{url}/api/v1", key) == call_below(f"{url}/v1", key) == "hello"
    for wrong in (url, f"{url}/api", f"{url}/api/v1/v1"):
        error = refused(openai.NotFoundError, lambda: call_below(wrong, key))  # noqa: B023
        assert f"The base URL of the API is `{url}/api/v1`" in error.message
        assert "Did you mean `/api/v1/chat/completions`?" in error.message


def look_up_with_openrouter(base_url: str, key: str) -> None:
    """Gets one model, its endpoints, and the models for embeddings."""
    with OpenRouter(api_key=key, server_url=base_url, retry_config=None) as client:
        sdk: Any = client
        if hasattr(sdk.models, "get"):
            assert sdk.models.get(author="sandbox", slug="echo").data.id == MODEL
            unknown = {"author": "sandbox", "slug": "none"}
            error = refused(errors.NotFoundResponseError, lambda: sdk.models.get(**unknown))
            assert error.data.error.message.startswith("Model not found.")
        listed = sdk.embeddings.list_models()
        page = getattr(listed, "result", listed)
        assert EMBEDDING_MODEL in {each.id for each in page.data}
        assert MODEL not in {each.id for each in page.data}


def main(url: str, key: str) -> None:
    """Runs all checks."""
    for path in ("/api/v1", "/v1"):
        look_up_with_openai(url + path, key)
        look_up_with_openrouter(url + path, key)
    check_base_urls(url, key)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"openai": openai.__version__, "openrouter": __version__}))
