"""The tables of modelgates.toml as they are written, and the message for a value that is invalid.

A member is one line here: its type, its bounds, its default and an example of how to write it.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import OUTPUT_MAX_TOKENS
from modelgates_server.core.pricing.catalog import CapParameter
from modelgates_server.core.pricing.prices import BASIS_POINTS, MARKUP_MAX_BP
from modelgates_server.core.pricing.usage import CacheTokens, Meter, ReasoningTokens

Markup = Annotated[int, Field(ge=-BASIS_POINTS, le=MARKUP_MAX_BP)]
Tokens = Annotated[int, Field(ge=1, le=OUTPUT_MAX_TOKENS)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Word = Annotated[str, Field(min_length=1, max_length=255)]
Rate = Annotated[str | None, Field(examples=['"0.00000015"'])]
RawTable = dict[str, Any]

# TOML has no enumerations and no tuples, so these three are made of text and of lists.
Cap = Annotated[CapParameter, Strict(strict=False)]
Cache = Annotated[CacheTokens, Strict(strict=False)]
Reasoning = Annotated[ReasoningTokens, Strict(strict=False)]

_BARE_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Table(BaseModel):
    """A table with no other members than these, each of exactly its type: `"5"` is not 5."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True
    )


class ProviderTable(Table):
    """`[providers.NAME]`. What is left out is as `providers.http.ProviderSettings` has it."""

    base_url: str = Field(examples=['"https://api.openai.com/v1"'])
    api_key_env: Word | None = Field(default=None, examples=['"OPENAI_API_KEY"'])
    api_key_header: Word | None = Field(default=None, examples=['"api-key"'])
    headers: dict[str, str] = Field(default={}, examples=['{ "X-Team" = "search" }'])
    price_list: Word | None = Field(default=None, examples=['"openai"'])
    cap_parameter: Cap = Field(
        default=CapParameter.MAX_TOKENS, examples=['"max_completion_tokens"']
    )
    default_output_tokens: Tokens | None = Field(default=None, examples=["4096"])
    cache_tokens: Cache | None = Field(default=None, examples=['"beside"'])
    reasoning_tokens: Reasoning | None = Field(default=None, examples=['"in_total"'])
    trust_zero_usage: bool = Field(default=False, examples=["true"])
    aliases: tuple[Word, ...] = Field(
        default=(), strict=False, examples=['["azure", "Microsoft Azure"]']
    )
    zdr: bool = Field(default=False, examples=["true"])
    data_collection: Literal["allow", "deny"] = Field(default="allow", examples=['"deny"'])
    connect_timeout_s: Seconds | None = Field(default=None, examples=["5"])
    first_byte_timeout_s: Seconds | None = Field(default=None, examples=["600"])
    idle_timeout_s: Seconds | None = Field(default=None, examples=["300"])
    total_timeout_s: Seconds | None = Field(default=None, examples=["1800"])


class RateTable(Table):
    """Dollars per token or request, as text; members are named as the meters are."""

    input: Rate = None
    cache_read: Rate = None
    cache_write: Rate = None
    cache_write_1h: Rate = None
    input_audio: Rate = None
    input_image: Rate = None
    output: Rate = None
    reasoning: Rate = None
    output_audio: Rate = None
    output_image: Rate = None
    request: Rate = None

    def given(self) -> dict[Meter, str]:
        """The rates that are written."""
        texts = {meter: getattr(self, meter) for meter in Meter}
        return {meter: text for meter, text in texts.items() if text is not None}


class TierTable(RateTable):
    """What is different for prompts of more than `above` tokens."""

    above: Tokens = Field(examples=["200000"])


class ServiceTierTable(RateTable):
    """`[models."ID".prices.service_tier.NAME]`: what is different at a provider's service tier."""

    tiers: tuple[TierTable, ...] = Field(
        default=(), strict=False, examples=['[{ above = 200000, input = "0.0000003" }]']
    )


class PriceTable(ServiceTierTable):
    """`[[models."ID".prices]]`: one dated price; without `from` it has no start date."""

    since: AwareDatetime | None = Field(
        default=None, alias="from", examples=["2026-12-01T00:00:00Z"]
    )
    service_tier: dict[str, ServiceTierTable] = Field(
        default={}, examples=['{ flex = { input = "0.000000075", output = "0.0000003" } }']
    )


class ModelTable(Table):
    """`[models."ID"]`."""

    provider: Word = Field(examples=['"openai"'])
    upstream_model: Word | None = Field(default=None, examples=['"gpt-4o-mini"'])
    kind: Literal["chat", "embeddings"] = Field(default="chat", examples=['"chat"'])
    name: Word | None = Field(default=None, examples=['"GPT-4o mini"'])
    description: str = Field(default="", examples=['"Small and fast."'])
    context_length: Tokens | None = Field(default=None, examples=["128000"])
    max_output_tokens: Tokens | None = Field(default=None, examples=["16384"])
    default_output_tokens: Tokens | None = Field(default=None, examples=["4096"])
    media_tokens: Tokens | None = Field(default=None, examples=["1100"])
    input_modalities: tuple[Literal["text", "image", "audio", "video", "file"], ...] = Field(
        default=("text",), min_length=1, strict=False, examples=['["text", "image"]']
    )
    output_modalities: tuple[Literal["text", "image", "audio", "embeddings"], ...] | None = Field(
        default=None, min_length=1, strict=False, examples=['["text"]']
    )
    parameters: tuple[Word, ...] | None = Field(
        default=None, strict=False, examples=['["tools", "temperature"]']
    )
    markup_bp: Markup | None = Field(default=None, examples=["500"])
    price_from: Word | None = Field(default=None, examples=['"openai/gpt-4o"'])
    prices: tuple[PriceTable, ...] = Field(
        default=(), strict=False, examples=['[{ input = "0.00000015", output = "0.0000006" }]']
    )


class AccountTable(Table):
    """`[accounts."user_…"]`."""

    markup_bp: Markup = Field(examples=["500"])


class FileTable(Table):
    """The whole file; its tables are read one by one, so that each one's problems are reported."""

    markup_bp: Markup = Field(default=0, examples=["500"])
    sandbox: bool | None = Field(default=None, examples=["true"])
    providers: dict[str, RawTable] = {}
    models: dict[str, RawTable] = {}
    accounts: dict[str, RawTable] = {}


_PROBLEMS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "datetime_type": "must be a time in UTC",
    "timezone_aware": "must be a time in UTC, with its time zone",
    "greater_than": "must be more than {gt:.0f}",
    "greater_than_equal": "must be at least {ge:.0f}",
    "less_than_equal": "must be at most {le:.0f}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must not be empty",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
}
"""By pydantic's type of error."""

_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
    datetime: "a time",
    date: "a day",
    time: "a time of day",
}
T = TypeVar("T", bound=Table)


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


def read_table(path: str, members: Mapping[str, Any], shape: type[T]) -> T:
    """A table of the file; raises `InvalidInput` that names the member and says what to write.

    `path` is how TOML writes the table's name.
    """
    try:
        return shape.model_validate(members)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # A misspelt name comes first: where it is a required one, that one is missing as well.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    raise InvalidInput(_sentence(path, shape, problems[0]))


def dotted(path: str, name: str) -> str:
    """How TOML writes the name of a table or member within another."""
    name = name if _BARE_NAME.fullmatch(name) else f'"{name}"'
    return f"{path}.{name}" if path else name


def fields(table: type[Table]) -> dict[str, FieldInfo]:
    """The members of a table, by the names that they have in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def example(table: type[Table], name: str) -> str:
    """What to write, for the end of a message."""
    [text] = fields(table)[name].examples or [None]
    return f"write, for example, {name} = {text}" if text else "see docs/configuration.md"


def _sentence(path: str, shape: type[Table], problem: ErrorDetails) -> str:
    """What is wrong, for someone who writes TOML. A value is not repeated: it may be a key."""
    for part in problem["loc"]:
        path = f"{path}[{part}]" if isinstance(part, int) else dotted(path, part)
    table, name = _member(shape, problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = fields(table)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return f"{path} is not known: {hint}"
    kind = type(problem["input"])
    if name == "prices" and kind is dict:
        return f"{path} is one table of several: write the standard rates in [[{path}]] above it"
    problem_text = _PROBLEMS[problem["type"]].format(**problem.get("ctx", {}))
    if problem["type"].endswith("_type"):
        problem_text += f", not {_KINDS[kind]}"
    if name == "prices" and kind is str:
        return (
            f"{path} {problem_text}: for the price of another model, {example(table, 'price_from')}"
        )
    return f"{path} {problem_text}: {example(table, name)}"


def _member(shape: type[Table], location: tuple[int | str, ...]) -> tuple[type[Table], str]:
    """The last name of a location that is not the operator's own, and the table that has it."""
    table, name = shape, ""
    inner: Any = shape
    for part in location:
        if isinstance(part, int) or get_origin(inner) is dict:
            inner = _table_in(inner)
        elif (next_table := _table_in(inner)) is not None:
            table, name = next_table, part
            field = fields(table).get(name)
            inner = None if field is None else field.annotation
    return table, name


def _table_in(annotation: Any) -> type[Table] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, Table) else None
    tables = map(_table_in, get_args(annotation))
    return next((table for table in tables if table is not None), None)
