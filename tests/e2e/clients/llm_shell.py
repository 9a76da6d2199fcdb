"""Runs `llm` with its plugin for OpenRouter, as in a shell: lists models, and prompts one.

The plugin has OpenRouter's address in its code. Only this address is replaced, in the requests.
Arguments: base URL, inference key. Prints JSON on success: the plugin's version, and the cost of
every call as the shortest text of the client's float.
"""

import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import httpx2
from click.testing import CliRunner
from llm.cli import cli

OPENROUTER = "https://openrouter.ai/api/v1"
MODEL = "sandbox/echo"
EXTRA = f"""
- model_id: echo
  model_name: {MODEL}
  api_base: {{base_url}}
  api_key_name: modelgates
"""


def redirect(package: Any, base_url: str) -> None:
    """Sends the package's requests for OpenRouter to the server; others fail."""
    send = package.HTTPTransport.handle_request

    def handle(transport: Any, request: Any) -> Any:
        url = str(request.url)
        path = url.removeprefix(OPENROUTER).removeprefix(base_url)
        assert path.startswith("/"), url
        request.url = package.URL(base_url + path)
        request.headers["host"] = request.url.netloc.decode()
        return send(transport, request)

    package.HTTPTransport.handle_request = handle


def shell(*arguments: str) -> str:
    """The output of a command."""
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def main(base_url: str, key: str) -> None:
    redirect(httpx, base_url)
    redirect(httpx2, base_url)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LLM_USER_PATH": folder, "OPENROUTER_KEY": key}
        listed = json.loads(shell("openrouter", "models", "--json"))
        assert MODEL in [model["id"] for model in listed]
        assert f"- id: {MODEL}" in shell("openrouter", "models")
        assert f"OpenRouter: openrouter/{MODEL}" in shell("models")
        assert json.loads(shell("openrouter", "key"))["limit_remaining"] is None
        ask = ("-m", f"openrouter/{MODEL}")
        assert shell(*ask, "Hello") == "Hello"
        assert shell(*ask, "--no-stream", "Hello again") == "Hello again"
        assert shell(*ask, "-o", "chat_completions", "1", "In chat") == "In chat"
        assert "And more" in shell("-c", "And more")
        # Without the plugin, as the guide says.
        Path(folder, "extra-openai-models.yaml").write_text(EXTRA.format(base_url=base_url))
        shell("keys", "set", "modelgates", "--value", key)
        assert shell("-m", "echo", "Hello") == "Hello"
        calls = json.loads(shell("logs", "--json", "-n", "0"))
    used = [call["response_json"] for call in calls]
    generations = [{"id": each["id"], "cost": str(each["usage"]["cost"])} for each in used]
    print(json.dumps({"version": version("llm-openrouter"), "generations": generations}))


if __name__ == "__main__":
    main(*sys.argv[1:])
