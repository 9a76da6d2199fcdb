"""`GET /models` in the form of Anthropic's API, for requests with `anthropic-version`."""

from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.web.body import query_integer
from modelgates_server.web.members import check_query, quoted

VERSION_HEADER = b"anthropic-version"
_QUERY = ("limit", "after_id", "before_id", "beta")
_PAGE, _PAGE_MAX = 20, 1000


def anthropic_model(model: Model) -> dict[str, Any]:
    """A model in Anthropic's form. `created_at` is the epoch if it is unknown, as there."""
    created = datetime.fromtimestamp(model.created_at_s, UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.output_tokens,
    }


def anthropic_page(models: list[Model], query: QueryParams) -> dict[str, Any]:
    """A page of models: `limit` (20, at most 1000) of them, after or before the one with an id.

    Raises `InvalidInput` for an unknown id, and for any other parameter.
    """
    check_query(query, _QUERY)
    limit = query_integer(query, "limit", default=_PAGE, least=1, most=_PAGE_MAX)
    after, before = (_position(models, query, name) for name in ("after_id", "before_id"))
    if before is not None:
        rest = models[:before]
        page, has_more = rest[-limit:], len(rest) > limit
    else:
        rest = models if after is None else models[after + 1 :]
        page, has_more = rest[:limit], len(rest) > limit
    return {
        "data": [anthropic_model(model) for model in page],
        "has_more": has_more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _position(models: list[Model], query: QueryParams, name: str) -> int | None:
    given = query.get(name)
    if given is None:
        return None
    for position, model in enumerate(models):
        if model.id == given:
            return position
    raise InvalidInput(f"`{name}` is not the id of a model: {quoted(given)}.")
