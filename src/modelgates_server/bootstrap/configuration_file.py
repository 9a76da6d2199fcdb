"""The tables of modelgates.toml as they are written, and what is said where one does not fit."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import OUTPUT_MAX_TOKENS
from modelgates_server.core.pricing.catalog import CapParameter
from modelgates_server.core.pricing.prices import BASIS_POINTS, MARKUP_MAX_BP
from modelgates_server.core.pricing.usage import CacheTokens, Meter, ReasoningTokens

Markup = Annotated[int, msgspec.Meta(ge=-BASIS_POINTS, le=MARKUP_MAX_BP)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=OUTPUT_MAX_TOKENS)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Kind = Literal["chat", "embeddings"]
DataCollection = Literal["allow", "deny"]
InputModality = Literal["text", "image", "audio", "video", "file"]
OutputModality = Literal["text", "image", "audio", "embeddings"]
InputModalities = Annotated[tuple[InputModality, ...], msgspec.Meta(min_length=1)]
OutputModalities = Annotated[tuple[OutputModality, ...], msgspec.Meta(min_length=1)]
Table = dict[str, Any]


class ProviderTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[providers.NAME]`. What is left out is as `providers.openai.OpenAiSettings` has it."""

    base_url: str
    api_key_env: Word | None = None
    api_key_header: Word | None = None
    headers: dict[str, str] = {}
    prices: Word | None = None
    cap_parameter: CapParameter = CapParameter.MAX_TOKENS
    default_output_tokens: Tokens | None = None
    cache_tokens: CacheTokens | None = None
    reasoning_tokens: ReasoningTokens | None = None
    trust_zero_usage: bool = False
    aliases: tuple[Word, ...] = ()
    zdr: bool = False
    data_collection: DataCollection = "allow"
    connect_timeout_s: Seconds | None = None
    first_byte_timeout_s: Seconds | None = None
    idle_timeout_s: Seconds | None = None
    total_timeout_s: Seconds | None = None


class RateTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars per token or request, as text; members are named as the meters are."""

    input: str | None = None
    cache_read: str | None = None
    cache_write: str | None = None
    cache_write_1h: str | None = None
    input_audio: str | None = None
    input_image: str | None = None
    output: str | None = None
    reasoning: str | None = None
    output_audio: str | None = None
    output_image: str | None = None
    request: str | None = None

    def given(self) -> dict[Meter, str]:
        """The rates that are written."""
        texts = {meter: getattr(self, meter) for meter in Meter}
        return {meter: text for meter, text in texts.items() if text is not None}


class TierTable(RateTable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is different for prompts of more than `above` tokens."""

    above: Tokens


class ServiceTierTable(RateTable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models."ID".prices.service_tier.NAME]`: what is different at a provider's service tier."""

    tiers: tuple[TierTable, ...] = ()


class PriceTable(RateTable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[models."ID".prices]]`: one dated price; without `from` it has no start date.

    The tables of `service_tier` are read one by one, so that a message can name theirs.
    """

    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = msgspec.field(
        name="from", default=None
    )
    tiers: tuple[TierTable, ...] = ()
    service_tier: dict[str, Table] = {}


class ModelTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models."ID"]`."""

    provider: Word
    upstream_model: Word | None = None
    kind: Kind = "chat"
    name: Word | None = None
    description: str = ""
    context_length: Tokens | None = None
    max_output_tokens: Tokens | None = None
    default_output_tokens: Tokens | None = None
    media_tokens: Tokens | None = None
    input_modalities: InputModalities = ("text",)
    output_modalities: OutputModalities | None = None
    parameters: tuple[Word, ...] | None = None
    markup_bp: Markup | None = None
    price: Word | None = None
    prices: tuple[PriceTable, ...] = ()


class AccountTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[accounts."user_…"]`."""

    markup_bp: Markup


class FileTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; the tables in it are read one by one, so that each can have its say."""

    markup_bp: Markup = 0
    sandbox: bool | None = None
    providers: dict[str, Table] = {}
    models: dict[str, Table] = {}
    accounts: dict[str, Table] = {}


EXAMPLES = {
    "base_url": '"https://api.openai.com/v1"',
    "api_key_env": '"OPENAI_API_KEY"',
    "api_key_header": '"api-key"',
    "headers": '{ "X-Team" = "search" }',
    "prices": '"openai"',
    "cap_parameter": '"max_completion_tokens"',
    "default_output_tokens": "4096",
    "cache_tokens": '"beside"',
    "reasoning_tokens": '"in_total"',
    "trust_zero_usage": "true",
    "aliases": '["azure", "Microsoft Azure"]',
    "zdr": "true",
    "data_collection": '"deny"',
    "connect_timeout_s": "5",
    "first_byte_timeout_s": "600",
    "idle_timeout_s": "300",
    "total_timeout_s": "1800",
    "provider": '"openai"',
    "upstream_model": '"gpt-4o-mini"',
    "kind": '"chat"',
    "name": '"GPT-4o mini"',
    "description": '"Small and fast."',
    "context_length": "128000",
    "max_output_tokens": "16384",
    "media_tokens": "1100",
    "input_modalities": '["text", "image"]',
    "output_modalities": '["text"]',
    "parameters": '["tools", "temperature"]',
    "markup_bp": "500",
    "sandbox": "true",
    "price": '"openai/gpt-4o"',
    "from": "2026-12-01T00:00:00Z",
    "tiers": '[{ above = 200000, input = "0.0000003" }]',
    "above": "200000",
    "service_tier": '{ flex = { input = "0.000000075", output = "0.0000003" } }',
    **{str(meter): '"0.00000015"' for meter in Meter},
}
"""How each member may be written; a test reads them all."""

_OPTIONS: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "cap_parameter": tuple(CapParameter),
    "cache_tokens": tuple(CacheTokens),
    "data_collection": get_args(DataCollection),
    "reasoning_tokens": tuple(ReasoningTokens),
    "input_modalities": get_args(InputModality),
    "output_modalities": get_args(OutputModality),
}
_NESTED = {"prices": PriceTable, "tiers": TierTable, "service_tier": ServiceTierTable}
_PLACE = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_TYPE = re.compile(r"`(\w+)( \| null)?`")
_PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "datetime": "a time in UTC",
    "date": "a day",
}
T = TypeVar("T", bound=msgspec.Struct)


def read_file(path: Path) -> FileTable:
    """The file's outer table; raises `InvalidInput` where it cannot be read or is no TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"it is not UTF-8 text: {error.reason} at byte {error.start}") from None
    try:
        members = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"it is not TOML: {error}") from None
    return read_table("", members, FileTable)


def read_table(place: str, members: Mapping[str, Any], shape: type[T]) -> T:
    """A table of the file; raises `InvalidInput` that names the member and says what to write."""
    try:
        return msgspec.convert(members, shape)
    except msgspec.ValidationError as error:
        raise InvalidInput(_told(str(error), place, shape)) from None


def _told(message: str, place: str, shape: type[msgspec.Struct]) -> str:
    """What msgspec says, for someone who writes TOML."""
    if found := _PLACE.search(message):
        message, place = message[: found.start()], f"{place}{found.group(1)}".lstrip(".")
    names = re.findall(r"\w+", place.rpartition('"')[2])
    if "field `" in message:
        member = message.split("`")[1]
        where = f"{place}.{member}" if place else member
        if "missing" in message:
            return f"{where} is missing: {_example(member)}"
        table: Any = next((_NESTED[name] for name in reversed(names) if name in _NESTED), shape)
        known = [field.encode_name for field in msgspec.structs.fields(table)]
        near = difflib.get_close_matches(member, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return f"{where} is not known: {hint}"
    name = next((name for name in reversed(names) if name in EXAMPLES), "")
    if message.startswith("Invalid enum"):
        return f"{place} must be one of {', '.join(_OPTIONS[name])}"
    if shape is ModelTable and name == "prices" and "got `object`" in message:
        return f"{place} is one table of several: write the standard rates in [[{place}]] above it"
    expected = _TYPE.sub(lambda found: _PLAIN.get(found[1], found[1]), message)
    if shape is ModelTable and name == "prices":
        name = "price"
    return f"{place} does not fit: {expected[:1].lower()}{expected[1:]}; {_example(name)}"


def _example(name: str) -> str:
    if name not in EXAMPLES:
        return "see docs/configuration.md"
    return f"write, for example, {name} = {EXAMPLES[name]}"
