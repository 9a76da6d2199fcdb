"""Tables of how each parameter and part of a request is translated, in each direction.

The translation reads these tables, and so does the reference.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Action(StrEnum):
    """The treatment of a parameter or a part."""

    TRANSLATED = "translated"
    DROPPED = "dropped"
    REJECTED = "rejected"


class Rule(msgspec.Struct, frozen=True):
    """The rule for one `member`: its `counterpart` in the other dialect, and a note.

    The note completes an error message: "`x` is not supported: the note."
    """

    member: str
    counterpart: str | None
    action: Action
    note: str = ""


_T, _D, _X = Action.TRANSLATED, Action.DROPPED, Action.REJECTED

_OF_BLOCK = "it has no counterpart in chat completions. Remove the block."

TO_CHAT: tuple[Rule, ...] = (
    Rule("model", "model", _T),
    Rule("provider", "provider", _T),
    Rule("session_id", "session_id", _T),
    Rule("trace", "trace", _T),
    Rule("stream", "stream", _T),
    Rule("system", "messages", _T, "Its blocks become one message, joined by an empty line."),
    Rule("messages", "messages", _T),
    Rule("tools", "tools", _T),
    Rule("tool_choice", "tool_choice", _T),
    Rule("thinking", "reasoning", _T),
    Rule("output_config", "reasoning, response_format", _T),
    Rule("max_tokens", "max_tokens", _T, "0 is rejected: there is no cache to warm up."),
    Rule("stop_sequences", "stop", _T),
    Rule("temperature", "temperature", _T),
    Rule("top_p", "top_p", _T),
    Rule("top_k", "top_k", _T),
    Rule("metadata", "user", _T, "Only `user_id`."),
    Rule("service_tier", "service_tier", _T, "`standard_only` becomes `default`."),
    Rule("context_management", None, _D, "Only clearing of thinking, which is dropped anyway."),
    Rule("cache_control", None, _D, "Providers of chat completions cache by themselves."),
    Rule("diagnostics", None, _D, "It is about Anthropic's cache."),
    Rule("speed", None, _D, "Only `standard` is accepted."),
    Rule("inference_geo", None, _D, "Only `global` is accepted."),
    Rule("models", None, _D, "It is for the gateway, which has chosen the model."),
    Rule("route", None, _D, "It is for the gateway."),
    Rule("plugins", None, _D, "It is for the gateway."),
    Rule("transforms", None, _D, "It is for the gateway."),
    Rule("usage", None, _D, "It is for the gateway."),
    Rule("debug", None, _D, "It is for the gateway."),
)

BLOCKS_TO_CHAT: tuple[Rule, ...] = (
    Rule("text", "text", _T, "Empty texts are dropped next to others."),
    Rule("image", "image_url", _T, "A file id is rejected."),
    Rule("document", "file", _T, "Texts become text. A file id and citations are rejected."),
    Rule("search_result", "text", _T, "Source, title and texts. Citations are rejected."),
    Rule("tool_use", "tool_calls", _T),
    Rule("tool_result", "tool message", _T, "Images follow in a user message."),
    Rule("tool_reference", "text", _T, "All tools are sent anyway."),
    Rule("thinking", "reasoning_details", _T, "Dropped unless the provider has issued it."),
    Rule("redacted_thinking", "reasoning_details", _T, "Dropped like thinking."),
    Rule("tool_addition", None, _X, _OF_BLOCK),
    Rule("tool_removal", None, _X, _OF_BLOCK),
)

TOOLS_TO_CHAT: tuple[Rule, ...] = (
    Rule("type", "type", _T),
    Rule("name", "function.name", _T),
    Rule("description", "function.description", _T),
    Rule("input_schema", "function.parameters", _T),
    Rule("strict", "function.strict", _T),
    Rule("cache_control", None, _D),
    Rule("defer_loading", None, _D, "All tools are sent."),
    Rule("eager_input_streaming", None, _D),
    Rule("input_examples", None, _D),
    Rule("allowed_callers", None, _D, "Only the model itself calls tools."),
)

CONFIG_TO_CHAT: tuple[Rule, ...] = (
    Rule("effort", "reasoning.effort", _T, "Dropped next to a budget, and without thinking."),
    Rule("format", "response_format", _T),
    Rule("task_budget", None, _X, "this model's provider knows no such budget. Leave it out."),
)

FROM_CHAT: tuple[Rule, ...] = (
    Rule("model", "model", _T),
    Rule("provider", "provider", _T),
    Rule("session_id", "session_id", _T),
    Rule("trace", "trace", _T),
    Rule("stream", "stream", _T),
    Rule("messages", "system, messages", _T),
    Rule("tools", "tools", _T),
    Rule("functions", None, _X, "send them as `tools`."),
    Rule("tool_choice", "tool_choice", _T),
    Rule("function_call", None, _X, "send it as `tool_choice`."),
    Rule("parallel_tool_calls", "tool_choice.disable_parallel_tool_use", _T),
    Rule("reasoning", "thinking, output_config.effort", _T),
    Rule("reasoning_effort", "thinking, output_config.effort", _T),
    Rule("thinking", "thinking", _T, "In Anthropic's own form."),
    Rule("include_reasoning", "thinking.display", _T),
    Rule("max_tokens", "max_tokens", _T),
    Rule("max_completion_tokens", "max_tokens", _T),
    Rule("stop", "stop_sequences", _T),
    Rule("temperature", "temperature", _T, "Dropped for models that reject it; at most 1."),
    Rule("top_p", "top_p", _T, "Dropped for models that reject it."),
    Rule("top_k", "top_k", _T, "Dropped for models that reject it."),
    Rule("response_format", "output_config.format", _T, "`json_object` is rejected."),
    Rule("user", "metadata.user_id", _T),
    Rule("service_tier", "service_tier", _T, "`default` becomes `standard_only`."),
    Rule("cache_control", "cache_control", _T),
    Rule("stream_options", None, _D, "The usage is part of every stream."),
    Rule("seed", None, _D, "No sampling can be repeated."),
    Rule("frequency_penalty", None, _D, "No counterpart."),
    Rule("presence_penalty", None, _D, "No counterpart."),
    Rule("repetition_penalty", None, _D, "No counterpart."),
    Rule("min_p", None, _D, "No counterpart."),
    Rule("top_a", None, _D, "No counterpart."),
    Rule("metadata", None, _D, "It belongs to OpenAI's storage."),
    Rule("verbosity", None, _D, "No counterpart."),
    Rule("structured_outputs", None, _D, "A flag for the gateway; `response_format` applies."),
    Rule("prompt_cache_key", None, _D, "Caches are marked with `cache_control`."),
    Rule("safety_identifier", None, _D, "Send `user`."),
    Rule("store", None, _D, "Only `false` is accepted."),
    Rule("models", None, _D, "It is for the gateway, which has chosen the model."),
    Rule("route", None, _D, "It is for the gateway."),
    Rule("plugins", None, _D, "It is for the gateway."),
    Rule("transforms", None, _D, "It is for the gateway."),
    Rule("usage", None, _D, "It is for the gateway."),
    Rule("debug", None, _D, "It is for the gateway."),
    Rule("n", None, _X, "Claude writes one response. Send several requests."),
    Rule("logprobs", None, _X, "Claude reports no probabilities. Leave it out."),
    Rule("top_logprobs", None, _X, "Claude reports no probabilities. Leave it out."),
    Rule("logit_bias", None, _X, "Claude takes no biases. Leave it out."),
    Rule("audio", None, _X, "Claude writes no audio. Leave it out."),
    Rule("modalities", None, _X, "Claude writes only text. Leave it out."),
    Rule("prediction", None, _X, "it has no counterpart for Claude. Leave it out."),
)
"""A dropped parameter is rejected with `provider.require_parameters`, where the model's list of
parameters decides."""

PARTS_FROM_CHAT: tuple[Rule, ...] = (
    Rule("text", "text", _T),
    Rule("refusal", "text", _T),
    Rule("image_url", "image", _T, "`detail` is dropped."),
    Rule("file", "document", _T, "Only PDF files, as data."),
    Rule("input_audio", None, _X, "Claude reads no audio. Remove the part."),
    Rule("video_url", None, _X, "Claude reads no videos. Remove the part."),
)

LOSSES: tuple[Rule, ...] = (
    Rule("cache_control", None, _D, "Except for providers that read it in chat completions."),
    Rule("blocks of system", "system", _T, "They come back as one text."),
    Rule("texts of assistant", "text", _T, "They come back as one text, without gaps."),
    Rule("order of assistant", None, _T, "Thinking, text and calls come back in this order."),
    Rule("order of user", None, _T, "Results come back first, then images, then texts."),
    Rule("texts of tool_result", "text", _T, "They come back as one text, line by line."),
    Rule("images of tool_result", "image", _T, "They come back next to their result."),
    Rule("is_error", "Error: ", _T, "It comes back as the first word of the result."),
    Rule("document of text", "text", _T, "It comes back as a text below its title."),
    Rule("turns of one role", None, _T, "They come back as one."),
    Rule("thinking without a signature", None, _D, "Claude would reject it."),
)
"""The differences of a request that went from Messages to chat completions and back."""


def by_member(rules: tuple[Rule, ...]) -> Mapping[str, Rule]:
    """The rules by the name of their member."""
    return {rule.member: rule for rule in rules}
