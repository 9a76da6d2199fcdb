"""Serves the description of our API. It is written by hand in openapi.yaml; tests hold us to it."""

import json
from functools import cached_property
from importlib import resources
from typing import Any

import yaml

from modelgates_server.web.operations import Call
from modelgates_server.web.reply import JSON, Reply

BASE_PATH = "/api/v1"


class OpenApi:
    """The document with this server's address in it; made when it is first asked for."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url.rstrip("/")

    async def show_json(self, _: Call) -> Reply:
        """GET /openapi.json."""
        return Reply(200, self._json, [JSON])

    async def show_yaml(self, _: Call) -> Reply:
        """GET /openapi.yaml."""
        return Reply(200, self._yaml, [(b"content-type", b"application/yaml")])

    @cached_property
    def _json(self) -> bytes:
        text = resources.files(__package__).joinpath("openapi.yaml").read_text(encoding="utf-8")
        document: dict[str, Any] = yaml.safe_load(text)
        document["servers"] = [{"url": f"{self._public_url}{BASE_PATH}"}]
        for path in document["paths"].values():
            if "servers" in path:  # operations outside the base path
                path["servers"] = [{"url": self._public_url or "/"}]
        return json.dumps(document, ensure_ascii=False).encode()

    @cached_property
    def _yaml(self) -> bytes:
        # From the JSON, where nothing is shared: many a reader of YAML does not know aliases.
        document = json.loads(self._json)
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100).encode()
