"""What a sample sends, before it is written in any language."""

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from modelgates_server.docsite.schemas import resolved

TOKEN = "<token>"  # noqa: S105 - what readers replace by their key
JSON_TYPE = "application/json"


class SampleRequest(msgspec.Struct, frozen=True):
    """A request to one operation.

    `query` is not in `url`, and `Content-Type` not in `headers`. `body` is a JSON value, None for
    none. `json_answer` is whether a success is answered in JSON.
    """

    method: str
    url: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    json_answer: bool

    @property
    def full_url(self) -> str:
        """The address with its query."""
        return f"{self.url}?{urlencode(self.query)}" if self.query else self.url

    @property
    def typed_headers(self) -> dict[str, str]:
        """The headers with the type of the body, for libraries that do not send it themselves."""
        return self.headers if self.body is None else {**self.headers, "Content-Type": JSON_TYPE}


def request_of(document: dict[str, Any], path: str, method: str) -> SampleRequest:
    """The least that an operation takes, out of its examples.

    `document` is an OpenAPI document whose servers have whole addresses, `path` a key of its
    `paths`. ValueError for a needed parameter without an example.
    """
    item = document["paths"][path]
    operation = item[method.lower()]
    needed: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for referring in [*item.get("parameters", []), *operation.get("parameters", [])]:
        parameter = resolved(document, referring)
        # Its parameter is to be ignored (OpenAPI 3.1, Parameter Object): `security` speaks for it.
        if parameter.get("required") and parameter["name"] != "Authorization":
            needed[parameter["in"]][parameter["name"]] = str(_example(document, parameter))
    if operation.get("security", document.get("security")):
        needed["header"] = {"Authorization": f"Bearer {TOKEN}", **needed["header"]}
    filled = path
    for name, value in needed["path"].items():
        filled = filled.replace(f"{{{name}}}", quote(value, safe=""))
    server = item.get("servers", document["servers"])[0]["url"]
    return SampleRequest(
        method=method.upper(),
        url=server.rstrip("/") + filled,
        query=needed["query"],
        headers=needed["header"],
        body=_body(document, operation),
        json_answer=_is_json(document, operation),
    )


def _body(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    return _example(document, resolved(document, operation["requestBody"])["content"][JSON_TYPE])


def _is_json(document: dict[str, Any], operation: dict[str, Any]) -> bool:
    success = next(answer for status, answer in operation["responses"].items() if status[0] == "2")
    return JSON_TYPE in resolved(document, success)["content"]


def _example(document: dict[str, Any], described: dict[str, Any]) -> Any:
    """The example of a parameter or a body; the first where there are several."""
    if "example" in described:
        return described["example"]
    for example in described.get("examples", {}).values():
        return resolved(document, example)["value"]
    raise ValueError(f"{described.get('name', 'the body')} has no example")
