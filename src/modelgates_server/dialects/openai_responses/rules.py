"""Rules for each part of a request that is translated to or from chat completions.

The translations obey these tables, and the reference documentation is generated from them. A
parameter that is in no table is left out of a translated request and named in `omitted`; between
equal dialects it is forwarded.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from modelgates_server.core.errors import InvalidInput


class Action(StrEnum):
    """The fate of one part of a request."""

    PASSED = "passed"
    """Sent under the same name with the same value."""

    TRANSLATED = "translated"
    """Sent in the other dialect's form."""

    DROPPED = "dropped"
    """Left out, and named in `omitted`."""

    REJECTED = "rejected"
    """An error that names it."""

    HANDLED = "handled"
    """Obeyed by the gateway itself, or without meaning in a translated call."""


class Rule(msgspec.Struct, frozen=True):
    """The rule for one name. `counterpart` is its name in the other dialect, if it has one."""

    member: str
    counterpart: str | None
    action: Action
    note: str = ""


def _table(*rules: Rule) -> Mapping[str, Rule]:
    return {rule.member: rule for rule in rules}


def _all(action: Action, note: str, *members: str) -> tuple[Rule, ...]:
    is_kept = action is Action.PASSED
    return tuple(Rule(name, name if is_kept else None, action, note) for name in members)


_P, _T, _D, _X, _H = (
    Action.PASSED,
    Action.TRANSLATED,
    Action.DROPPED,
    Action.REJECTED,
    Action.HANDLED,
)

_GATEWAY = (*("model", "models", "route", "transforms", "plugins", "usage", "debug", "store"),)

PARAMETERS_TO_CHAT = _table(
    *_all(_H, "The gateway obeys it.", *_GATEWAY),
    *_all(_P, "", "stream", "temperature", "top_p", "service_tier", "user", "modalities"),
    *_all(
        _P,
        "No parameter of this API, but some clients send it.",
        *("presence_penalty", "frequency_penalty", "repetition_penalty", "top_k", "min_p"),
        *("seed", "stop", "logit_bias"),
    ),
    *_all(_P, "OpenRouter is sent what it needs of it.", "provider", "session_id", "trace"),
    Rule("input", "messages", _T),
    Rule("instructions", "messages", _T, "The first system message."),
    Rule("tools", "tools", _T),
    Rule("tool_choice", "tool_choice", _T, "`allowed_tools` reduces `tools` instead."),
    Rule("parallel_tool_calls", "parallel_tool_calls", _T, "Only `false` is sent: the default."),
    Rule("reasoning", "reasoning", _T, "`effort` and `summary`; `context` is dropped."),
    Rule("text", "response_format", _T, "`format`; `verbosity` is sent as `verbosity`."),
    Rule("max_output_tokens", "max_tokens", _T),
    Rule("top_logprobs", "top_logprobs", _T, "With `logprobs`."),
    Rule(
        "include",
        "logprobs",
        _T,
        "`message.output_text.logprobs`; encrypted reasoning is always returned.",
    ),
    Rule("safety_identifier", "user", _T, "If there is no `user`."),
    Rule("prompt_cache_key", "session_id", _T, "If there is no `session_id`."),
    Rule("truncation", None, _D, "`auto` is dropped; `disabled` is the default."),
    *_all(
        _D,
        "It has no counterpart.",
        *("metadata", "client_metadata", "prompt_cache_options", "prompt_cache_retention"),
        *("stream_options", "cache_control", "image"),
    ),
)
"""The parameters of a Responses request."""

ITEMS_TO_CHAT = _table(
    Rule("message", "message", _T),
    Rule(
        "reasoning",
        "reasoning_details",
        _T,
        "If it is this server's, in the form that the provider takes.",
    ),
    Rule("function_call", "tool_calls", _T),
    Rule("function_call_output", "tool message", _T, "Images and files follow as user message."),
    Rule("custom_tool_call", "tool_calls", _T, "A function with one `input`."),
    Rule("custom_tool_call_output", "tool message", _T),
    Rule(
        "tool_search_call", "tool_calls", _T, "If the client executes it. Otherwise it is dropped."
    ),
    Rule("tool_search_output", "tool message", _T, "The tools that it loads join `tools`."),
    Rule("additional_tools", "tools", _T),
    *_all(
        _D,
        "A server tool's own record; its result is in the message that follows.",
        *("web_search_call", "file_search_call", "code_interpreter_call", "mcp_list_tools"),
    ),
    *_all(
        _X,
        "it has no counterpart in chat completions, which the provider of this model speaks. "
        "Remove the item, or choose another model.",
        *("computer_call", "computer_call_output", "image_generation_call", "local_shell_call"),
        *("local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call"),
        *("apply_patch_call_output", "mcp_call", "mcp_approval_request", "mcp_approval_response"),
        *("compaction", "configuration_update", "program", "program_output"),
    ),
)
"""The types of input items. Any other type is rejected where it would have to be translated."""

TOOLS = _table(
    Rule("function", "function", _T),
    Rule("custom", "function", _T, "With one string `input`; a grammar joins the description."),
    Rule("namespace", "function", _T, "Each of its tools, under the name `namespace__name`."),
    Rule("tool_search", "function", _T, "With `execution: client`. Otherwise it is dropped."),
    *_all(
        _D,
        "It has no price on this server.",
        *("web_search", "web_search_preview", "file_search", "code_interpreter", "computer"),
        *("computer_use_preview", "mcp", "image_generation", "shell", "local_shell"),
        *("apply_patch", "programmatic_tool_calling"),
    ),
)
"""The types of tools. Any other type is dropped as well, also between equal dialects."""

_NO_COUNTERPART = "it has no counterpart in the Responses API, which this model's provider speaks. "
_REASONING = f"{_NO_COUNTERPART}Use `reasoning` instead."

PARAMETERS_FROM_CHAT = _table(
    *_all(_H, "The gateway obeys it.", *_GATEWAY, "include_reasoning", "stream_options"),
    *_all(_P, "OpenRouter is sent what it needs of it.", "provider", "session_id", "trace"),
    *_all(
        _P,
        "",
        *("stream", "temperature", "top_p", "service_tier", "user", "metadata"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
        *("prompt_cache_options", "parallel_tool_calls"),
    ),
    Rule("messages", "input", _T),
    Rule("max_tokens", "max_output_tokens", _T),
    Rule("max_completion_tokens", "max_output_tokens", _T),
    Rule("reasoning", "reasoning", _T, "A number of tokens becomes the nearest effort below."),
    Rule("reasoning_effort", "reasoning", _T),
    Rule("response_format", "text.format", _T),
    Rule("verbosity", "text.verbosity", _T),
    Rule("tools", "tools", _T),
    Rule("tool_choice", "tool_choice", _T),
    Rule("logprobs", "include", _T),
    Rule("top_logprobs", "top_logprobs", _T),
    Rule("n", None, _X, f"{_NO_COUNTERPART}Send `n: 1`, or several requests."),
    Rule("stop", None, _X, f"{_NO_COUNTERPART}Leave it out, or choose another model."),
    *_all(
        _X,
        f"{_NO_COUNTERPART}Leave it out, or choose another model.",
        *("logit_bias", "audio", "best_of", "modalities"),
    ),
    *_all(_X, f"{_NO_COUNTERPART}Use `tools` and `tool_choice`.", "functions", "function_call"),
    *_all(
        _X,
        _REASONING,
        *("thinking", "enable_thinking", "thinking_budget", "chat_template_kwargs", "extra_body"),
    ),
    *_all(
        _D,
        "It has no counterpart.",
        *("seed", "presence_penalty", "frequency_penalty", "repetition_penalty", "top_k"),
        *("min_p", "top_a", "structured_outputs", "cache_control"),
    ),
)
"""The parameters of a chat completion."""

PARTS_TO_CHAT = _table(
    Rule("input_text", "text", _T),
    Rule("output_text", "text", _T),
    Rule("text", "text", _T),
    Rule("refusal", "refusal", _T, "In the assistant's messages."),
    Rule("input_image", "image_url", _T, "By URL; `file_id` is rejected."),
    Rule("input_file", "file", _T),
    Rule("input_audio", "input_audio", _T),
)
"""The types of content parts. Any other type is rejected."""


def reject(path: str, note: str) -> InvalidInput:
    """The error for something that a table rejects."""
    return InvalidInput(f"`{path}` is not supported: {note}")


def chosen(names: Iterable[str], table: Mapping[str, Rule], action: Action) -> tuple[str, ...]:
    """The names to which the table applies this action; one without a rule is dropped."""
    return tuple(
        name
        for name in names
        if (table[name].action if name in table else Action.DROPPED) is action
    )
