"""`[providers.NAME]`: the address of a provider, and its key."""

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
from modelgates_server.settings import filled

if TYPE_CHECKING:
    from modelgates_server.providers.http import ProviderSettings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_KEY_HEADERS = {"authorization", "api-key", "x-api-key"}

_KNOWN_HOSTS: dict[str, UsageRules] = {
    # Their prompt counts exclude tokens that are read from a cache or written to one.
    r"api\.anthropic\.com": UsageRules(known_cache=CacheTokens.BESIDE),
    r"bedrock-[a-z-]+\.[a-z0-9-]+\.amazonaws\.com": UsageRules(known_cache=CacheTokens.BESIDE),
    # sonar-deep-research reports its reasoning at the top level, outside of all totals.
    r"api\.perplexity\.ai": UsageRules(known_reasoning=ReasoningTokens.BESIDE),
    # Thinking is included only in the total.
    r"generativelanguage\.googleapis\.com": UsageRules(known_reasoning=ReasoningTokens.IN_TOTAL),
    r"([a-z0-9-]+-)?aiplatform\.googleapis\.com": UsageRules(
        known_reasoning=ReasoningTokens.IN_TOTAL
    ),
}
"""How providers count, by patterns of their hosts. Used only if the figures are ambiguous."""


class KeyMissing(Exception):
    """The environment has no key for a provider. The text names the variable to set."""


def check_provider(
    path: str, name: str, table: ProviderTable, *, providers: Collection[str]
) -> None:
    """Checks everything that needs no environment; raises `InvalidInput`.

    `providers` are the names of all providers in the file.
    """
    if not _NAME.fullmatch(name) or name == SANDBOX:
        raise InvalidInput(
            f"`{path}` is not a valid provider name. Use lower-case letters, digits, `-` and `_`, "
            f"and not `{SANDBOX}`. Example: `[providers.openai]`."
        )
    if table.price_list is not None and table.price_list not in seed_providers():
        names = ", ".join(f"`{each}`" for each in seed_providers())
        raise InvalidInput(
            f"`{path}.price_list` is unknown: `{table.price_list}`. Known price lists are {names}."
        )
    if table.api_key_env is not None and not _VARIABLE.fullmatch(table.api_key_env):
        # The message does not repeat the value: it may be a key.
        raise InvalidInput(
            f"`{path}.api_key_env` must be the name of an environment variable, not the key. "
            f"{example(ProviderTable, 'api_key_env')}"
        )
    others = {*providers, SANDBOX} - {name}
    for alias in table.aliases:
        # Requests may write names in any case, and hyphens for spaces.
        if "-".join(alias.casefold().split()) in others:
            raise InvalidInput(
                f"`{path}.aliases` contains the name of another provider: `{alias}`. A request "
                "that selects a provider by name would get the wrong one. Remove the alias, or "
                "rename that provider."
            )
    for header in table.headers:
        if header.lower() in {*_KEY_HEADERS, (table.api_key_header or "").lower()}:
            raise InvalidInput(
                f"`{path}.headers` must not contain a key, but sets `{header}`. Name the variable "
                "of the key in `api_key_env`, and its header in `api_key_header` if it is not "
                "`authorization`."
            )


def provider_settings(name: str, table: ProviderTable, key: str | None) -> "ProviderSettings":
    """Returns the settings of a provider's client; raises `InvalidInput` if they are invalid."""
    # This loads the HTTP client, which a server without providers does not need.
    from modelgates_server.providers.http import ProviderSettings  # noqa: PLC0415

    # Shared fields have the same names in both, and `ProviderSettings` has their defaults.
    shared = fields(ProviderTable).keys() & set(ProviderSettings.__struct_fields__)
    values: dict[str, Any] = {field: getattr(table, field) for field in shared}
    if table.api_key_header is None and table.dialect[0] == "anthropic":
        values["api_key_header"] = "x-api-key"
    try:
        return ProviderSettings(
            name=name,
            api_key=key,
            **{field: value for field, value in values.items() if value is not None},
        )
    except InvalidInput as error:
        raise InvalidInput(f"`providers.{name}`: {str(error).removeprefix(f'{name}: ')}") from None


def usage_rules(table: ProviderTable) -> UsageRules:
    """Returns how a provider counts: as the file says, otherwise as is known of its host."""
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
    """Returns a key from the environment, or from the file named by `…_FILE`, a mounted secret.

    Returns None if the table names no variable; raises `KeyMissing`.
    """
    if variable is None:
        return None
    missing = f"The key of provider `{name}` is missing"
    if filled(key := environment.get(variable, "")):
        return key
    if not (file := filled(environment.get(f"{variable}_FILE"))):
        raise KeyMissing(
            f"{missing}. Set `{variable}` to the key, or `{variable}_FILE` to a file with the key."
        )
    try:
        key = filled(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyMissing(
            f"{missing}: the file in `{variable}_FILE` cannot be read: {error}."
        ) from None
    if not key:
        raise KeyMissing(f"{missing}: the file in `{variable}_FILE` is empty.")
    return key


def standard_service_tier(table: ProviderTable) -> str:
    """Returns the name of a provider's standard service tier: Groq rejects the one of OpenAI."""
    if table.dialect[0] == "anthropic":
        return "standard_only"
    words = {"api.groq.com": "on_demand", "generativelanguage.googleapis.com": "standard"}
    return words.get(_host(table.base_url), "default")


def host_and_port(base_url: str) -> tuple[str, int | None]:
    """Returns host and port of a URL, empty if it is invalid: `provider_settings` rejects it."""
    try:
        url = urlsplit(base_url)
        port = url.port
    except ValueError:
        return "", None
    return url.hostname or "", port


def _host(base_url: str) -> str:
    return host_and_port(base_url)[0]


def is_readable_on_the_way(base_url: str) -> bool:
    """Whether a URL connects to another machine without encryption."""
    url = urlsplit(base_url)
    host = url.hostname or ""
    if url.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True
