from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.betas import BETAS, Effect
from tests.dialects.anthropic import messages

CLEARING = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
COMPACTING = {"edits": [{"type": "compact_20260112"}]}


def sent(*names: str) -> dict[bytes, bytes]:
    return {b"anthropic-beta": ", ".join(names).encode()}


def rejection(*names: str, **members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        messages.request(sent(*names), **members)
    return str(caught.value)


def test_betas_of_claude_code_pass_in_their_order() -> None:
    request = messages.request(
        sent(*messages.CLAUDE_CODE_BETAS),
        context_management=CLEARING,
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
    )
    assert request.headers["anthropic-beta"].split(",") == list(messages.CLAUDE_CODE_BETAS)
    assert request.omitted == ()
    assert "context_management" in request.wire


def test_betas_that_claude_code_adds_for_anthropic_are_accepted() -> None:
    names = ("advisor-tool-2026-03-01", "advanced-tool-use-2025-11-20", "oauth-2025-04-20")
    request = messages.request(sent(*names, "extended-cache-ttl-2025-04-11"))
    assert request.headers["anthropic-beta"] == (
        "advanced-tool-use-2025-11-20,extended-cache-ttl-2025-04-11"
    )
    assert request.omitted == (
        "anthropic-beta.advisor-tool-2026-03-01",
        "anthropic-beta.oauth-2025-04-20",
    )


def test_unknown_beta_is_rejected_by_name() -> None:
    assert "`future-2027-01-01`" in rejection("claude-code-20250219", "future-2027-01-01")


@pytest.mark.parametrize("beta", [b for b in BETAS if b.effect is Effect.REJECTED])
def test_beta_whose_price_is_unknown_is_rejected_unless_it_is_allowed(beta: object) -> None:
    name = getattr(beta, "name", "")
    assert f"`{name}`" in rejection(name)
    request = messages.request(sent(name), frozenset({name}))
    assert request.headers["anthropic-beta"] == name


def test_every_beta_is_listed_once() -> None:
    names = [beta.name for beta in BETAS]
    assert len(names) == len(set(names))


def test_long_context_is_left_to_the_catalog() -> None:
    name = "context-1m-2025-08-07"
    request = messages.request(sent(name))
    assert "anthropic-beta" not in request.headers
    assert request.omitted == (f"anthropic-beta.{name}",)
    allowed = messages.request(sent(name), frozenset({name}))
    assert allowed.headers["anthropic-beta"] == name


def test_header_is_taken_out_together_with_its_field() -> None:
    request = messages.request(sent("context-hint-2026-04-09"), context_hint={"enabled": True})
    assert "context_hint" not in request.wire
    assert request.omitted == ("anthropic-beta.context-hint-2026-04-09", "context_hint")


def test_credit_of_the_operator_is_taken_out_with_its_header() -> None:
    request = messages.request(sent("fallback-credit-2026-07-01"), fallback_credit_token="t")
    assert "fallback_credit_token" not in request.wire
    assert "not supported" in rejection(fallback_credit_token="t")


def test_field_of_a_rejected_beta_passes_only_with_the_allowed_header() -> None:
    name = "compact-2026-01-12"
    assert "compact_20260112" in rejection(context_management=COMPACTING)
    request = messages.request(
        sent(name), frozenset({name}), context_management=COMPACTING, compaction={"a": 1}
    )
    assert {"context_management", "compaction"} <= request.wire.keys()
    with pytest.raises(InvalidInput, match="compaction"):
        messages.request(None, frozenset({name}), compaction={"a": 1})


def test_version_is_the_clients_or_the_default() -> None:
    assert messages.request().headers == {"anthropic-version": "2023-06-01"}
    given = {b"anthropic-version": b"2026-10-21"}
    assert messages.request(given).headers == {"anthropic-version": "2026-10-21"}
    with pytest.raises(InvalidInput, match="anthropic-version"):
        messages.request({b"anthropic-version": b"2026\r\nx: y"})


def test_empty_names_and_repeats_are_ignored() -> None:
    request = messages.request(sent("", "effort-2025-11-24", " ", "effort-2025-11-24"))
    assert request.headers["anthropic-beta"] == "effort-2025-11-24"


def test_too_many_names_are_rejected() -> None:
    assert "more than 100" in rejection(*(f"b{number}" for number in range(101)))
