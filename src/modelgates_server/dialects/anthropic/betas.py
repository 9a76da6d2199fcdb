"""The betas that a client may request with `anthropic-beta`, each with its effect on the price.

A beta that is not in this list is rejected by name: it might be billed in a way that no hold covers
and no usage shows. A header and the fields that it unlocks travel together, or neither does.
Names: https://platform.claude.com/docs/en/api/beta-headers, and what Claude Code sends.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from modelgates_server.core.errors import InvalidInput

VERSION_HEADER = "anthropic-version"
BETA_HEADER = "anthropic-beta"
_DEFAULT_VERSION = "2023-06-01"
_VERSION = re.compile(r"[0-9A-Za-z.-]{1,40}", re.ASCII)
_BETAS_MAX = 100

COMPACTION = "context_management.edits"
"""Edits that write text instead of only removing some."""


class Effect(StrEnum):
    """The treatment of a beta."""

    PASSES = "passes"
    """It changes neither the most input, nor the most output, nor a rate."""

    OMITTED = "omitted"
    """It is taken out together with its fields, because clients send it with every request."""

    REJECTED = "rejected"
    """Its bill cannot be known before the call, or not read after it."""


class Beta(msgspec.Struct, frozen=True):
    """One beta, and the fields of the request that go with it."""

    name: str
    effect: Effect
    note: str
    fields: tuple[str, ...] = ()


def _betas(effect: Effect, note: str, *names: str, fields: tuple[str, ...] = ()) -> list[Beta]:
    return [Beta(name, effect, note, fields) for name in names]


BETAS: tuple[Beta, ...] = (
    *_betas(
        Effect.PASSES,
        "Features that are generally available by now.",
        *("message-batches-2024-09-24", "prompt-caching-2024-07-31", "pdfs-2024-09-25"),
        *("token-counting-2024-11-01", "token-efficient-tools-2025-02-19"),
        *("token-efficient-tools-2026-03-28", "fine-grained-tool-streaming-2025-05-14"),
        *("structured-outputs-2025-11-13", "structured-outputs-2025-12-15"),
        *("tool-examples-2025-10-29", "advanced-tool-use-2025-11-20", "effort-2025-11-24"),
        *("model-context-window-exceeded-2025-08-26", "claude-code-20250219"),
        *("mid-conversation-system-2026-04-07", "mid-conversation-output-config-2026-07-01"),
        "mid-conversation-system-clear-at-2026-08-21",
    ),
    *_betas(
        Effect.PASSES,
        "The limit is that of the model, and the gateway sends no higher one.",
        *("output-128k-2025-02-19", "output-300k-2026-03-24"),
    ),
    *_betas(
        Effect.PASSES,
        "Cache writes of both lives are charged at their own rates.",
        *("extended-cache-ttl-2025-04-11", "prompt-caching-scope-2026-01-05"),
        *("prompt-caching-evict-2026-05-12", "cache-diagnosis-2026-04-07"),
    ),
    *_betas(
        Effect.PASSES,
        "How thinking is shown; it is billed in any case, within `max_tokens`.",
        *("interleaved-thinking-2025-05-14", "dev-full-thinking-2025-05-14"),
        *("redact-thinking-2026-02-12", "thinking-token-count-2026-05-13"),
        *("thinking-display-updates-2026-08-18", "thinking-binding-controls-2026-08-01"),
    ),
    *_betas(
        Effect.PASSES,
        "Clearing makes the prompt shorter. Compaction has a beta of its own.",
        "context-management-2025-06-27",
    ),
    *_betas(
        Effect.PASSES,
        "The client runs these tools. Their hidden descriptions are in the hold.",
        *("computer-use-2024-10-22", "computer-use-2025-01-24", "computer-use-2025-11-24"),
    ),
    *_betas(
        Effect.PASSES,
        "The tools are declared in `tools`, and counted there.",
        "mid-conversation-tool-changes-2026-07-01",
    ),
    *_betas(
        Effect.PASSES,
        "A file may fill the context, so the hold covers the context.",
        "files-api-2025-04-14",
    ),
    *_betas(
        Effect.PASSES,
        "A target for the model; `max_tokens` remains the limit.",
        "task-budgets-2026-03-13",
    ),
    *_betas(
        Effect.OMITTED,
        "The context of a model, and its price, are those of this server's catalog.",
        "context-1m-2025-08-07",
    ),
    *_betas(
        Effect.OMITTED,
        "It belongs to a subscription. This server calls providers with its own key.",
        *("oauth-2025-04-20", "afk-mode-2026-01-31"),
    ),
    *_betas(
        Effect.OMITTED,
        "Server tools are taken out of `tools`, because they have no price here.",
        *("advisor-tool-2026-03-01", "web-search-2025-03-05", "web-fetch-2025-09-10"),
        *("code-execution-2025-05-22", "code-execution-2025-08-25"),
        *("tool-search-tool-2025-10-19", "tool-search-tool-2025-11-19"),
    ),
    *_betas(
        Effect.OMITTED,
        "It asks the provider for hints that only Anthropic's own service gives.",
        "context-hint-2026-04-09",
        fields=("context_hint",),
    ),
    *_betas(
        Effect.OMITTED,
        "A credit of the provider would go to the operator's account, not to the client.",
        *("fallback-credit-2026-06-01", "fallback-credit-2026-07-01"),
        fields=("fallback_credit_token",),
    ),
    *_betas(
        Effect.OMITTED,
        "Only the standard speed has a price here; `speed` is rejected if it is another.",
        "fast-mode-2026-02-01",
    ),
    *_betas(
        Effect.REJECTED,
        "compaction is billed in iterations that the usage of a response does not sum up",
        *("compact-2026-01-12", "compact-2026-09-04"),
        fields=("compaction", COMPACTION),
    ),
    *_betas(
        Effect.REJECTED,
        "another model, with another price, would serve the call",
        *("server-side-fallback-2026-06-01", "server-side-fallback-2026-07-01"),
        fields=("fallbacks",),
    ),
    *_betas(
        Effect.REJECTED,
        "tools that the provider runs have no price on this server",
        *("mcp-client-2025-04-04", "mcp-client-2025-11-20", "mcp-client-2026-09-15"),
        *("mcp-servers-2025-12-04", "skills-2025-10-02", "inline-tools-2026-09-15"),
        fields=("mcp_servers", "container"),
    ),
    *_betas(
        Effect.REJECTED,
        "it attributes the call to an entity in the operator's account",
        *("user-profiles-2026-03-24", "user-profiles-2026-08-18", "user-profiles-2026-09-04"),
        "user-profiles-billing-2026-10-01",
        fields=("user_profile_id", "billing_policy"),
    ),
    *_betas(
        Effect.REJECTED,
        "the provider would keep the conversation, and add text that is not in the request",
        *("message-threads-2026-08-12", "agent-memory-2026-07-22"),
        fields=("thread",),
    ),
)

_BY_NAME: Mapping[str, Beta] = {beta.name: beta for beta in BETAS}


class SentBetas(msgspec.Struct, frozen=True):
    """The headers for a provider, and what was taken out: betas, and fields of the request.

    `allowed` are the fields that pass because the operator lets their beta pass.
    """

    headers: Mapping[str, str]
    omitted: tuple[str, ...]
    fields: tuple[str, ...]
    allowed: frozenset[str]


def read_betas(headers: Mapping[bytes, bytes], allowed: frozenset[str]) -> SentBetas:
    """Read a client's headers; raises `InvalidInput` that names a beta that is not supported.

    `allowed` are the names that the operator lets pass, whatever their effect.
    """
    passed, omitted, fields = list[str](), list[str](), list[str]()
    freed = set[str]()
    for name in _names(headers.get(BETA_HEADER.encode(), b"")):
        beta = _BY_NAME.get(name)
        if name in allowed or (beta is not None and beta.effect is Effect.PASSES):
            passed.append(name)
            freed.update(() if beta is None else beta.fields)
        elif beta is None or beta.effect is Effect.REJECTED:
            reason = "this server does not know its price" if beta is None else beta.note
            raise InvalidInput(
                f"The beta `{name:.80}` of the header `{BETA_HEADER}` is not supported: {reason}. "
                "Leave it out, or ask the operator of this server to allow it."
            )
        else:
            omitted.append(f"{BETA_HEADER}.{name}")
            fields += beta.fields
    sent = {VERSION_HEADER: _version(headers)}
    if passed:
        sent[BETA_HEADER] = ",".join(passed)
    return SentBetas(sent, tuple(omitted), tuple(fields), frozenset(freed))


def _names(given: bytes) -> list[str]:
    names = [name.strip() for name in given.decode("latin-1").split(",")]
    unique = list(dict.fromkeys(name for name in names if name))
    if len(unique) > _BETAS_MAX:
        raise InvalidInput(f"`{BETA_HEADER}` has more than {_BETAS_MAX} names. Send fewer.")
    return unique


def _version(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(VERSION_HEADER.encode(), b"").decode("latin-1").strip()
    if given and not _VERSION.fullmatch(given):
        raise InvalidInput(
            f"The header `{VERSION_HEADER}` is not a version: {given!r:.60}. "
            f"Send `{_DEFAULT_VERSION}`."
        )
    return given or _DEFAULT_VERSION
