import re
import tomllib
from pathlib import Path

import pytest

from modelgates_server.bootstrap import configuration_file as file
from modelgates_server.core.errors import InvalidInput
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


def members_of(table: type[file.Table]) -> dict[str, object]:
    """What a table needs."""
    needed = [name for name, field in file.fields(table).items() if field.is_required()]
    return tomllib.loads("\n".join(example(table, name) for name in needed))


def example(table: type[file.Table], name: str) -> str:
    """The line that a message says to write."""
    return file.example(table, name).removeprefix("write, for example, ")


@pytest.mark.parametrize(("table", "name"), MEMBERS)
def test_what_a_message_says_to_write_is_accepted(table: type[file.Table], name: str) -> None:
    if name in NESTED:
        return
    given = tomllib.loads(example(table, name))
    read = file.read_table("", {**members_of(table), **given}, table)
    assert isinstance(read, table)


UNUSUAL = {*Meter, "output_modalities"} - {"input", "output", "cache_read", "request"}
"""Members that the example leaves out: most models have no such rate."""


@pytest.mark.parametrize(("table", "name"), MEMBERS)
def test_every_member_is_documented_and_in_the_example(table: type[file.Table], name: str) -> None:
    docs = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = (ROOT / "modelgates.example.toml").read_text(encoding="utf-8")
    assert (f"`[{name}." if name in NESTED else f"`{name}`") in docs
    if name in NESTED:
        assert f"[{name}." in example
    elif name not in UNUSUAL:
        assert re.search(rf"\b{name}( =|\]\]|\.)", example), table


def test_no_member_is_documented_that_does_not_exist() -> None:
    docs = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)`", docs, re.MULTILINE))
    assert documented == {name for _, name in MEMBERS} - NESTED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "input = 0.00000015",
            "x.input must be text in quotes, not a number: write, for example, input = ",
        ),
        ("inptu = '1'", "x.inptu is not known: did you mean input?"),
        ("zzz = '1'", "x.zzz is not known: there are input, cache_read, "),
        (
            "from = 2026-12-01",
            "x.from must be a time in UTC, not a day: write, for example, from = 2026",
        ),
        ("from = 2026-12-01T00:00:00", "x.from must be a time in UTC, with its time zone: write, "),
        ("tiers = [{ input = '1' }]", "x.tiers[0].above is missing: write, for example, above = 2"),
        (
            "tiers = [{ above = 0 }]",
            "x.tiers[0].above must be at least 1: write, for example, above = 2000",
        ),
        ("tiers = [{ above = 1, zzz = 1 }]", "x.tiers[0].zzz is not known: there are input, "),
    ],
)
def test_a_price_s_mistake_is_told_by_its_place(text: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        file.read_table("x", tomllib.loads(text), file.PriceTable)
    assert str(refusal.value).startswith(expected)


def test_a_price_in_the_wrong_form_is_told_how_to_name_another_model_s() -> None:
    members = tomllib.loads('provider = "x"\nprices = "openai/gpt-4o"')
    with pytest.raises(InvalidInput, match='write, for example, price_from = "openai/gpt-4o"'):
        file.read_table("x", members, file.ModelTable)
