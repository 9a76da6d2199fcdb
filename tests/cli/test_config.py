import re
from pathlib import Path

import pytest

from tests.cli.console import Console
from tests.cli.test_program_reference import compare_text

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "configuration.md"
EXAMPLE = Path(__file__).parents[2] / "modelgates.example.toml"
FILE = """
markup_bp = 500

[providers.acme]
base_url = "http://gpu.internal/v1"
api_key_env = "ACME_KEY"
cap_parameter = "max_tokens"

[models."acme/m1"]
provider = "acme"
context_length = 1000000
max_output_tokens = 1000

[[models."acme/m1".prices]]
input = "0.000001"
output = "0.000002"
request = "0.01"

[[models."acme/m1".prices]]
from = 2999-01-01T00:00:00Z
input = "0.000003"
output = "0.000004"
tiers = [{ above = 1000, input = "0.000005" }]
[models."acme/m1".prices.service_tier.priority]
output = "0.000009"

[accounts.user_0000000000000000000000]
markup_bp = -250
"""


def write(console: Console, text: str, name: str = "modelgates.toml") -> None:
    (console.folder / name).write_text(text, encoding="utf-8")


def test_valid_file_is_explained_in_sentences(console: Console) -> None:
    write(console, FILE)
    ended = console.call("config", "check")
    assert (ended.code, ended.err) == (0, "")
    later = "2999-01-01T00:00:00.000Z"
    *lines, no_key, no_encryption = ended.out.splitlines()
    assert lines == [
        "modelgates.toml is valid.",
        "Prices are US dollars per million tokens and include the markup (default: 5%).",
        "Provider acme: http://gpu.internal/v1, key in ACME_KEY (not set).",
        "Model acme/m1: m1 at acme, context of 1000000 tokens, up to 1000 output tokens.",
        "  input 1.05, output 2.1, request 0.0105 (source: modelgates.toml, markup 5%)",
        f"  from {later}: input 3.15, output 4.2 (source: modelgates.toml, markup 5%)",
        "    prompts above 1000 tokens: input 5.25, output 4.2",
        "    service tier priority: input 3.15, output 9.45",
        "      prompts above 1000 tokens: input 5.25, output 9.45",
        "  largest hold for a call with one choice: $3.1605",
        "Account user_0000000000000000000000: markup -2.5% on every model.",
    ]
    assert no_key.startswith("Warning: The key of provider `acme` is missing. Set `ACME_KEY` to ")
    assert no_key.endswith(" The server does not start without it.")
    assert no_encryption.startswith(
        "Warning: `providers.acme.base_url` connects to another machine without encryption: "
    )


def test_json_output_has_the_same_content(console: Console) -> None:
    write(console, FILE)
    record = console.call("config", "check", "--json").json
    assert (record["path"], record["ok"], record["problems"]) == ("modelgates.toml", True, [])
    assert len(record["warnings"]) == 2
    assert (record["markup_bp"], record["sandbox"]) == (500, False)
    assert record["providers"] == [
        {
            "name": "acme",
            "base_url": "http://gpu.internal/v1",
            "key_variable": "ACME_KEY",
            "key_is_set": False,
        }
    ]
    [model] = record["models"]
    assert (model["id"], model["markup_bp"], model["worst_case"]) == ("acme/m1", 500, "3.1605")
    assert [(price["from"], price["in_force"]) for price in model["prices"]] == [
        (None, True),
        ("2999-01-01T00:00:00.000Z", False),
    ]
    assert record["accounts"] == [{"account_id": "user_0000000000000000000000", "markup_bp": -250}]


def test_largest_hold_of_an_embeddings_model_covers_no_output(console: Console) -> None:
    text = FILE.replace("max_output_tokens = 1000\n", 'kind = "embeddings"\n')
    write(console, text)
    [model] = console.call("config", "check", "--json").json["models"]
    assert model["worst_case"] == "1.0605"


def test_key_is_found_and_never_shown(console: Console) -> None:
    write(console, FILE)
    console.environment["ACME_KEY"] = "sk-secret-1"
    for options in ([], ["--json"]):
        ended = console.call("config", "check", *options)
        assert ended.code == 0
        assert "sk-secret-1" not in ended.out + ended.err
    assert ", key in ACME_KEY (set).\n" in console.call("config", "check").out


def test_key_in_a_url_is_not_shown(console: Console) -> None:
    write(console, '[providers.acme]\nbase_url = "https://acme.example/v1?key=sk-secret-2"\n')
    for options in ([], ["--json"]):
        ended = console.call("config", "check", *options)
        assert "https://acme.example/v1?…" in ended.out
        assert "sk-secret-2" not in ended.out + ended.err


def test_all_problems_are_listed_and_exit_code_is_1(console: Console) -> None:
    write(console, 'markup = 1\n[models."a/b"]\n', "bad.toml")
    ended = console.call("config", "check", "bad.toml")
    assert (ended.code, ended.err) == (1, "Error: bad.toml has 1 problem.\n")
    assert ended.out == "`markup` is not a known field. Did you mean `markup_bp`?\n"
    write(console, FILE.replace("output =", "outptu =").replace("acme/m1", "m1"), "bad.toml")
    ended = console.call("config", "check", "bad.toml", "--json")
    assert (ended.code, ended.err) == (1, "Error: bad.toml has 1 problem.\n")
    assert '"ok":false,"problems":["`models.m1` is not a valid model ID' in ended.out
    write(console, FILE.replace("0.01", "-1").replace("base_url", "baseurl"), "bad.toml")
    assert console.call("config", "check", "bad.toml").err == "Error: bad.toml has 1 problem.\n"
    write(console, "[accounts.a]\nmarkup_bp = 1\n[accounts.b]\nmarkup_bp = 1\n", "bad.toml")
    assert console.call("config", "check", "bad.toml").err == "Error: bad.toml has 2 problems.\n"


def test_default_file_is_the_one_of_the_server(console: Console) -> None:
    assert console.call("config", "check").out.startswith("No configuration file found: ")
    write(console, "sandbox = true", "other.toml")
    console.environment["MODELGATES_CONFIG"] = "other.toml"
    assert console.call("config", "check").out.startswith("other.toml is valid.")
    write(console, FILE)
    assert console.call("config", "check", "modelgates.toml").out.startswith("modelgates.toml is")
    console.environment["MODELGATES_CONFIG"] = "gone.toml"
    ended = console.call("config", "check")
    assert (ended.code, ended.out) == (1, "The file cannot be read: No such file or directory.\n")
    assert ended.err == "Error: gone.toml has 1 problem.\n"


def test_example_file_is_explained(console: Console) -> None:
    ended = console.run("config", "check", str(EXAMPLE))
    assert (ended.code, ended.err) == (0, "")
    for name in ("openai/gpt-4o-mini", "azure/gpt-4o", "local/llama3.2", "sandbox/echo"):
        assert f"\nModel {name}: " in ended.out


def test_documentation_shows_the_printed_explanation(console: Console) -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    file, *_ = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [shown] = re.findall(r"^\$ modelgates config check\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    write(console, file)
    console.environment["OPENAI_API_KEY"] = "sk-1"
    compare_text(shown.splitlines(), console.call("config", "check").out, {})


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ('prices = [{ input = "0", output = "0" }]', "`acme/m1` is free of charge."),
        (
            'markup_bp = -10000\nprices = [{ input = "1", output = "1" }]',
            "`acme/m1` is free of charge.",
        ),
        (
            'prices = [{ from = 2999-01-01T00:00:00Z, input = "1", output = "1" }]',
            "`acme/m1` has no price yet. Clients cannot call it before its first price starts.",
        ),
    ],
)
def test_unintended_price_gives_a_warning(lines: str, warning: str, console: Console) -> None:
    model = '[models."acme/m1"]\nprovider = "acme"\ncontext_length = 5\nmax_output_tokens = 5\n'
    write(console, f'[providers.acme]\nbase_url = "http://localhost/v1"\n{model}{lines}\n')
    warnings = console.call("config", "check", "--json").json["warnings"]
    assert warning in warnings
    assert f"\nWarning: {warning}\n" in console.call("config", "check").out


def test_deprecated_names_give_one_warning_with_the_new_names(console: Console) -> None:
    provider = '[providers.openai]\nbase_url = "https://api.openai.com/v1"\nprices = "openai"\n'
    model = (
        '[models."a/{0}"]\nprovider = "openai"\nmax_output_tokens = 9\nprice = "openai/gpt-4o"\n'
    )
    write(console, provider + model.format("b") + model.format("c"))
    console.environment["MODELGATES_MAX_BODY_MB"] = "5"
    [warning] = console.call("config", "check", "--json").json["warnings"]
    assert warning == (
        "Deprecated names work in this release only. Use `MODELGATES_MAX_BODY_MIB` instead of "
        "`MODELGATES_MAX_BODY_MB`, `price_list` instead of `providers.openai.prices`, `price_from` "
        'instead of `models."a/b".price`, `price_from` instead of `models."a/c".price`.'
    )
