"""Request parameters that the gateway rejects, each with the reason.

Some would make a call that cannot be metered, others set a limit that the gateway cannot enforce.
If they were dropped silently, the first would cost the operator and the second the client.
"""

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    read_objects,
    says_nothing,
    spelling,
)
from modelgates_server.dialects.openai_chat.preferences import LIMITING

_LATER = "a response that arrives later cannot be metered. Leave it out."
_ELSEWHERE = "it adds text that is not in the request. Send all messages with each request."
_COST = "limit the cost of the call with the header `X-ModelGates-Max-Cost`."

_REASONS = {
    # xAI (202 and an id), OpenAI's /responses, batches of OpenAI, Sail and Doubleword, Cloudflare.
    "deferred": _LATER,
    "background": _LATER,
    "async": _LATER,
    "batch": _LATER,
    "completion_window": _LATER,
    "queue_request": _LATER,
    "webhook": _LATER,
    "webhook_url": _LATER,
    "callback_url": _LATER,
    # These make a prompt longer than its request: OpenAI's /responses, Volcengine's contexts.
    "previous_response_id": _ELSEWHERE,
    "conversation": _ELSEWHERE,
    "context_id": _ELSEWHERE,
    "store": "the provider would keep the conversation in the operator's account. Leave it out.",
    # OpenRouter's.
    "transforms": 'prompts are not transformed. Leave it out, or send `[]` or `["middle-out"]`.',
    "extra_body": "send its fields as top-level parameters.",
    "preset": "this server has no presets. Send the preset's parameters in the request.",
    "external": "this server calls no external services. Leave it out.",
    "deferred_tools": "this server does not search for tools. Send them in `tools`.",
    "stop_server_tools_when": f"this server has no server tools. Instead, {_COST}",
    "guardrails": "this server has no guardrails. Leave it out.",
    # Of other gateways.
    "provider_options": "routing preferences belong in `provider`. Send them there.",
    "max_cost": _COST,
    "max_budget": _COST,
    **{name: f"it belongs in `provider`. Send it as `provider.{name}`." for name in LIMITING},
}
_BY_SPELLING = {spelling(name): reason for name, reason in _REASONS.items()}


UNPRICED = frozenset(
    (
        *("web_search_options", "web_search", "enable_web_search", "enable_search"),
        *("search_parameters", "search_settings", "enable_enhancement"),
        *("force_search_enhancement", "plugins", "connectors", "data_sources"),
        *("enable_code_interpreter", "prediction", "chat_template", "prompt_embeds"),
        *("speed", "inference_geo"),
    )
)
"""Parameters that raise the provider's bill without a trace in the usage, so no one would pay.

Searches of OpenAI, Kimi, Qwen, xAI, Perplexity, Hunyuan and Cohere; those of Azure, which also make
the prompt longer; code that Qwen runs; Anthropic's more expensive speed and location. The rejected
tokens of a prediction are billed as output beyond `max_tokens`. A client's chat template can make a
prompt of any length from its request, and prompt embeddings can exceed what their bytes suggest.
"""

SINGLE = ("n", "best_of", "n_cmpl", "num_return_sequences", "num_choices", "candidate_count")
"""The number of completions, under the names that chat servers know."""

_ON_WHEN_EMPTY = ("web_search_options", "search_parameters")
_STANDARD_WORDS = {"speed": b'"standard"', "inference_geo": b'"global"'}
_READ = ("transforms", "extra_body")
_MIDDLE_OUT = "middle-out"
_COMPRESSION = "context-compression"

_SWITCH = Grammar(("mode", "enabled"))
_PLUGIN = Grammar(("id", "enabled"))
_GOOGLE = Grammar(("google",))
_THINKING = Grammar(("thinking_config",))
_THINKING_CONFIG = Grammar(("include_thoughts", "thinking_budget", "thinking_level"))

_texts = msgspec.json.Decoder(list[str])
_text = msgspec.json.Decoder(str)


def refuse_unserved(members: JsonObject) -> None:
    """Raises `InvalidInput` for the first parameter that requests something not supported."""
    for name, raw in members.items():
        if name in UNPRICED:
            _refuse_unpriced(name, bytes(raw))
        elif name in _READ:
            _refuse_read(name, bytes(raw))
        elif reason := _BY_SPELLING.get(spelling(name[:80])):
            _refuse(name, bytes(raw), reason)


def refuse_choices(members: JsonObject) -> None:
    """Raises `InvalidInput` if an API whose requests have one response is asked for several."""
    for name in SINGLE:
        if bytes(members.get(name, b"null")) not in (b"null", b"1"):
            raise InvalidInput(f"`{name}` is not supported: a request has one response.")


def _refuse_read(name: str, raw: bytes) -> None:
    """Raises for a parameter that is rejected unless it has its one accepted value."""
    try:
        passes = _is_middle_out(raw) if name == "transforms" else _is_thinking(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, name, raw) from None
    if not passes:
        _refuse(name, raw, _REASONS[name])


def _is_middle_out(raw: bytes) -> bool:
    """Roo Code and Kilo Code always send it; it compresses only prompts that exceed the context."""
    return raw.startswith(b"[") and set(_texts.decode(raw)) <= {_MIDDLE_OUT}


def _is_thinking(raw: bytes) -> bool:
    """Google's settings for a model's thinking, which do not affect the hold."""
    for name, grammar in (("google", _GOOGLE), ("thinking_config", _THINKING)):
        if not raw.startswith(b"{"):
            return False
        members = read_object(raw, "extra_body", grammar)
        if members.keys() != {name}:
            return False
        raw = bytes(members[name])
    return raw.startswith(b"{") and (
        read_object(raw, "thinking_config", _THINKING_CONFIG).keys() <= _THINKING_CONFIG.names
    )


def _refuse_plugins(raw: bytes) -> None:
    if says_nothing(raw):
        return
    try:
        plugins = read_objects(raw, "plugins", _PLUGIN)
        ids = [_text.decode(each["id"]) for each in plugins if not _is_disabled(each)]
    except KeyError:
        raise InvalidInput("Each plugin in `plugins` must have an `id`.") from None
    except msgspec.DecodeError as error:
        raise misfit(error, "plugins", raw) from None
    for each in ids:
        if each != _COMPRESSION:
            raise InvalidInput(
                f"The plugin `{each:.80}` is not supported. Remove it from `plugins`."
            )


def _is_disabled(members: JsonObject) -> bool:
    return bytes(members.get("enabled", b"")) == b"false"


def _refuse(name: str, raw: bytes, reason: str) -> None:
    is_off = name == "batch" and raw == b"0"
    if not (says_nothing(raw) or is_off):
        raise InvalidInput(f"`{name:.80}` is not supported: {reason}")


def _refuse_unpriced(name: str, raw: bytes) -> None:
    if name == "plugins":
        _refuse_plugins(raw)
    elif not (
        (says_nothing(raw) and not (name in _ON_WHEN_EMPTY and raw.startswith(b"{")))
        or raw == _STANDARD_WORDS.get(name)
        or (name in ("search_parameters", "web_search") and _is_off(name, raw))
    ):
        raise InvalidInput(f"`{name}` has no price on this server. Leave it out.")


def _is_off(name: str, raw: bytes) -> bool:
    """Whether an object that describes a search also turns it off."""
    if not raw.startswith(b"{"):
        return False
    switch = read_object(raw, name, _SWITCH)
    return bytes(switch.get("mode", b"")) == b'"off"' or _is_disabled(switch)
