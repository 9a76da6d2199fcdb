"""The words that providers use for the reason why a response ended.

Sources: the API references and recorded responses of Anthropic, Gemini, Mistral, DeepSeek, Zhipu,
Cohere, Bedrock, SGLang and vLLM.
"""

import re

from modelgates_server.core.metering.meter import FinishReason

_WORDS = {
    FinishReason.STOP: (
        "stop eos eos_token end end_turn stop_sequence stop_token complete completed done finish "
        "finished success pause_turn normal eos_found eosfound end_id end_of_turn eot eot_id "
        "stop_words stop_str stop_string stopped"
    ),
    FinishReason.LENGTH: (
        "length max_length max_tokens max_output_tokens max_completion_tokens model_length "
        "token_limit context_length context_length_exceeded context_window_exceeded "
        "model_context_window_exceeded context_limit context_length_reached max_new_tokens "
        "max_predicted_tokens_reached limit time_limit truncated incomplete"
    ),
    FinishReason.TOOL_CALLS: (
        "tool_calls tool_call tool_use function_call function_calls toolcalls tooluse tool tools "
        "function"
    ),
    FinishReason.CONTENT_FILTER: (
        "content_filter content_filtered content_filter_error filter safety image_safety "
        "recitation image_recitation language blocklist prohibited_content "
        "image_prohibited_content spii refusal sensitive moderation guardrail_intervened "
        "guardrails blocked error_toxic"
    ),
    FinishReason.ERROR: (
        "error fail failed failure network_error server_error internal_error internal_server_error "
        "engine_error model_error upstream_error provider_error api_error unknown_error exception "
        "timeout time_out timed_out abort aborted cancel cancelled canceled interrupted "
        "insufficient_system_resource overloaded overload rate_limit rate_limited error_limit "
        "unavailable service_unavailable malformed_function_call unexpected_tool_call "
        "too_many_tool_calls missing_thought_signature malformed_response no_image image_other "
        "malformed_model_output malformed_tool_use"
    ),
}
_REASONS = {word: reason for reason, words in _WORDS.items() for word in words.split()}
_PREFIX = "finish_reason_"
_UNFINISHED = frozenset({"null", "none", "nil", "unfinished", "not_finished", "in_progress"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def known_finish_reason(native: str) -> FinishReason | None:
    """The finish reason that a provider's word means; None for an unknown word."""
    return _REASONS.get(_word(native))


def is_an_end(native: str) -> bool:
    """Whether a provider's word means an end: some send a word that means "not yet"."""
    return _word(native) not in _UNFINISHED


def _word(native: str) -> str:
    spaced = _CAMEL.sub("_", native.strip()).lower()
    return spaced.replace("-", "_").replace(" ", "_").removeprefix(_PREFIX)
