"""Lets the examples of the API description name models that this server has."""

from typing import Any

from modelgates_server.core.pricing.catalog import Api, Catalog

_NAME = ("author", "slug")
_SANDBOX, _ANSWERS = "sandbox/", "sandbox/echo"


def with_offered_models(document: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    """The document, whose requests name another model where theirs is not offered.

    Samples and "Try it" begin with these requests, and are to work as they stand.
    """
    paths = document["paths"]
    for api in Api:
        offered = [model.id for model in catalog.models.values() if api in model.apis]
        for request in _requests(paths[f"/{api}"]["post"]):
            if offered and request["model"] not in offered:
                request["model"] = _choice(offered)
    names = _requests(paths[f"/{Api.CHAT}"]["post"])[0]["model"].split("/", 1)
    for parameter in paths["/models/{author}/{slug}/endpoints"]["parameters"]:
        if parameter["name"] in _NAME:
            parameter["example"] = names[_NAME.index(parameter["name"])]
    return document


def _choice(offered: list[str]) -> str:
    """One that answers in earnest; of the sandbox, the one that echoes its prompt."""
    real = [name for name in offered if not name.startswith(_SANDBOX)]
    return next(iter([*real, *(name for name in offered if name == _ANSWERS), *offered]))


def _requests(operation: dict[str, Any]) -> list[dict[str, Any]]:
    content = operation["requestBody"]["content"]["application/json"]
    if "example" in content:
        return [content["example"]]
    return [example["value"] for example in content["examples"].values()]
