"""Finds the models that a client probably means by a name that no model has.

OpenRouter's names may end with a variant (`:nitro`), name a router (`openrouter/auto`) or a preset.
Nothing like that exists here, so the message says what to use instead.
"""

from collections.abc import Collection
from difflib import get_close_matches

NEAR_MAX = 3
_READ_CHARS = 100
_ALIKE = 0.7

_ONE_PROVIDER = "chooses among the providers of a model, and a model here has one"
_NOT_HERE = "is a variant that this model does not have here"
_VARIANTS = {
    "nitro": _ONE_PROVIDER,
    "floor": _ONE_PROVIDER,
    "exacto": _ONE_PROVIDER,
    "online": "adds a web search, which this server does not offer",
    **dict.fromkeys(
        ("free", "thinking", "extended", "batch", "beta", "self-moderated", "latest"), _NOT_HERE
    ),
}
"""Those of https://openrouter.ai/docs/guides/routing/model-variants/overview, and older ones."""

_LIST = "`GET /api/v1/models` lists them."
_ROUTER = f"This server does not choose models. Name one, or several in `models`: {_LIST}"
_PRESET = "This server has no presets. Name a model, and send the preset's parameters yourself."


def advice(name: str, model_ids: Collection[str]) -> str:
    """Sentences that say what to use instead of a name; empty if nothing is near."""
    if "@preset/" in name[:_READ_CHARS]:
        return _PRESET
    if name.startswith("openrouter/") and name.count("/") == 1:
        return _ROUTER
    base, _, variant = name.rpartition(":")
    if variant in _VARIANTS and base:
        instead = [base] if base in model_ids else near(base, model_ids)
        use = f" Use {_listed(instead)}." if instead else ""
        return f"`:{variant}` {_VARIANTS[variant]}.{use}"
    return did_you_mean(name, model_ids)


def did_you_mean(name: str, model_ids: Collection[str]) -> str:
    """A question with the nearest names; empty if there are none."""
    found = near(name, model_ids)
    return f"Did you mean {_listed(found)}?" if found else ""


def near(name: str, model_ids: Collection[str]) -> list[str]:
    """The nearest ids, at most `NEAR_MAX`: those with a similar name, of the same author first."""
    author = name[:_READ_CHARS].casefold().rpartition("/")[0]
    by_name: dict[str, list[str]] = {}
    for model_id in model_ids:
        by_name.setdefault(_short(model_id), []).append(model_id)
    alike = get_close_matches(_short(name[:_READ_CHARS]), by_name, NEAR_MAX, _ALIKE)
    found = [
        model_id
        for each in alike
        for model_id in sorted(by_name[each], key=lambda model_id: not _is_by(author, model_id))
    ]
    return found[:NEAR_MAX]


def _short(name: str) -> str:
    """The name without author and variant."""
    return name.casefold().rpartition("/")[2].partition(":")[0]


def _is_by(author: str, model_id: str) -> bool:
    return model_id.casefold().startswith(f"{author}/")


def _listed(names: list[str]) -> str:
    *first, last = [f"`{each}`" for each in names]
    return f"{', '.join(first)} or {last}" if first else last
