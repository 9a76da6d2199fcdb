"""The names that providers give their token counts, and where a usage report may have each.

A provider's own names get a row here; `usage` defines what the counts mean.
"""

_TOP = ("",)
_INPUT_DETAILS = (
    "prompt_tokens_details",
    "input_tokens_details",
    "prompt_token_details",
    "input_token_details",
)
_OUTPUT_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "completion_token_details",
    "output_token_details",
)
_BY_TIME = ("cache_creation", "cache_creation_token_details", "cache_write_tokens_details")
"""Objects, one level deeper, that split cache writes by their time to live."""

_CREATIONS = tuple(
    f"{details}.{name}".strip(".") for details in ("", *_INPUT_DETAILS) for name in _BY_TIME
)

_ROWS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # (count, its names, the places where each name may occur)
    ("prompt", ("prompt_tokens", "input_tokens", "inputTokens"), _TOP),
    ("completion", ("completion_tokens", "output_tokens", "outputTokens"), _TOP),
    ("total", ("total_tokens", "totalTokens"), _TOP),
    (
        "cache_read",
        (
            "cached_tokens",  # OpenAI, Ark, Gemini, Groq, DashScope; Moonshot, Together at the top
            "cache_read_input_tokens",  # Anthropic
            "cache_read_tokens",
            "cached_input_tokens",
            "cached_prompt_tokens",
            "cached_prompt_text_tokens",  # xAI
            "prompt_cache_hit_tokens",  # DeepSeek
            "num_cached_tokens",  # Mistral
            "cacheReadInputTokens",  # Bedrock
            "cacheReadInputTokenCount",
        ),
        (*_TOP, *_INPUT_DETAILS),
    ),
    (
        "cache_write",
        (
            "cache_write_tokens",  # OpenAI, OpenRouter
            "cache_creation_input_tokens",  # Anthropic, DashScope
            "cache_creation_tokens",
            "cached_creation_tokens",
            "caching_tokens",
            "cache_write_input_tokens",
            "cacheWriteInputTokens",  # Bedrock
            "cacheWriteInputTokenCount",
        ),
        (*_TOP, *_INPUT_DETAILS),
    ),
    (
        "cache_write_5m",
        ("ephemeral_5m_input_tokens", "claude_cache_creation_5_m_tokens"),
        (*_TOP, *_INPUT_DETAILS, *_CREATIONS),
    ),
    (
        "cache_write_1h",
        ("ephemeral_1h_input_tokens", "claude_cache_creation_1_h_tokens"),
        (*_TOP, *_INPUT_DETAILS, *_CREATIONS),
    ),
    ("input_audio", ("audio_tokens",), _INPUT_DETAILS),
    ("input_audio", ("input_audio_tokens", "prompt_audio_tokens", "audio_tokens"), _TOP),
    ("input_image", ("image_tokens",), _INPUT_DETAILS),
    ("input_image", ("input_image_tokens", "prompt_image_tokens"), _TOP),
    ("reasoning", ("reasoning_tokens", "thinking_tokens"), (*_TOP, *_OUTPUT_DETAILS)),
    ("output_audio", ("audio_tokens",), _OUTPUT_DETAILS),
    ("output_audio", ("output_audio_tokens", "completion_audio_tokens"), _TOP),
    ("output_image", ("image_tokens",), _OUTPUT_DETAILS),
    ("output_image", ("output_image_tokens", "completion_image_tokens"), _TOP),
)

PLACES: dict[str, dict[str, str]] = {}
"""For each place, the names and the count that each means; the place "" is the report itself."""
for _count_name, _names, _places in _ROWS:
    for _place in _places:
        PLACES.setdefault(_place, {}).update(dict.fromkeys(_names, _count_name))

UNPRICED = frozenset(
    {
        "citation_tokens",  # Perplexity
        "num_search_queries",
        "num_sources_used",  # xAI
        "search_units",
        "web_search_requests",  # Anthropic, in `server_tool_use`
        "web_fetch_requests",
        "code_execution_requests",
        "tool_calls_executed",  # OpenRouter, in `server_tool_use_details`
        "num_server_side_tools_used",  # xAI
    }
)
UNPRICED_PLACES = (
    "",
    "server_tool_use",
    "server_tool_use_details",
    "server_side_tool_usage_details",
)
