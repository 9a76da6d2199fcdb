"""The table of providers, and the page of the documentation that shows it."""

import re
from pathlib import Path

import pytest

from modelgates_server.core.pricing.catalog import CapParameter, Endpoint
from modelgates_server.dialects.openai_chat.provider_profiles import (
    BY_NAME,
    COMPATIBLE,
    OPTIONAL,
    PROFILES,
    Profile,
    profile_of,
)

PAGE = Path(__file__).parents[3] / "docs/reference/request-parameters.md"


def row(profile: Profile, hosts: str) -> str:
    """A row of the documentation's table."""
    cap = "either name" if profile.cap is None else f"`{profile.cap}`"
    efforts = f"`reasoning_effort` ({', '.join(profile.efforts)})" if profile.efforts else ""
    parts = [efforts, *(f"`{each}`" for each in (profile.switch, profile.budget) if each)]
    reasoning = ", ".join(part for part in parts if part) or "`reasoning`, unchanged"
    passed = [name for name in OPTIONAL if name in profile.passes]
    names = [
        f"`{name}` as `{profile.renames[name]}`" if name in profile.renames else f"`{name}`"
        for name in passed
    ]
    return f"| {profile.title} | {hosts} | {cap} | {reasoning} | {', '.join(names) or 'none'} |"


def documented() -> dict[str, list[str]]:
    """The rows of the documentation's table by provider, and the hosts that each names."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    titles = {profile.title for profile in PROFILES}
    cells = [line.strip("| ").split(" | ") for line in lines]
    return {each[0]: each for each in cells if each[0] in titles}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_documentation_shows_what_the_table_says(profile: Profile) -> None:
    cells = documented()[profile.title]
    assert f"| {' | '.join(cells)} |" == row(profile, cells[1])


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_documented_hosts_have_their_profile(profile: Profile) -> None:
    places = re.findall(r"`([^`]+)`", documented()[profile.title][1])
    assert bool(places) == (profile is not COMPATIBLE)
    for place in places:
        host, _, port = place.replace("*", "x").partition(":")
        assert profile_of(host or "gpu", int(port) if port else None, None) is profile


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_profile_names_its_documentation_and_known_parameters(profile: Profile) -> None:
    assert profile.documentation.startswith("https://")
    assert profile.passes <= set(OPTIONAL)
    assert profile.renames.keys() <= profile.passes


def test_host_decides_before_the_price_list() -> None:
    assert profile_of("openrouter.ai", 443, "openai").name == "openrouter"
    assert profile_of("relay.example", 443, "openai").name == "openai"
    assert profile_of("relay.example", 443, None) is COMPATIBLE
    assert profile_of("api.openai.com.evil.example", None, None) is COMPATIBLE


def test_endpoint_has_a_known_profile_by_default() -> None:
    endpoint = Endpoint(id="a:b", provider="a", upstream_model="b")
    assert BY_NAME[endpoint.profile] is COMPATIBLE


def test_host_that_ignores_a_name_of_the_limit_gets_the_other() -> None:
    """Otherwise its output would not end where the hold ends."""
    assert profile_of("gpu.internal", 11434, None).cap is CapParameter.MAX_TOKENS
    assert profile_of("ollama", None, None).cap is CapParameter.MAX_TOKENS
