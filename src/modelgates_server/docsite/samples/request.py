"""The request that a sample sends, independent of any programming language."""

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from modelgates_server.docsite.schemas import resolved

API_KEY = "MODELGATES_API_KEY"
"""Environment variable from which samples read the key."""

_TOKENS = {"metricsToken": "MODELGATES_METRICS_TOKEN"}
"""Environment variables of the security schemes that do not take a key."""

JSON_TYPE = "application/json"


class SampleRequest(msgspec.Struct, frozen=True):
    """A request to one operation.

    `token` names the environment variable that holds the bearer token; it is empty where the
    operation needs none. `url` is without the query, and `headers` are without `Authorization` and
    `Content-Type`. `body` is a JSON value, or None. `json_answer` says whether the response to a
    valid request is JSON.
    """

    method: str
    url: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    json_answer: bool
    token: str = ""

    @property
    def full_url(self) -> str:
        """The URL with its query."""
        return f"{self.url}?{urlencode(self.query)}" if self.query else self.url

    @property
    def typed_headers(self) -> dict[str, str]:
        """The headers plus `Content-Type`, for libraries that do not add it themselves."""
        return self.headers if self.body is None else {"Content-Type": JSON_TYPE, **self.headers}


def request_of(document: dict[str, Any], path: str, method: str) -> SampleRequest:
    """The smallest valid request to an operation, built from its examples.

    The servers of `document` have absolute URLs, and `path` is a key of its `paths`. Raises
    ValueError if a required parameter has no example.
    """
    item = document["paths"][path]
    operation = item[method.lower()]
    required: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for referring in [*item.get("parameters", []), *operation.get("parameters", [])]:
        parameter = resolved(document, referring)
        # OpenAPI 3.1 ignores a parameter of this name: `security` describes it.
        if parameter.get("required") and parameter["name"] != "Authorization":
            required[parameter["in"]][parameter["name"]] = str(_example(document, parameter))
    filled = path
    for name, value in required["path"].items():
        filled = filled.replace(f"{{{name}}}", quote(value, safe=""))
    server = item.get("servers", document["servers"])[0]["url"]
    return SampleRequest(
        method=method.upper(),
        url=server.rstrip("/") + filled,
        query=required["query"],
        headers=required["header"],
        body=_body(document, operation),
        json_answer=_is_json(document, operation),
        token=_token(document, operation),
    )


def _token(document: dict[str, Any], operation: dict[str, Any]) -> str:
    schemes = operation.get("security", document.get("security"))
    return _TOKENS.get(next(iter(schemes[0])), API_KEY) if schemes else ""


def _body(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    return _example(document, resolved(document, operation["requestBody"])["content"][JSON_TYPE])


def _is_json(document: dict[str, Any], operation: dict[str, Any]) -> bool:
    success = next(answer for status, answer in operation["responses"].items() if status[0] == "2")
    return JSON_TYPE in resolved(document, success)["content"]


def _example(document: dict[str, Any], described: dict[str, Any]) -> Any:
    """The example of a parameter or body; the first one if there are several."""
    if "example" in described:
        return described["example"]
    for example in described.get("examples", {}).values():
        return resolved(document, example)["value"]
    raise ValueError(f"{described.get('name', 'the body')} has no example")
