"""`[providers.NAME]`: where a provider is, and with which key it is called."""

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from modelgates_server.bootstrap.configuration_file import ProviderTable, example, fields
from modelgates_server.bootstrap.price_seeds import seed_providers
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.usage import CacheTokens, ReasoningTokens, UsageRules
from modelgates_server.providers.sandbox.offer import PROVIDER as SANDBOX

if TYPE_CHECKING:
    from modelgates_server.providers.http import ProviderSettings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_KEY_HEADERS = {"authorization", "api-key", "x-api-key"}

_KNOWN_HOSTS: dict[str, UsageRules] = {
    # Their own counts of the prompt leave out what came from a cache or went to it.
    r"api\.anthropic\.com": UsageRules(known_cache=CacheTokens.BESIDE),
    r"bedrock-[a-z-]+\.[a-z0-9-]+\.amazonaws\.com": UsageRules(known_cache=CacheTokens.BESIDE),
    # sonar-deep-research has its reasoning at the top, in no total.
    r"api\.perplexity\.ai": UsageRules(known_reasoning=ReasoningTokens.BESIDE),
    # Thinking is in the total alone.
    r"generativelanguage\.googleapis\.com": UsageRules(known_reasoning=ReasoningTokens.IN_TOTAL),
    r"([a-z0-9-]+-)?aiplatform\.googleapis\.com": UsageRules(
        known_reasoning=ReasoningTokens.IN_TOTAL
    ),
}
"""How providers count, by patterns of their hosts; it decides only where arithmetic cannot."""


class KeyMissing(Exception):
    """The environment has no key for a provider; `str()` of it says which variable to set."""


def check_provider(
    path: str, name: str, table: ProviderTable, *, providers: Collection[str]
) -> None:
    """Raises `InvalidInput` for what needs no environment to be seen wrong.

    `providers` are the names of all that the file has.
    """
    if not _NAME.fullmatch(name) or name == SANDBOX:
        raise InvalidInput(
            f"{path}: a provider's name has lower-case letters, digits, - and _, and is not "
            f"{SANDBOX}: write, for example, [providers.openai]"
        )
    if table.price_list is not None and table.price_list not in seed_providers():
        raise InvalidInput(
            f"{path}.price_list: there is none of {table.price_list!r}, only of "
            f"{', '.join(seed_providers())}"
        )
    if table.api_key_env is not None and not _VARIABLE.fullmatch(table.api_key_env):
        # What stands there is not repeated: it may be a key.
        raise InvalidInput(
            f"{path}.api_key_env is the name of an environment variable, and not the key: "
            f"{example(ProviderTable, 'api_key_env')}"
        )
    others = {*providers, SANDBOX} - {name}
    for alias in table.aliases:
        # Requests may write names in any case, and hyphens for spaces.
        if "-".join(alias.casefold().split()) in others:
            raise InvalidInput(
                f"{path}.aliases: {alias!r} is another provider here, and a request that chooses "
                "one by name would get the other: remove it, or rename that provider"
            )
    for header in table.headers:
        if header.lower() in {*_KEY_HEADERS, (table.api_key_header or "").lower()}:
            raise InvalidInput(
                f"{path}.headers: a key does not belong in this file: name its variable with "
                f"api_key_env, and its header with api_key_header if it is not authorization"
            )


def provider_settings(name: str, table: ProviderTable, key: str | None) -> "ProviderSettings":
    """What the client of a provider needs; raises `InvalidInput` for what it cannot work with."""
    # It loads the HTTP client, which a server without providers does not need.
    from modelgates_server.providers.http import ProviderSettings  # noqa: PLC0415

    # Both name what they share alike, and what is left out has its default there.
    shared = fields(ProviderTable).keys() & set(ProviderSettings.__struct_fields__)
    members: dict[str, Any] = {member: getattr(table, member) for member in shared}
    try:
        return ProviderSettings(
            name=name,
            api_key=key,
            **{member: value for member, value in members.items() if value is not None},
        )
    except InvalidInput as refusal:
        raise InvalidInput(f"providers.{refusal}") from None


def usage_rules(table: ProviderTable) -> UsageRules:
    """How a provider counts: what the file says, otherwise what is known of its host."""
    host = _host(table.base_url)
    matches = (rules for known, rules in _KNOWN_HOSTS.items() if re.fullmatch(known, host))
    known = next(matches, UsageRules())
    return msgspec.structs.replace(
        known,
        cache=table.cache_tokens,
        reasoning=table.reasoning_tokens,
        trust_zero=table.trust_zero_usage,
    )


def provider_key(name: str, variable: str | None, environment: Mapping[str, str]) -> str | None:
    """A key from the environment, or from the file that `…_FILE` names, as platforms mount secrets.

    None where the table names no variable; raises `KeyMissing`.
    """
    if variable is None:
        return None
    missing = f"the key of the provider {name} is missing:"
    if key := environment.get(variable):
        return key
    if not (file := environment.get(f"{variable}_FILE")):
        raise KeyMissing(f"{missing} set {variable}, or {variable}_FILE to a file with it")
    try:
        key = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyMissing(f"{missing} {variable}_FILE cannot be read: {error}") from None
    if not key:
        raise KeyMissing(f"{missing} the file of {variable}_FILE is empty")
    return key


def standard_service_tier(base_url: str) -> str:
    """A provider's word for its standard service tier: Groq refuses OpenAI's."""
    words = {"api.groq.com": "on_demand", "generativelanguage.googleapis.com": "standard"}
    return words.get(_host(base_url), "default")


def _host(base_url: str) -> str:
    """The host of a URL; empty for what is none, which `provider_settings` refuses."""
    try:
        return urlsplit(base_url).hostname or ""
    except ValueError:
        return ""


def is_readable_on_the_way(base_url: str) -> bool:
    """Whether a URL leads to another machine without encryption."""
    url = urlsplit(base_url)
    host = url.hostname or ""
    if url.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True
