"""Log lines and a metric for failed attempts at providers."""

import re
from collections.abc import Callable

import structlog

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.keys import without_keys
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.provider_causes import ProviderCause
from modelgates_server.telemetry.line_budget import LineBudget
from modelgates_server.telemetry.provider_advice import ProviderAdvice

_WINDOW_S = 10
_TEXT_MAX_CHARS = 200
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)

log = structlog.get_logger()


class ProviderFailures:
    """Writes the first failure of a provider and a cause at once, and the others as a number.

    A provider's text may quote the prompt. It is logged only if it is about the operator's account.
    """

    def __init__(self, advice: ProviderAdvice, count: Callable[[str, str], None]) -> None:
        self._advice = advice
        self._count = count
        self._budgets: dict[tuple[str, ProviderCause], LineBudget] = {}

    def report(self, generation: Generation, error: ProviderError) -> None:
        """Count a failed attempt of a call, and log it if its kind is new."""
        self._count(generation.endpoint_id, error.cause.value)
        if not self._budget(error.provider, error.cause).admits():
            return
        code = error.provider_code
        log.warning(
            "attempt failed",
            reason=self._advice.of(generation, error),
            provider=error.provider,
            endpoint_id=generation.endpoint_id,
            model=generation.model,
            cause=error.cause.value,
            error=error.code,
            status=error.status,
            provider_code=code if code and _CODE.fullmatch(code) else None,
            provider_text=_shown(error.account_text),
            id=generation.id,
            account_id=generation.account_id,
            request_id=generation.origin.request_id,
        )

    def _budget(self, provider: str, cause: ProviderCause) -> LineBudget:
        def report(attempts: int) -> None:
            log.warning(
                "more attempts failed",
                provider=provider,
                cause=cause.value,
                count=attempts,
                window_s=_WINDOW_S,
            )

        budget = self._budgets.get((provider, cause))
        if budget is None:
            self._budgets[provider, cause] = budget = LineBudget(1, _WINDOW_S, report)
        return budget


def _shown(text: str | None) -> str | None:
    return None if text is None else without_keys(text)[:_TEXT_MAX_CHARS]
