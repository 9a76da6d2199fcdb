from modelgates_server.bootstrap.configuration import load_configuration
from modelgates_server.bootstrap.price_book import open_catalog
from modelgates_server.service.services import LedgerServices
from tests.cli.console import Console
from tests.support import T0_MS

FILE = """
sandbox = true

[providers.acme]
base_url = "http://localhost/v1"

[models."acme/m1"]
provider = "acme"
context_length = 1000
max_output_tokens = 100
markup_bp = 500
"""
FIRST = 'prices = [{ input = "0.000001", output = "0.000002" }]\n'
SECOND = """
[[models."acme/m1".prices]]
input = "0.000003"
cache_read = "0"
output = "0.000004"
tiers = [{ above = 1000, output = "0.000005" }]

[[models."acme/m1".prices]]
from = 2999-01-01T00:00:00Z
input = "0.000006"
output = "0.000007"
request = "0.01"
"""


def write(console: Console, prices: str) -> None:
    (console.folder / "modelgates.toml").write_text(FILE + prices, encoding="utf-8")


def start(console: Console) -> None:
    """Adds the prices of the file to the book, as the server does when it starts."""
    configuration = load_configuration(console.folder / "modelgates.toml", {})

    async def fill(services: LedgerServices) -> None:
        await open_catalog(services.store, configuration, T0_MS)

    console.do(fill)


def test_all_prices_are_shown_with_the_one_in_force(console: Console) -> None:
    write(console, FIRST)
    start(console)
    write(console, SECOND)
    start(console)
    record = console.call("prices", "show", "acme/m1", "--json").json
    ids = [price.pop("id") for price in record["prices"] if price.pop("service_tiers") == {}]
    assert len(set(ids)) == 3
    assert record == {
        "model": "acme/m1",
        "endpoint_id": "acme:m1",
        "markup_bp": 500,
        "prices": [
            {
                "from": None,
                "source": "modelgates.toml",
                "in_force": False,
                "in_book": True,
                "tiers": [{"above": 0, "input": "0.000001", "output": "0.000002"}],
            },
            {
                "from": "2026-11-23T13:12:00.000Z",
                "source": "modelgates.toml",
                "in_force": True,
                "in_book": True,
                "tiers": [
                    {"above": 0, "input": "0.000003", "cache_read": "0", "output": "0.000004"},
                    {"above": 1000, "input": "0.000003", "cache_read": "0", "output": "0.000005"},
                ],
            },
            {
                "from": "2999-01-01T00:00:00.000Z",
                "source": "modelgates.toml",
                "in_force": False,
                "in_book": True,
                "tiers": [
                    {"above": 0, "input": "0.000006", "output": "0.000007", "request": "0.01"}
                ],
            },
        ],
    }
    table = console.call("prices", "show", "acme/m1").out
    assert table.startswith("Model acme/m1: m1 at acme, markup 5%.\n")
    rows = [line.split() for line in table.splitlines()[4:]]
    now, since, never = "2026-11-23T13:12:00.000Z", "modelgates.toml", "2999-01-01T00:00:00.000Z"
    assert rows == [
        ["no", "always", "0", "1", "-", "2", "-", since, ids[0]],
        ["yes", now, "0", "3", "0", "4", "-", since, ids[1]],
        ["yes", now, "1000", "3", "0", "5", "-", since, ids[1]],
        ["no", never, "0", "6", "-", "7", "0.01", since, ids[2]],
    ]


def test_service_tiers_are_shown_next_to_the_standard_one(console: Console) -> None:
    flex = '[models."acme/m1".prices.service_tier.flex]\noutput = "0.000002"\n'
    write(console, SECOND.split("\n\n", 1)[0] + f"\n{flex}")
    start(console)
    [price] = console.call("prices", "show", "acme/m1", "--json").json["prices"]
    rates = {"input": "0.000003", "cache_read": "0", "output": "0.000002"}
    assert price["service_tiers"] == {"flex": [{"above": 0, **rates}, {"above": 1000, **rates}]}
    assert [tier["output"] for tier in price["tiers"]] == ["0.000004", "0.000005"]
    table = console.call("prices", "show", "acme/m1").out
    rows = [line.split()[2:7] for line in table.splitlines()[4:]]
    assert rows == [
        ["standard", "0", "3", "0", "4"],
        ["standard", "1000", "3", "0", "5"],
        ["flex", "0", "3", "0", "2"],
        ["flex", "1000", "3", "0", "2"],
    ]


def test_price_missing_from_the_book_is_shown_and_not_added(console: Console) -> None:
    console.account()
    write(console, FIRST)
    assert "service" not in console.call("prices", "show", "acme/m1").out
    for _ in range(2):
        [price] = console.call("prices", "show", "acme/m1", "--json").json["prices"]
        assert (price["in_force"], price["in_book"]) == (True, False)


def test_unknown_model_and_missing_database_are_reported(console: Console) -> None:
    assert "modelgates.db" in console.call("prices", "show", "sandbox/echo").refusal
    console.account()
    assert console.call("prices", "show", "acme/m2").refusal == (
        "Model `acme/m2` was not found. `modelgates models list` lists all models."
    )
