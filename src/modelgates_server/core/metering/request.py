"""What an inference request wants, as far as money and routing are concerned, in no wire format.

A dialect reads it from a client's request; the request itself goes along for the dialects alone.
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
"""The modality of an unknown kind of part; a model that reads only text is not sent one."""

_REQUEST_TOKENS = 768
_TOOLS_TOKENS = 1024
_MESSAGE_TOKENS = 16
"""More than providers put before a request (grok-4's own takes about 700), add to a list of tools
and put around a message."""


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request for inference.

    `models` are those it may go to, in its order. `has_output` is false for embeddings: they are
    read, and nothing is written. `choices` are the answers it asks for, `cap_tokens` is its own
    limit for the output of each.

    `text_bytes` bounds its text from above; there are `texts` of them, each read in a context of
    its own. `escape_bytes` is what a template may add to the JSON of its tools and calls,
    `echo_bytes` what an answer repeats of the prompts. `media` counts parts that are not text,
    `sounds` those of them to be heard; with `has_files` some are neither one image nor one
    recording. `parts` are the types of what is not text, with the modality a model must read for
    each; `returned_parts` are those that a model's own earlier answer may have had. `unlike_text`
    are the classes it asks for that are not charged like text.

    `parameters` are those it sets for the model, by the client's names, each with the name that
    models list it under; they are read only where `preferences` require them. `asks_for_caches`:
    some of the prompt is to be written to a cache, which is looked for only where `preferences`
    bound the price of the prompt. `service_tier` is the client's word; only a price says what it
    means.

    `wire` is the client's JSON object, value by value as it was sent. It belongs to the dialect
    that read it; nothing in the core looks into it.
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

    def input_tokens(self, *, context_tokens: int, media_tokens: int | None) -> int:
        """A true upper bound of what the model can read.

        A byte-level tokenizer makes at most one token of a byte, templates add a few to each
        message and may escape tools, and no text is longer than the context. An image or a
        recording may be as large as the context, unless it is known that one takes at most
        `media_tokens`; a file always may.
        """
        most = self.texts * context_tokens
        if self.has_files or (self.media and media_tokens is None):
            return most
        tokens = self.text_bytes + self.escape_bytes + _REQUEST_TOKENS
        tokens += _MESSAGE_TOKENS * (self.messages + self.texts)
        if self.has_tools:
            tokens += _TOOLS_TOKENS
        return min(tokens + self.media * (media_tokens or 0), most)

    def bounds(
        self, *, context_tokens: int, media_tokens: int | None, output_tokens: int
    ) -> Bounds:
        """The most this request can use, if each choice puts out at most so many tokens."""
        return Bounds(
            input_tokens=self.input_tokens(
                context_tokens=context_tokens, media_tokens=media_tokens
            ),
            output_tokens=output_tokens * self.choices,
            media=bool(self.media),
        )
