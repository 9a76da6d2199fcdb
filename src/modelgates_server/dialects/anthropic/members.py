"""The parameters of a Messages request that concern the gateway, or that it rejects."""

from collections.abc import Mapping

from modelgates_server.dialects.openai_chat.request import ROUTING

GATEWAY = (*ROUTING, "session_id", "trace")
"""OpenRouter's additions. They are for the gateway, and never sent to a provider."""

_ELSEWHERE = "it adds text that is not in the request. Send all messages with each request."
_ACCOUNT = "it refers to the operator's account. Leave it out."
_HEADER = "send betas in the header `anthropic-beta`."

REJECTED: Mapping[str, str] = {
    "mcp_servers": "tools that the provider runs have no price on this server. Leave it out.",
    "container": "code that the provider runs has no price on this server. Leave it out.",
    "fallbacks": "another model would have another price. Send `models` instead.",
    "compaction": "what it bills cannot be read from a response. Leave it out.",
    "thread": _ELSEWHERE,
    "fallback_credit_token": _ACCOUNT,
    "billing_policy": _ACCOUNT,
    "user_profile_id": _ACCOUNT,
    "workspace_id": _ACCOUNT,
    "betas": _HEADER,
    "anthropic_beta": _HEADER,
    "anthropic_version": "send it as the header `anthropic-version`.",
}
"""Each with the reason. `speed` and `inference_geo` are rejected like in chat completions."""

PARAMETERS_OF_NONE = frozenset(
    (
        *("model", "models", "messages", "system", "stream", "metadata", "max_tokens"),
        *("service_tier", "cache_control", "diagnostics", *GATEWAY),
    )
)
"""Parts of a request that no model lists among its supported parameters."""

PARAMETER_OF: Mapping[str, str] = {
    "stop_sequences": "stop",
    "thinking": "reasoning",
    "output_config": "reasoning",
}
"""Parameters that models list under the name of chat completions."""
