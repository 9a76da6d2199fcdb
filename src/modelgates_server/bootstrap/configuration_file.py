"""The tables of modelgates.toml, and the messages about invalid fields in them.

Each field is one line here: its type, its bounds, its default and an example.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
)
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

# TOML has no enumerations, so these three are read from text.
Cap = Annotated[CapParameter, Strict(strict=False)]
Cache = Annotated[CacheTokens, Strict(strict=False)]
Reasoning = Annotated[ReasoningTokens, Strict(strict=False)]

DialectName = Literal["openai-chat", "openai-responses", "anthropic"]
Dialects = Annotated[
    tuple[DialectName, ...],
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
    Strict(strict=False),
    Field(min_length=1),
]
"""One name, or a list of them."""

_BARE_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Table(BaseModel):
    """A table that accepts only its own fields, each of exactly its type: `"5"` is not 5."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True
    )


class ProviderTable(Table):
    """`[providers.NAME]`. The defaults of timeouts are in `providers.http.ProviderSettings`."""

    base_url: str = Field(examples=['"https://api.openai.com/v1"'])
    dialect: Dialects = Field(default=("openai-chat",), examples=['"anthropic"'])
    api_key_env: Word | None = Field(default=None, examples=['"OPENAI_API_KEY"'])
    api_key_header: Word | None = Field(default=None, examples=['"api-key"'])
    headers: dict[str, str] = Field(default={}, examples=['{ "X-Team" = "search" }'])
    price_list: Word | None = Field(default=None, examples=['"openai"'])
    cap_parameter: Cap | None = Field(default=None, examples=['"max_completion_tokens"'])
    stream_options: bool = Field(default=True, examples=["false"])
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
    """Dollars per token or request, as text. Fields have the names of the meters."""

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
        """Returns the rates that the table sets."""
        texts = {meter: getattr(self, meter) for meter in Meter}
        return {meter: text for meter, text in texts.items() if text is not None}


class TierTable(RateTable):
    """The rates that differ for prompts of more than `above` tokens."""

    above: Tokens = Field(examples=["200000"])


class ServiceTierTable(RateTable):
    """`[models."ID".prices.service_tier.NAME]`: the rates that differ at a service tier."""

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
    """The whole file. Its tables are read one by one, so that all of them report their problems."""

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
_WITH_VALUE = {
    "finite_number",
    "timezone_aware",
    "greater_than",
    "greater_than_equal",
    "less_than_equal",
    "enum",
    "literal_error",
}
"""The types of error whose message repeats the value: a number, a time or a choice, never a key."""
_VALUE_MAX_CHARS = 80
_SHOWN_MAX = 10**_VALUE_MAX_CHARS

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
    """Returns the outer table of a file; raises `InvalidInput` if it is not readable TOML."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"The file cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"The file is not UTF-8 text: {error.reason} at byte {error.start}."
        ) from None
    try:
        members = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"The file is not valid TOML: {error}.") from None
    except ValueError:
        raise InvalidInput("The file has a number with too many digits. Write fewer.") from None
    return read_table("", members, FileTable)


def read_table(path: str, members: Mapping[str, Any], shape: type[T]) -> T:
    """Returns a table of the file; raises `InvalidInput`, which names the field and its remedy.

    `path` is the name of the table in TOML.
    """
    try:
        return shape.model_validate(members)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # Misspelled names come first: a required field that is misspelled is also reported as missing.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    raise InvalidInput(_sentence(path, shape, problems[0]))


def dotted(path: str, name: str) -> str:
    """Returns the name that a table or field inside another table has in TOML."""
    name = name if _BARE_NAME.fullmatch(name) else f'"{name}"'
    return f"{path}.{name}" if path else name


def fields(table: type[Table]) -> dict[str, FieldInfo]:
    """Returns the fields of a table, by their names in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def example(table: type[Table], name: str) -> str:
    """Returns an example of a field, as the last sentence of a message."""
    [text] = fields(table)[name].examples or [None]
    return f"Example: `{name} = {text}`." if text else "See docs/configuration.md."


def _sentence(path: str, shape: type[Table], problem: ErrorDetails) -> str:
    """Returns a message about a field for the author of the file.

    It repeats the value only if that cannot be a key.
    """
    for part in problem["loc"]:
        path = f"{path}[{part}]" if isinstance(part, int) else dotted(path, part)
    table, name = _field(shape, problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = fields(table)
        near = difflib.get_close_matches(name, known, n=1)
        names = ", ".join(f"`{each}`" for each in known)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known fields are {names}."
        return f"`{path}` is not a known field. {hint}"
    value = problem["input"]
    kind = type(value)
    if name == "prices" and kind is dict:
        return (
            f"`{path}` must be a list of tables, not a table. "
            f"Write the standard rates in `[[{path}]]` above it."
        )
    rule = _PROBLEMS[problem["type"]].format(**problem.get("ctx", {})).replace("'", "`")
    if problem["type"] in _WITH_VALUE:
        rule += f", not `{_shown(value)}`"
    elif problem["type"].endswith("_type"):
        rule += f", not {_KINDS[kind]}"
    if name == "prices" and kind is str:
        remedy = (
            f"To use the price of another model, set `price_from`. {example(table, 'price_from')}"
        )
    else:
        remedy = example(table, name)
    return f"`{path}` {rule}. {remedy}"


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) >= _SHOWN_MAX:
        return f"{value:#x}"[:_VALUE_MAX_CHARS]  # Python rejects its conversion to decimal
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return (text if text.isprintable() else repr(text))[:_VALUE_MAX_CHARS]


def _field(shape: type[Table], location: tuple[int | str, ...]) -> tuple[type[Table], str]:
    """Returns the last name in a location that the operator did not choose, and its table."""
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
