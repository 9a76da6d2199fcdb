"""An inference request, as far as money and routing are concerned, in no wire format.

A dialect parses a client's request into it. The client's JSON is carried along for dialects only.
"""

from collections.abc import Mapping

import msgspec

from modelgates_server.core.metering.preferences import Preferences
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import Bounds
from modelgates_server.core.pricing.usage import Meter

MODEL_MAX_CHARS = 255
CHOICES_MAX = 128
OUTPUT_MAX_TOKENS = 10**9

TEXT = "text"
OTHER = "other"
"""The modality of parts of unknown type, which are never sent to a model that reads only text."""

_REQUEST_TOKENS = 768
_TOOLS_TOKENS = 1024
_MESSAGE_TOKENS = 16
"""Upper bounds of the tokens that providers put before a request (about 700 for grok-4), add to a
list of tools and put around a message."""


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request for inference.

    `models` are the models that may serve it, the preferred one first. `has_output` is false for
    embeddings, which have no output tokens. `choices` is the number of completions requested, and
    `cap_tokens` the client's limit for the output of each.

    `text_bytes` is an upper bound of the text. It consists of `texts` separate texts, each with a
    full context for itself. `escape_bytes` is the most that a template adds to the JSON of tools
    and tool calls. `echo_bytes` is the part of the prompts that the response repeats.

    `media` counts the parts that are not text, and `sounds` those of them that are audio. With
    `has_files`, some of these are not a single image or recording. `parts` maps the type of
    each part that is not text to the modality that a model must read. `returned_parts` are the
    types that a model's own earlier response may contain. `unlike_text` are the classes in the
    request that are not charged like text.

    `parameters` maps each parameter that the client sets for the model to the name that models
    list; it is filled only if `preferences` require it. `asks_for_caches` says that part of the
    prompt is to be written to a cache; it is determined only if `preferences` bound the price of
    the prompt. `service_tier` is the client's word; its meaning depends on the price. With
    `excludes_reasoning`, the client wants no reasoning in the response, although it pays for it;
    with `asks_for_usage`, it wants the usage of a stream in a separate chunk.

    `media_tokens_max` is an upper bound of the tokens of all `media` by the published rules of the
    provider; None if there are no rules. `omitted` names the parts that a documented rule leaves
    out, such as tools without a price. `headers` are sent to an endpoint of the same dialect. With
    `requires_cap`, the provider rejects a request without an output limit.

    `wire` is the client's JSON object, each value as it was sent. Only the dialect that parsed it
    reads it, never the core.
    """

    api: Api
    models: tuple[str, ...]
    preferences: Preferences
    stream: bool
    has_output: bool
    choices: int
    cap_tokens: int | None
    text_bytes: int
    escape_bytes: int
    echo_bytes: int
    texts: int
    messages: int
    media: int
    sounds: int
    parts: Mapping[str, str]
    returned_parts: frozenset[str]
    has_files: bool
    has_tools: bool
    unlike_text: frozenset[Meter]
    parameters: Mapping[str, str]
    asks_for_caches: bool
    service_tier: str | None
    user: str | None
    session_id: str | None
    wire: dict[str, msgspec.Raw]
    excludes_reasoning: bool = False
    asks_for_usage: bool = False
    media_tokens_max: int | None = None
    omitted: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    requires_cap: bool = False

    def input_tokens(self, *, context_tokens: int, media_tokens: int | None) -> int:
        """Returns a true upper bound of the tokens that the model can read.

        A byte-level tokenizer makes at most one token of a byte, templates add a few tokens to each
        message and may escape tools, and no text is longer than the context. An image or a
        recording may fill the context, unless the model takes at most `media_tokens` for one, or
        the provider publishes how it counts. A file may always fill the context.
        """
        most = self.texts * context_tokens
        known = [] if media_tokens is None else [self.media * media_tokens]
        if self.media_tokens_max is not None:
            known.append(self.media_tokens_max)
        if self.has_files or (self.media and not known):
            return most
        tokens = self.text_bytes + self.escape_bytes + _REQUEST_TOKENS
        tokens += _MESSAGE_TOKENS * (self.messages + self.texts)
        if self.has_tools:
            tokens += _TOOLS_TOKENS
        return min(tokens + min(known, default=0), most)

    def bounds(
        self, *, context_tokens: int, media_tokens: int | None, output_tokens: int
    ) -> Bounds:
        """Returns the most that this request can use with `output_tokens` for each choice."""
        return Bounds(
            input_tokens=self.input_tokens(
                context_tokens=context_tokens, media_tokens=media_tokens
            ),
            output_tokens=output_tokens * self.choices,
            media=bool(self.media),
        )
