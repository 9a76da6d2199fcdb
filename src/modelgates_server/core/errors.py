"""Everything the gateway refuses, in one tree of classes: a subclass is a special case of its base.

Each class has a `code` of its own: the word that is stored with failed calls, counted, logged and
documented in `docs/guides/errors.md`. A released code never changes, whatever its class is renamed
to. `web.errors` has the HTTP status of each code; a code without one there has that of its base.
"""

from typing import ClassVar

import msgspec


class GatewayError(Exception):
    """A refusal its reader can act on: `str()` of it is fit for a user and holds no secret.

    `generation_id` is set where it ended a call that had its hold, `retry_after_s` where it is
    known when to try again.
    """

    code: ClassVar[str] = "internal_error"
    generation_id: str | None = None
    retry_after_s: int | None = None

    def __init_subclass__(cls, *, code: str) -> None:
        super().__init_subclass__()
        cls.code = code


class InvalidInput(GatewayError, code="invalid_input"):
    """The request is malformed or breaks a documented rule."""


class InvalidAmount(InvalidInput, code="invalid_amount"):
    """An amount that is not an exact decimal with at most 12 places, or is out of range."""


class ReferenceReused(InvalidInput, code="reference_reused"):
    """The same reference with other parameters; references are kept for ever."""


class UnknownModel(InvalidInput, code="unknown_model"):
    """No model of this name, or none that can be called so."""


class Unauthenticated(GatewayError, code="unauthenticated"):
    """No key that opens anything came with the request."""


class MissingKey(Unauthenticated, code="missing_key"):
    """No `Authorization: Bearer` header with a key-shaped token."""

    def __init__(self) -> None:
        super().__init__("Missing Authentication header")


class UnknownKey(Unauthenticated, code="unknown_key"):
    """Never issued, mistyped or deleted: the three are not told apart, so nobody can probe."""

    def __init__(self) -> None:
        super().__init__("User not found.")


class KeyDisabled(Unauthenticated, code="key_disabled"):
    """Switched off, or its account is closed."""

    def __init__(self) -> None:
        super().__init__("API key is disabled.")


class KeyExpired(Unauthenticated, code="key_expired"):
    """Past its `expires_at`."""

    def __init__(self) -> None:
        super().__init__("API key has expired.")


class NotPermitted(GatewayError, code="not_permitted"):
    """The key is good, but its kind may not do this."""


class NotFound(GatewayError, code="not_found"):
    """What the request names does not exist for this caller."""


class AccountNotFound(NotFound, code="account_not_found"):
    """No account with this id."""


class KeyNotFound(NotFound, code="key_not_found"):
    """No key with this hash on the account."""


class HoldNotFound(NotFound, code="hold_not_found"):
    """No hold with this id on the account."""


class GenerationNotFound(NotFound, code="generation_not_found"):
    """No generation with this id on the account."""


class ModelNotFound(NotFound, code="model_not_found"):
    """No model of this name to be shown."""


class NoEndpoint(NotFound, code="no_endpoint"):
    """No endpoint of the model meets what the request demands of one."""


class Conflict(GatewayError, code="conflict"):
    """The request is well formed, but the recorded state does not allow it."""


class AccountExists(Conflict, code="account_exists"):
    """An account with this id was opened under another reference."""


class AccountClosed(Conflict, code="account_closed"):
    """Closed accounts take no credits and no holds."""


class AccountNotEmpty(Conflict, code="account_not_empty"):
    """An account with a balance or open holds cannot be closed."""


class HoldEnded(Conflict, code="hold_ended"):
    """A hold ends exactly once."""


class HoldNotExpired(Conflict, code="hold_not_expired"):
    """A hold may be resolved by maintenance only after its time."""


class TotalTooLarge(Conflict, code="total_too_large"):
    """A lifetime total would pass what the database can hold exactly."""


class CallInProgress(Conflict, code="call_in_progress"):
    """A call with this idempotency key is running: ask again shortly."""


class CallEnded(Conflict, code="call_ended"):
    """A call with this idempotency key has ended and its answer is not kept."""


class CreatedKeyDeleted(Conflict, code="created_key_deleted"):
    """A repeated creation of a key that was deleted: answering with it would give a dead key."""

    def __init__(self) -> None:
        super().__init__(
            "The key created under this Idempotency-Key was deleted; use a new one to create "
            "another key"
        )


class Shortfall(msgspec.Struct, frozen=True):
    """The arithmetic of a call that cannot be paid for: amounts in picos, tokens of output.

    Tokens are those of each choice, in the unit of `max_tokens`: a call that asks for
    `affordable_tokens` works, if that is not 0.
    """

    asked_pico: int
    available_pico: int
    held_pico: int
    requested_tokens: int
    affordable_tokens: int
    choices: int = 1


class InsufficientCredits(GatewayError, code="insufficient_credits"):
    """The available credits do not cover the amount.

    `reason` is stable, for programs; `retry_after_s` is there when open holds are all that stands
    against it; `shortfall` where the amount was that of a call. Texts are those that OpenRouter's
    clients know.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "insufficient_credits",
        shortfall: Shortfall | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.shortfall = shortfall
        self.retry_after_s = retry_after_s

    @classmethod
    def in_flight(cls, shortfall: Shortfall, retry_after_s: int) -> "InsufficientCredits":
        """It would be enough, but for the calls that are running."""
        return cls(
            "This request would exceed your available credits given your current in-flight "
            "requests. Retry after in-flight requests settle, or add credits.",
            reason="in_flight_budget_exhausted",
            shortfall=shortfall,
            retry_after_s=retry_after_s,
        )

    @classmethod
    def empty(cls, shortfall: Shortfall, *, purchased: bool) -> "InsufficientCredits":
        """There is nothing left, or never was."""
        if purchased:
            return cls("Insufficient credits. Add more credits.", shortfall=shortfall)
        return cls(
            "Insufficient credits. This account never purchased credits. Make sure your key is on "
            "the correct account, and if so, purchase more.",
            reason="never_purchased",
            shortfall=shortfall,
        )

    @classmethod
    def fewer_tokens(cls, shortfall: Shortfall) -> "InsufficientCredits":
        """Shorter answers, or fewer of them, could be paid for."""
        several = f" for each of {shortfall.choices} choices" if shortfall.choices > 1 else ""
        if shortfall.affordable_tokens:
            remedy = "lower max_tokens"
        else:
            remedy = "ask for fewer choices (n)" if several else "shorten the prompt"
        return cls(
            "This request requires more credits, or fewer max_tokens. You requested up to "
            f"{shortfall.requested_tokens} tokens, but can only afford "
            f"{shortfall.affordable_tokens} (worst case{several}). Add credits, or {remedy}.",
            reason="max_tokens_unaffordable",
            shortfall=shortfall,
        )

    @classmethod
    def shorter_prompt(cls, shortfall: Shortfall, asked: int, most: int) -> "InsufficientCredits":
        """The prompt alone is too dear; token counts are upper bounds."""
        return cls(
            f"Prompt tokens limit exceeded: {asked} > {most} (worst case: each byte of the request "
            "may be a token). Add credits, or shorten the prompt.",
            reason="prompt_unaffordable",
            shortfall=shortfall,
        )


class MaxCostExceeded(GatewayError, code="max_cost_exceeded"):
    """The worst case of the call is above what its request allows it to cost."""

    def __init__(self, message: str, shortfall: Shortfall) -> None:
        super().__init__(message)
        self.shortfall = shortfall


class KeyLimitExceeded(GatewayError, code="key_limit_exceeded"):
    """The key's own limit for the current window does not cover the amount.

    `resets_at_ms` is when the window ends, None for a lifetime limit.
    """

    def __init__(
        self,
        message: str,
        *,
        asked_pico: int,
        limit_pico: int,
        spent_pico: int,
        held_pico: int,
        resets_at_ms: int | None,
    ) -> None:
        super().__init__(message)
        self.asked_pico = asked_pico
        self.limit_pico = limit_pico
        self.spent_pico = spent_pico
        self.held_pico = held_pico
        self.resets_at_ms = resets_at_ms


class ProviderError(GatewayError, code="provider_error"):
    """What a provider answered instead of a completion. `raw` is its own text, cut short.

    `status` is its HTTP status where there was one, `provider_code` its own word for the error.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        provider_code: str | None = None,
        raw: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.provider_code = provider_code
        self.raw = raw
        self.retry_after_s = retry_after_s


class ProviderRefused(ProviderError, code="provider_refused"):
    """The provider finds fault with the request: repeating it will not help."""


class ProviderRateLimited(ProviderError, code="provider_rate_limited"):
    """The provider's own limit, shared by all who call through this gateway."""


class ProviderUnavailable(ProviderError, code="provider_unavailable"):
    """The provider cannot be reached, failed, or sent what is no answer."""


class ProviderTimedOut(ProviderError, code="provider_timed_out"):
    """The provider did not answer in time."""


class PriceNotFound(GatewayError, code="price_not_found"):
    """The model has no price that is in force, so a call cannot be charged."""


class Stopping(GatewayError, code="server_stopping"):
    """The server is about to end and takes no new calls."""


class StoreUnavailable(GatewayError, code="database_unavailable"):
    """The database cannot be used just now; nothing was acknowledged.

    Repeating a command under its reference is safe, whether or not it was saved.
    """
