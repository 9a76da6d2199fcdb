from pathlib import Path

import pytest

from modelgates_server.core.pricing.usage import CacheTokens, ReasoningTokens, UsageRules
from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured, problem, read

BESIDE = UsageRules(known_cache=CacheTokens.BESIDE)
IN_TOTAL = UsageRules(known_reasoning=ReasoningTokens.IN_TOTAL)

KEYED = OPENAI + 'api_key_env = "ACME_KEY"\n'


def rules(folder: Path, host: str, lines: str = "") -> UsageRules:
    """The usage rules of a provider at a host."""
    provider = f'[providers.local]\nbase_url = "https://{host}/v1"\n{lines}\n'
    [model] = configured(folder, provider + MODEL + FREE).models
    return model.endpoint.usage_rules


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("api.openai.com", UsageRules()),
        ("api.anthropic.com", BESIDE),
        ("bedrock-runtime.us-east-1.amazonaws.com", BESIDE),
        ("my-elb.eu-west-1.elb.amazonaws.com", UsageRules()),
        ("api.perplexity.ai", UsageRules(known_reasoning=ReasoningTokens.BESIDE)),
        ("generativelanguage.googleapis.com", IN_TOTAL),
        ("us-central1-aiplatform.googleapis.com", IN_TOTAL),
        ("aiplatform.googleapis.com", IN_TOTAL),
        ("api.anthropic.com.example.org", UsageRules()),
        ("not-api.anthropic.com", UsageRules()),
    ],
)
def test_known_host_determines_how_a_provider_counts(
    host: str, known: UsageRules, tmp_path: Path
) -> None:
    assert rules(tmp_path, host) == known


def test_setting_of_a_provider_overrides_the_rules_of_its_host(tmp_path: Path) -> None:
    lines = 'cache_tokens = "inside"\nreasoning_tokens = "beside"\ntrust_zero_usage = true'
    assert rules(tmp_path, "api.anthropic.com", lines) == UsageRules(
        cache=CacheTokens.INSIDE,
        reasoning=ReasoningTokens.BESIDE,
        known_cache=CacheTokens.BESIDE,
        trust_zero=True,
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'cache_tokens = "in_total"',
            "cache_tokens` must be `inside` or `beside`, not `in_total`. Example: ",
        ),
        (
            'reasoning_tokens = "no"',
            "reasoning_tokens` must be `inside`, `beside` or `in_total`, not `no`. ",
        ),
        ("trust_zero_usage = 1", "trust_zero_usage` must be true or false, not a whole number. "),
        (
            "default_output_tokens = 0",
            "default_output_tokens` must be at least 1, not `0`. Example: ",
        ),
    ],
)
def test_invalid_setting_is_rejected_with_an_example(
    line: str, expected: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, f"{LOCAL}{line}\n").startswith(f"`providers.local.{expected}")


@pytest.mark.parametrize("alias", ["other", "OTHER", "o-ther", "O ther", "sandbox"])
def test_alias_is_rejected_when_another_provider_has_that_name(alias: str, tmp_path: Path) -> None:
    others = "".join(f"{LOCAL}".replace(".local", f".{name}") for name in ("other", "o-ther"))
    message = problem(tmp_path, f'{LOCAL}aliases = ["fine", "{alias}"]\n{others}')
    assert message == (
        f"`providers.local.aliases` contains the name of another provider: `{alias}`. A request "
        "that selects a provider by name would get the wrong one. Remove the alias, or rename that "
        "provider."
    )


def test_alias_is_accepted_when_no_other_provider_has_that_name(tmp_path: Path) -> None:
    other = LOCAL.replace(".local", ".other")
    aliases = 'aliases = ["local", "Local Host", "other/turbo", "azure"]\n'
    configured(tmp_path, f'{LOCAL}{aliases}{other}aliases = ["azure"]\n')


@pytest.mark.parametrize(
    ("of_provider", "of_model", "default"),
    [("", "", None), ("50", "", 50), ("50", "20", 20), ("", "20", 20), ("5000", "", 5000)],
)
def test_default_limit_of_a_model_overrides_that_of_its_provider(
    of_provider: str, of_model: str, default: int | None, tmp_path: Path
) -> None:
    def line(tokens: str) -> str:
        return f"default_output_tokens = {tokens}\n" if tokens else ""

    text = f"{LOCAL}{line(of_provider)}{MODEL}{line(of_model)}{FREE}"
    [model] = configured(tmp_path, text).models
    assert model.default_output_tokens == default


def test_default_limit_above_the_maximum_of_its_model_is_rejected(tmp_path: Path) -> None:
    message = problem(tmp_path, f"{LOCAL}{MODEL}default_output_tokens = 101\n{FREE}")
    assert message == (
        '`models."acme/m1".default_output_tokens` is 101, above `max_output_tokens`, which is 100. '
        "Lower it."
    )


def test_blank_key_is_missing_and_its_file_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    for blank in ("", " ", "\ufeff"):
        configuration, _ = read(tmp_path, KEYED, {"ACME_KEY": blank, "ACME_KEY_FILE": blank})
        assert "Set `ACME_KEY` to the key" in configuration.unset_keys["openai"]
    (tmp_path / "key").write_text("\ufeffsk-secret\n")
    named = {"ACME_KEY": "", "ACME_KEY_FILE": str(tmp_path / "key")}
    assert read(tmp_path, KEYED, named)[0].providers[0].api_key == "sk-secret"


def test_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read(tmp_path, f"\ufeff{KEYED}", {"ACME_KEY": "sk-secret"})[1] == []


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://gpu.internal:8000/v1", True),
        ("http://10.0.0.5/v1", True),
        ("http://127.0.0.1:8080/v1", False),
        ("http://[::1]:8080/v1", False),
        ("http://localhost:11434/v1", False),
        ("https://gpu.internal/v1", False),
    ],
)
def test_unencrypted_url_of_another_machine_gives_a_warning(
    url: str, warned: bool, tmp_path: Path
) -> None:
    text = f'[providers.one]\nbase_url = "{url}"\ncap_parameter = "max_tokens"\n'
    configuration = configured(tmp_path, text)
    assert [line for line in configuration.warnings if "without encryption" in line] == list(
        configuration.warnings
    )
    assert bool(configuration.warnings) is warned
