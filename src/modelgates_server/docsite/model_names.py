"""Replaces model names in the API description's examples by models that this server offers."""

from typing import Any

from modelgates_server.core.pricing.catalog import Api, Catalog

_NAME = ("author", "slug")
_SANDBOX, _ANSWERS = "sandbox/", "sandbox/echo"


def with_offered_models(document: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    """The document, with another model in each request whose own model is not offered.

    Samples and "Try it" start from these requests, which therefore work unchanged.
    """
    paths = document["paths"]
    for api in Api:
        offered = [model.id for model in catalog.models.values() if api in model.apis]
        for request in _requests(paths[f"/{api}"]["post"]):
            if offered and request["model"] not in offered:
                request["model"] = _choice(offered)
    names = _requests(paths[f"/{Api.CHAT}"]["post"])[0]["model"].split("/", 1)
    for parameter in (each for item in paths.values() for each in item.get("parameters", ())):
        if parameter.get("name") in _NAME:
            parameter["example"] = names[_NAME.index(parameter["name"])]
    return document


def _choice(offered: list[str]) -> str:
    """A model of a real provider, otherwise the sandbox model that echoes its prompt."""
    real = [name for name in offered if not name.startswith(_SANDBOX)]
    return next(iter([*real, *(name for name in offered if name == _ANSWERS), *offered]))


def _requests(operation: dict[str, Any]) -> list[dict[str, Any]]:
    content = operation["requestBody"]["content"]["application/json"]
    if "example" in content:
        return [content["example"]]
    return [example["value"] for example in content["examples"].values()]
