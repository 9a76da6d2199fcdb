from tests.cli.console import Console

FILE = """
sandbox = true

[providers.acme]
base_url = "http://localhost/v1"

[models."acme/m1"]
provider = "acme"
upstream_model = "big"
context_length = 1000
max_output_tokens = 100
markup_bp = 1

[[models."acme/m1".prices]]
input = "0.123456789012345678901234"
output = "0"
tiers = [{ above = 5, output = "1" }]

[models."acme/m2"]
provider = "acme"
context_length = 1000
max_output_tokens = 100
prices = [{ from = 2999-01-01T00:00:00Z, input = "1", output = "1" }]
"""


def test_models_are_listed_without_a_database_or_a_file(console: Console) -> None:
    ended = console.run("models", "list")
    assert (ended.code, ended.err) == (0, "")
    head, *rows = ended.out.splitlines()
    assert head.split("  ")[0] == "id"
    assert [row.split()[0] for row in rows] == [
        "sandbox/chaos", "sandbox/echo", "sandbox/embed", "sandbox/lorem",
    ]  # fmt: skip
    assert not console.path.exists()


def test_prices_are_shown_exactly_with_their_markup(console: Console) -> None:
    (console.folder / "modelgates.toml").write_text(FILE, encoding="utf-8")
    first, second, *_ = console.call("models", "list", "--json").json
    assert first == {
        "id": "acme/m1",
        "name": "acme/m1",
        "provider": "acme",
        "upstream_model": "big",
        "context_length": 1000,
        "max_output_tokens": 100,
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "input_per_million": "123469.1346912469134691241234",
        "output_per_million": "0",
        "markup_bp": 1,
    }
    assert (second["input_per_million"], second["output_per_million"]) == (None, None)


def test_invalid_file_lists_no_models(console: Console) -> None:
    (console.folder / "modelgates.toml").write_text("markup = 1", encoding="utf-8")
    assert console.call("models", "list").refusal == (
        "modelgates.toml: `markup` is not a known field. Did you mean `markup_bp`?"
    )
