"""Claude Code's requests, as its documentation and public reports show them.

Claude Code is not run: these shapes are replayed.
"""

from typing import Any

HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": ",".join(
        [
            *("claude-code-20250219", "interleaved-thinking-2025-05-14"),
            *("redact-thinking-2026-02-12", "thinking-token-count-2026-05-13"),
            *("context-management-2025-06-27", "prompt-caching-scope-2026-01-05"),
            *("mid-conversation-system-2026-04-07", "effort-2025-11-24"),
            *("advanced-tool-use-2025-11-20", "extended-cache-ttl-2025-04-11"),
        ]
    ),
    "anthropic-dangerous-direct-browser-access": "true",
    "user-agent": "claude-cli/2.1.195 (external, cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "7b4bf0b2-6a3c-4a5c-9a0e-0f6f0f0a1b2c",
    "x-claude-code-agent-id": "main",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
}
ATTRIBUTION = "x-anthropic-billing-header: cc_version=2.1.195; cc_entrypoint=cli; cch=73b45;"
_KEPT = {"type": "ephemeral", "ttl": "1h"}
_METADATA = {"user_id": "user_1_account__session_7b4bf0b2-6a3c-4a5c-9a0e-0f6f0f0a1b2c"}


def _text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


def main_request(model: str, *turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request of the conversation: the task, then more turns."""
    task = [
        _text("<system-reminder>The date is 2026-12-01.</system-reminder>"),
        _text("Bern and Oslo?", cache_control=_KEPT),
    ]
    return {
        "model": model,
        "max_tokens": 500,
        "stream": True,
        "system": [
            _text(ATTRIBUTION),
            _text("You are Claude Code.", cache_control=_KEPT),
            _text("Be brief. <env>Platform: linux</env>", cache_control=_KEPT),
        ],
        "tools": [WEATHER],
        "messages": [{"role": "user", "content": task}, *turns],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": _METADATA,
        **more,
    }


WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "eager_input_streaming": True,
}


def results(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The turn with the results of parallel calls; the second one failed."""
    blocks = [
        {
            "type": "tool_result",
            "tool_use_id": call["id"],
            "content": f"sunny in {call['input']['city']}",
            **({"is_error": True} if number else {}),
        }
        for number, call in enumerate(calls)
    ]
    blocks[-1]["cache_control"] = _KEPT
    return {"role": "user", "content": blocks}


def small_request(model: str) -> dict[str, Any]:
    """What it asks a small model in the background: a title for the session, as JSON."""
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    return {
        "model": model,
        "max_tokens": 500,
        "stream": True,
        "temperature": 1,
        "system": [_text(ATTRIBUTION), _text("Write a title for this session.")],
        "tools": [],
        "messages": [{"role": "user", "content": [_text("hello")]}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
        "metadata": _METADATA,
    }


def quota_request(model: str) -> dict[str, Any]:
    """Its first request: whether the key may call the model at all."""
    said = [{"role": "user", "content": "quota"}]
    return {"model": model, "max_tokens": 1, "messages": said, "metadata": _METADATA}


def count_request(model: str) -> dict[str, Any]:
    """What it counts: the conversation without its limits."""
    whole = main_request(model)
    names = ("model", "system", "tools", "messages", "thinking")
    return {name: whole[name] for name in names}
