import pytest

from tests.cli.console import Console

RECEIPT = [
    "account_id",
    "seq",
    "kind",
    "reference",
    "at",
    "amount",
    "balance_after",
    "reason",
    "replayed",
]


def test_fields_of_a_posting_are_stable(console: Console) -> None:
    account = console.account()
    grant = ("credits", "grant", account, "100.5", "--reason", "pilot", "--ref", "pilot-1")
    receipt = console.call(*grant, "--json").json
    assert list(receipt) == RECEIPT
    assert receipt["account_id"] == account
    assert (receipt["seq"], receipt["kind"], receipt["reference"]) == (2, "grant", "pilot-1")
    assert (receipt["amount"], receipt["balance_after"]) == ("100.5", "100.5")
    assert (receipt["reason"], receipt["replayed"]) == ("pilot", False)


def test_repeated_reference_posts_once(console: Console) -> None:
    account = console.account()
    for verb, amount in (("grant", "100.5"), ("adjust", "-5")):
        posting = ("credits", verb, account, amount, "--ref", f"{verb}-1", "--json")
        first, again = console.call(*posting).json, console.call(*posting).json
        assert again == {**first, "replayed": True}
        other = ("credits", verb, account, "1", "--ref", f"{verb}-1")
        assert "was used before" in console.call(*other).refusal
    shown = console.call("credits", "show", account, "--json").json
    assert shown["available"] == "95.5"


def test_reference_is_rejected_when_it_is_not_in_nfc(console: Console) -> None:
    account = console.account()
    composed, decomposed = "caf\u00e9-1", "cafe\u0301-1"
    for verb in ("grant", "adjust"):
        refusal = console.call("credits", verb, account, "1", "--ref", decomposed).refusal
        assert f"Send '{composed}' instead, in escapes 'caf\\xe9-1'" in refusal
    assert not console.call("credits", "grant", account, "1", "--ref", composed, "--json").json[
        "replayed"
    ]
    assert console.call("credits", "show", account, "--json").json["available"] == "1"


def test_posting_without_a_reference_is_never_a_repeat(console: Console) -> None:
    account = console.account()
    for _ in range(2):
        assert console.call("credits", "grant", account, "1", "--json").json["replayed"] is False
    assert console.call("credits", "show", account, "--json").json["available"] == "2"


@pytest.mark.parametrize(
    "words",
    [["{}", "-5"], ["{}", "-5.0", "--json"], ["--json", "{}", "-5"], ["{}", "--", "-5"]],
)
def test_negative_amount_is_not_parsed_as_an_option(console: Console, words: list[str]) -> None:
    account = console.account("7.25")
    adjusted = console.run("credits", "adjust", *(word.format(account) for word in words))
    assert (adjusted.code, adjusted.err) == (0, "")
    assert console.call("credits", "show", account, "--json").json["available"] == "2.25"


@pytest.mark.parametrize("verb", ["grant", "adjust"])
@pytest.mark.parametrize(
    ("amount", "why"),
    [
        ("NaN", "'NaN' is not an exact decimal"),
        ("-NaN", "'-NaN' is not an exact decimal"),
        ("inf", "'inf' is not an exact decimal"),
        ("1e3", "'1e3' is not an exact decimal"),
        ("-1E3", "'-1E3' is not an exact decimal"),
        ("1_000", "'1_000' is not an exact decimal"),
        ("1,5", "'1,5' is not an exact decimal"),
        ("$5", "'$5' is not an exact decimal"),
        ("", "'' is not an exact decimal"),
        ("0", "The amount 0 is zero"),
        ("1.0000000000001", "more than 12 decimal places"),
        ("9223372.036854775808", "larger than 9223372.036854775807"),
    ],
)
def test_invalid_amount_changes_nothing(console: Console, verb: str, amount: str, why: str) -> None:
    account = console.account("1")
    assert why in console.call("credits", verb, account, amount).refusal
    assert console.call("credits", "show", account, "--json").json["available"] == "1"


def test_negative_grant_is_rejected(console: Console) -> None:
    refusal = console.call("credits", "grant", console.account("5"), "-5").refusal
    assert refusal.startswith("The amount -5 is negative. Give 0.000000000001 to ")


def test_adjustment_below_the_minimum_balance_is_rejected(console: Console) -> None:
    account = console.account("5")
    refusal = console.call("credits", "adjust", account, "-5.000000000001").refusal
    assert "does not cover 5.000000000001" in refusal
    assert console.call("credits", "adjust", account, "-5").code == 0


def test_smallest_and_largest_amounts_are_exact(console: Console) -> None:
    account = console.account("0.000000000001")
    console.call("credits", "grant", account, "9223372.036854775806")
    shown = console.call("credits", "show", account, "--json").json
    assert shown["total_credits"] == "9223372.036854775807"
    more = console.call("credits", "grant", account, "0.000000000001")
    assert "Open another account" in more.refusal


@pytest.mark.parametrize("verb", ["grant", "adjust"])
def test_misspelled_option_changes_nothing(console: Console, verb: str) -> None:
    account = console.account("5")
    for words in (["-1", "--resn", "x"], ["1", "--jsn"], ["--jsn", "1"], ["1", "-j"]):
        assert console.call("credits", verb, account, *words).code == 2
    assert console.call("credits", "show", account, "--json").json["available"] == "5"


def test_unknown_account_gets_no_credits(console: Console) -> None:
    console.call("db", "migrate")
    for account in ("user_0000000000000000000000", "Acme Lab"):
        for words in (["show", account], ["grant", account, "5"], ["adjust", account, "5"]):
            assert (
                "does not exist. `modelgates account list`"
                in console.call("credits", *words).refusal
            )


def test_invalid_reason_or_reference_is_rejected(console: Console) -> None:
    grant = ("credits", "grant", console.account(), "5")
    assert "The reason must have 1" in console.call(*grant, "--reason", "").refusal
    assert "The reference must have 1" in console.call(*grant, "--ref", "x" * 256).refusal
    assert "unprintable" in console.call(*grant, "--ref", "two\nlines").refusal
