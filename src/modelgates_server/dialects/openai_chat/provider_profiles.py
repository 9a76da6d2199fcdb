"""Providers of OpenAI's API that differ in the request parameters they understand.

One entry for each provider: its hosts, its name for the output limit, how it controls reasoning,
and which of the other parameters it accepts. docs/reference/request-parameters.md shows the table,
and a test compares the two. Each entry names the public documentation that it follows.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from modelgates_server.core.pricing.catalog import CapParameter

OPTIONAL = (
    *("user", "seed", "logit_bias", "verbosity", "top_k", "min_p", "top_a", "repetition_penalty"),
    *("structured_outputs", "cache_control", "trace", "session_id"),
)
"""Parameters that are sent only to providers that accept them. None limits price or privacy."""

_STANDARD = frozenset({"user", "seed", "logit_bias"})
_SAMPLING = frozenset({"top_k", "min_p", "repetition_penalty"})


class Switch(StrEnum):
    """How a provider turns reasoning on and off."""

    THINKING = "thinking.type"
    """`{"thinking": {"type": "enabled"}}`, or `disabled`."""

    ENABLE_THINKING = "enable_thinking"
    """A boolean."""

    TEMPLATE = "chat_template_kwargs"
    """`enable_thinking` (Qwen, GLM) and `thinking` (DeepSeek, Granite) for the chat template."""

    REASONING = "reasoning.enabled"
    """`{"reasoning": {"enabled": true}}`."""


class Budget(StrEnum):
    """How a provider limits reasoning to a number of tokens."""

    THINKING = "thinking.budget_tokens"
    """Required where reasoning is on; at least 1,024 and below the output limit."""

    THINKING_BUDGET = "thinking_budget"
    """Not part of the output limit, which is reduced by the budget when both are sent."""

    GOOGLE = "extra_body.google.thinking_config.thinking_budget"
    """Excludes `reasoning_effort`."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The request parameters of one provider.

    `hosts` are patterns of its host and port, and `price_lists` its names in the price list, which
    tell if the host is unknown. `cap` is the name of the output limit (None: both are understood).
    `efforts` are the accepted values of `reasoning_effort`, in ascending order. `passes` are the
    accepted parameters among `OPTIONAL`; `renames` maps some of them to the provider's names.
    """

    name: str
    title: str
    documentation: str
    hosts: tuple[str, ...] = ()
    price_lists: tuple[str, ...] = ()
    cap: CapParameter | None = None
    efforts: tuple[str, ...] = ()
    switch: Switch | None = None
    budget: Budget | None = None
    passes: frozenset[str] = _STANDARD
    renames: Mapping[str, str] = {}

    @property
    def is_openrouter(self) -> bool:
        """Whether the provider reads OpenRouter's own parameters."""
        return self.name == "openrouter"


COMPATIBLE = Profile(
    name="compatible",
    title="Other hosts: vLLM, SGLang, llama.cpp, LiteLLM",
    # Also https://docs.sglang.io/docs/basic_usage/openai_api_completions and llama.cpp's
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    documentation="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    efforts=("none", "low", "medium", "high"),
    switch=Switch.TEMPLATE,
    passes=_STANDARD | _SAMPLING | {"verbosity", "top_a", "structured_outputs"},
)

_OPENAI_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_COMMON_EFFORTS = ("none", "low", "medium", "high")

PROFILES = (
    Profile(
        name="openrouter",
        title="OpenRouter",
        documentation="https://openrouter.ai/docs/use-cases/reasoning-tokens.md",
        hosts=(r"openrouter\.ai",),
        price_lists=("openrouter",),
        passes=frozenset(OPTIONAL),
    ),
    Profile(
        name="openai",
        title="OpenAI",
        documentation="https://platform.openai.com/docs/api-reference/chat/create",
        hosts=(r"([a-z]+\.)?api\.openai\.com",),
        price_lists=("openai",),
        # Reasoning models reject max_tokens, and every model accepts the other name.
        cap=CapParameter.MAX_COMPLETION_TOKENS,
        efforts=_OPENAI_EFFORTS,
        passes=_STANDARD | {"verbosity"},
    ),
    Profile(
        name="azure",
        title="Azure OpenAI",
        documentation="https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reasoning",
        hosts=(r".+\.openai\.azure\.com", r".+\.cognitiveservices\.azure\.com"),
        price_lists=("azure",),
        cap=CapParameter.MAX_COMPLETION_TOKENS,
        efforts=_OPENAI_EFFORTS,
        passes=_STANDARD | {"verbosity"},
    ),
    Profile(
        name="xai",
        title="xAI",
        documentation="https://docs.x.ai/docs/api-reference",
        hosts=(r"([a-z0-9-]+\.)?api\.x\.ai",),
        price_lists=("x-ai",),
        cap=CapParameter.MAX_COMPLETION_TOKENS,
        efforts=_COMMON_EFFORTS,
    ),
    Profile(
        name="groq",
        title="Groq",
        # Rejects logit_bias, and any parameter that it does not know.
        documentation="https://console.groq.com/docs/openai",
        hosts=(r"api\.groq\.com",),
        price_lists=("groq",),
        cap=CapParameter.MAX_COMPLETION_TOKENS,
        efforts=_COMMON_EFFORTS,
        passes=frozenset({"user", "seed"}),
    ),
    Profile(
        name="cerebras",
        title="Cerebras",
        # Rejects logit_bias.
        documentation="https://inference-docs.cerebras.ai/resources/openai",
        hosts=(r"api\.cerebras\.ai",),
        price_lists=("cerebras",),
        cap=CapParameter.MAX_COMPLETION_TOKENS,
        efforts=_COMMON_EFFORTS,
        passes=frozenset({"user", "seed"}),
    ),
    Profile(
        name="mistral",
        title="Mistral",
        # Rejects every parameter that it does not know.
        documentation="https://docs.mistral.ai/api/endpoint/chat",
        hosts=(r"(api|codestral)\.mistral\.ai",),
        price_lists=("mistral",),
        cap=CapParameter.MAX_TOKENS,
        efforts=("none", "high"),
        passes=frozenset({"seed"}),
        renames={"seed": "random_seed"},
    ),
    Profile(
        name="deepseek",
        title="DeepSeek",
        documentation="https://api-docs.deepseek.com/guides/thinking_mode.md",
        hosts=(r"api\.deepseek\.com",),
        price_lists=("deepseek",),
        cap=CapParameter.MAX_TOKENS,
        efforts=("low", "high", "max"),
        switch=Switch.THINKING,
    ),
    Profile(
        name="zai",
        title="Z.ai and Zhipu",
        documentation="https://docs.z.ai/guides/capabilities/thinking-mode",
        hosts=(r"api\.z\.ai", r"open\.bigmodel\.cn"),
        price_lists=("zai",),
        cap=CapParameter.MAX_TOKENS,
        switch=Switch.THINKING,
    ),
    Profile(
        name="moonshot",
        title="Moonshot",
        documentation="https://platform.moonshot.ai/docs/api/chat",
        hosts=(r"api\.moonshot\.(ai|cn)",),
        price_lists=("moonshotai",),
        switch=Switch.THINKING,
    ),
    Profile(
        name="volcengine",
        title="Volcengine and BytePlus",
        # max_tokens does not limit reasoning, which the hold covers:
        # https://www.volcengine.com/docs/82379/1449737
        documentation="https://www.volcengine.com/docs/82379/1330197",
        hosts=(r"ark\.[a-z0-9-]+\.volces\.com", r"ark\.[a-z0-9-]+\.bytepluses\.com"),
        cap=CapParameter.MAX_COMPLETION_TOKENS,
        efforts=("minimal", "low", "medium", "high"),
        switch=Switch.THINKING,
    ),
    Profile(
        name="dashscope",
        title="Alibaba (Qwen)",
        # Only newer models read max_completion_tokens, which limits reasoning as well:
        # https://help.aliyun.com/zh/model-studio/qwen-api-via-openai-chat-completions
        documentation="https://www.alibabacloud.com/help/en/model-studio/deep-thinking",
        hosts=(r"dashscope(-[a-z]+)?\.aliyuncs\.com",),
        cap=CapParameter.MAX_TOKENS,
        switch=Switch.ENABLE_THINKING,
        budget=Budget.THINKING_BUDGET,
        passes=_STANDARD | {"top_k", "repetition_penalty"},
    ),
    Profile(
        name="siliconflow",
        title="SiliconFlow",
        documentation="https://docs.siliconflow.com/en/api-reference/chat-completions",
        hosts=(r"api\.siliconflow\.(com|cn)",),
        cap=CapParameter.MAX_TOKENS,
        switch=Switch.ENABLE_THINKING,
        budget=Budget.THINKING_BUDGET,
        passes=_STANDARD | {"top_k", "min_p"},
    ),
    Profile(
        name="gemini",
        title="Gemini and Vertex AI",
        # Rejects names that it does not know:
        # https://github.com/Vali-98/ChatterUI/issues/227
        documentation="https://ai.google.dev/gemini-api/docs/openai",
        hosts=(
            r"generativelanguage\.googleapis\.com",
            r"([a-z0-9-]+-)?aiplatform\.googleapis\.com",
        ),
        price_lists=("google",),
        efforts=("none", "minimal", "low", "medium", "high"),
        budget=Budget.GOOGLE,
        passes=frozenset(),
    ),
    Profile(
        name="anthropic",
        title="Anthropic",
        # Ignores reasoning_effort, seed, logit_bias and user.
        documentation="https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk",
        hosts=(r"api\.anthropic\.com",),
        price_lists=("anthropic",),
        switch=Switch.THINKING,
        budget=Budget.THINKING,
    ),
    Profile(
        name="together",
        title="Together",
        documentation="https://docs.together.ai/docs/inference/chat/reasoning",
        hosts=(r"api(-inference)?\.together\.(ai|xyz)",),
        price_lists=("together",),
        cap=CapParameter.MAX_TOKENS,
        efforts=("low", "medium", "high"),
        switch=Switch.REASONING,
        passes=_STANDARD | _SAMPLING,
    ),
    Profile(
        name="fireworks",
        title="Fireworks",
        documentation="https://docs.fireworks.ai/guides/reasoning",
        hosts=(r"api\.fireworks\.ai",),
        price_lists=("fireworks",),
        efforts=_COMMON_EFFORTS,
        passes=_STANDARD | _SAMPLING,
    ),
    Profile(
        name="deepinfra",
        title="DeepInfra",
        documentation="https://docs.deepinfra.com/chat/reasoning",
        hosts=(r"api\.deepinfra\.com",),
        cap=CapParameter.MAX_TOKENS,
        efforts=_COMMON_EFFORTS,
        passes=_STANDARD | _SAMPLING,
    ),
    Profile(
        name="perplexity",
        title="Perplexity",
        documentation="https://docs.perplexity.ai/api-reference/chat-completions-post",
        hosts=(r"api\.perplexity\.ai",),
        cap=CapParameter.MAX_TOKENS,
        efforts=("minimal", "low", "medium", "high"),
        passes=_STANDARD | {"top_k"},
    ),
    Profile(
        name="cohere",
        title="Cohere",
        documentation="https://docs.cohere.com/docs/compatibility-api",
        hosts=(r"api\.cohere\.(ai|com)",),
        price_lists=("cohere",),
        cap=CapParameter.MAX_TOKENS,
        efforts=("none", "high"),
        passes=frozenset({"seed"}),
    ),
    Profile(
        name="ollama",
        title="Ollama",
        # Ignores every parameter that it does not know, max_completion_tokens among them:
        # https://github.com/ollama/ollama/blob/main/openai/openai.go
        documentation="https://docs.ollama.com/api/openai-compatibility",
        hosts=(r"(.+\.)?ollama(\..+)?", r".+:11434"),
        cap=CapParameter.MAX_TOKENS,
        efforts=_COMMON_EFFORTS,
        passes=_STANDARD,
    ),
    Profile(
        name="lmstudio",
        title="LM Studio",
        documentation="https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        hosts=(r".+:1234",),
        cap=CapParameter.MAX_TOKENS,
        efforts=_COMMON_EFFORTS,
        switch=Switch.TEMPLATE,
        passes=_STANDARD | {"top_k", "repetition_penalty"},
        renames={"repetition_penalty": "repeat_penalty"},
    ),
    COMPATIBLE,
)

BY_NAME = {profile.name: profile for profile in PROFILES}


def profile_of(host: str, port: int | None, price_list: str | None) -> Profile:
    """Returns the profile of a host, otherwise that of a price list, otherwise `COMPATIBLE`."""
    places = (host, f"{host}:{port}")
    for profile in PROFILES:
        if any(re.fullmatch(pattern, place) for pattern in profile.hosts for place in places):
            return profile
    listed = (profile for profile in PROFILES if price_list in profile.price_lists)
    return next(listed, COMPATIBLE)
