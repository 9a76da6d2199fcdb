"""Members of a request that the gateway refuses, each with the reason.

Some would make a call that cannot be metered, some would limit it in a way that the gateway does
not obey. Dropped in silence, the first would cost the platform and the second the customer.
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

_LATER = "an answer that comes later cannot be metered; leave it out"
_ELSEWHERE = "the provider would read what is not in the request; send all messages with each call"
_COST = "bound the whole call with the header X-ModelGates-Max-Cost"

_REASONS = {
    # xAI: 202 and an id; OpenAI's /responses; batches of OpenAI, Sail and Doubleword; Cloudflare.
    "deferred": _LATER,
    "background": _LATER,
    "async": _LATER,
    "batch": _LATER,
    "completion_window": _LATER,
    "queue_request": _LATER,
    "webhook": _LATER,
    "webhook_url": _LATER,
    "callback_url": _LATER,
    # What makes a prompt longer than its request: OpenAI's /responses, Volcengine's contexts.
    "previous_response_id": _ELSEWHERE,
    "conversation": _ELSEWHERE,
    "context_id": _ELSEWHERE,
    "store": "the provider would keep the conversation in the gateway's own account; leave it out",
    # OpenRouter's.
    "transforms": 'prompts are not transformed here; leave it out, or send [] or ["middle-out"]',
    "extra_body": "put its members at the root of the request",
    "preset": "there are no presets here; put what it has into the request",
    "external": "nothing external is called here; leave it out",
    "deferred_tools": "tools are not searched for here; send them as tools",
    "stop_server_tools_when": f"there are no server tools here; {_COST}",
    "guardrails": "there are no guardrails here; leave it out",
    # Of other gateways.
    "provider_options": "preferences for the gateway belong in provider",
    "max_cost": _COST,
    "max_budget": _COST,
    **{name: f"write it in provider: provider.{name}" for name in LIMITING},
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
"""Members that change a bill without a trace in the usage: nobody would pay what they cost.

Searches of OpenAI, Kimi, Qwen, xAI, Perplexity, Hunyuan and Cohere, and Azure's, which makes the
prompt longer; code that Qwen runs; Anthropic's dearer speed and place. A prediction's rejected
tokens are billed as output beyond `max_tokens`; a template of the client's own can make a prompt of
any length from its request, and embeddings of a prompt are longer than their bytes tell.
"""

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
    """Raises `InvalidInput` for the first member of a request that asks for what is not served."""
    for name, raw in members.items():
        if name in UNPRICED:
            _refuse_unpriced(name, bytes(raw))
        elif name in _READ:
            _refuse_read(name, bytes(raw))
        elif reason := _BY_SPELLING.get(spelling(name[:80])):
            _refuse(name, bytes(raw), reason)


def _refuse_read(name: str, raw: bytes) -> None:
    """Members that are refused but for one thing that they may say."""
    try:
        passes = _is_middle_out(raw) if name == "transforms" else _is_thinking(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, name) from None
    if not passes:
        _refuse(name, raw, _REASONS[name])


def _is_middle_out(raw: bytes) -> bool:
    """Roo Code and Kilo Code always send it; it compresses what is longer than the context only."""
    return raw.startswith(b"[") and set(_texts.decode(raw)) <= {_MIDDLE_OUT}


def _is_thinking(raw: bytes) -> bool:
    """Google's own place for how a model shall think, which bounds nothing that is held for."""
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
        raise InvalidInput("each of plugins must have an id") from None
    except msgspec.DecodeError as error:
        raise misfit(error, "plugins") from None
    for each in ids:
        if each != _COMPRESSION:
            raise InvalidInput(f"the plugin {each:.80} is not served here; leave it out")


def _is_disabled(members: JsonObject) -> bool:
    return bytes(members.get("enabled", b"")) == b"false"


def _refuse(name: str, raw: bytes, reason: str) -> None:
    is_off = name == "batch" and raw == b"0"
    if not (says_nothing(raw) or is_off):
        raise InvalidInput(f"{name:.80} is not served: {reason}")


def _refuse_unpriced(name: str, raw: bytes) -> None:
    if name == "plugins":
        _refuse_plugins(raw)
    elif not (
        (says_nothing(raw) and not (name in _ON_WHEN_EMPTY and raw.startswith(b"{")))
        or raw == _STANDARD_WORDS.get(name)
        or (name in ("search_parameters", "web_search") and _is_off(name, raw))
    ):
        raise InvalidInput(f"{name} has no price here; leave it out")


def _is_off(name: str, raw: bytes) -> bool:
    """A search that is described and said to be off."""
    if not raw.startswith(b"{"):
        return False
    switch = read_object(raw, name, _SWITCH)
    return bytes(switch.get("mode", b"")) == b'"off"' or _is_disabled(switch)
