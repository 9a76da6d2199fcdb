import re
import tomllib
from pathlib import Path

import pytest

from modelgates_server.bootstrap import configuration_file as file
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.usage import Meter

ROOT = Path(__file__).parents[2]
TABLES = (
    file.FileTable,
    file.ProviderTable,
    file.ModelTable,
    file.PriceTable,
    file.TierTable,
    file.ServiceTierTable,
    file.AccountTable,
)
MEMBERS = sorted(
    {(table, name) for table in TABLES for name in file.fields(table)},
    key=str,
)
NESTED = {"providers", "models", "accounts"}


def required_fields(table: type[file.Table]) -> dict[str, object]:
    """The required fields of a table, with their examples as values."""
    required = [name for name, field in file.fields(table).items() if field.is_required()]
    return tomllib.loads("\n".join(example(table, name) for name in required))


def example(table: type[file.Table], name: str) -> str:
    """The line of TOML that a message gives as an example."""
    return file.example(table, name).removeprefix("Example: `").removesuffix("`.")


@pytest.mark.parametrize(("table", "name"), MEMBERS)
def test_example_in_a_message_is_valid(table: type[file.Table], name: str) -> None:
    if name in NESTED:
        return
    given = tomllib.loads(example(table, name))
    read = file.read_table("", {**required_fields(table), **given}, table)
    assert isinstance(read, table)


UNUSUAL = {*Meter, "output_modalities"} - {"input", "output", "cache_read", "request"}
"""Fields that the example file leaves out, because most models have no such rate."""


@pytest.mark.parametrize(("table", "name"), MEMBERS)
def test_every_field_is_documented_and_in_the_example_file(
    table: type[file.Table], name: str
) -> None:
    docs = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = (ROOT / "modelgates.example.toml").read_text(encoding="utf-8")
    assert (f"`[{name}." if name in NESTED else f"`{name}`") in docs
    if name in NESTED:
        assert f"[{name}." in example
    elif name not in UNUSUAL:
        assert re.search(rf"\b{name}( =|\]\]|\.)", example), table


def test_documented_fields_all_exist() -> None:
    docs = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)`", docs, re.MULTILINE))
    assert documented - {"repair", *Repair} == {name for _, name in MEMBERS} - NESTED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "input = 0.00000015",
            "`x.input` must be text in quotes, not a number. Example: `input = ",
        ),
        ("inptu = '1'", "`x.inptu` is not a known field. Did you mean `input`?"),
        ("zzz = '1'", "`x.zzz` is not a known field. Known fields are `input`, `cache_read`, "),
        (
            "from = 2026-12-01",
            "`x.from` must be a time in UTC, not a day. Example: `from = 2026",
        ),
        (
            "from = 2026-12-01T00:00:00",
            "`x.from` must be a time in UTC, with its time zone, not `2026-12-01T00:00:00`. Exam",
        ),
        ("tiers = [{ input = '1' }]", "`x.tiers[0].above` is missing. Example: `above = 2"),
        (
            "tiers = [{ above = 0 }]",
            "`x.tiers[0].above` must be at least 1, not `0`. Example: `above = 2000",
        ),
        (
            "tiers = [{ above = 1, zzz = 1 }]",
            "`x.tiers[0].zzz` is not a known field. Known fields are `input`, ",
        ),
    ],
)
def test_invalid_price_field_is_named_by_its_path(text: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as error:
        file.read_table("x", tomllib.loads(text), file.PriceTable)
    assert str(error.value).startswith(expected)


def test_price_of_another_model_in_prices_is_rejected_with_price_from() -> None:
    members = tomllib.loads('provider = "x"\nprices = "openai/gpt-4o"')
    with pytest.raises(InvalidInput, match=r'set `price_from`\. Example: `price_from = "openai'):
        file.read_table("x", members, file.ModelTable)


@pytest.mark.parametrize("number", ["0x" + "F" * 5000, "9" * 5000])
def test_number_with_thousands_of_digits_gives_a_short_error(tmp_path: Path, number: str) -> None:
    path = tmp_path / "modelgates.toml"
    path.write_text(f"markup_bp = {number}\n")
    with pytest.raises(InvalidInput) as error:
        file.read_file(path)
    assert len(str(error.value)) < 250
