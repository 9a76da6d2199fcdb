"""Counts the tokens of a request locally, where the provider has no operation for it."""

from modelgates_server.core.metering.request import InferenceRequest

_CONTEXT_TOKENS = 1_000_000
"""The longest context of any model of Anthropic's."""


def count_tokens(request: InferenceRequest, context_tokens: int = _CONTEXT_TOKENS) -> int:
    """An upper bound of the input tokens: of its bytes, or the context if it has files."""
    return request.input_tokens(context_tokens=context_tokens, media_tokens=None)
