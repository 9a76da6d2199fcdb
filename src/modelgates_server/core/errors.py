"""All errors of the gateway, in one class tree: a subclass is a special case of its base.

Each class has its own `code`, which is stored with failed calls, counted, logged and documented in
`docs/guides/errors.md`. A released code never changes, even if its class is renamed. `web.errors`
maps codes to HTTP statuses; a code that is not listed there has the status of its base class.
"""

from typing import ClassVar, NamedTuple

import msgspec

from modelgates_server.core.provider_causes import ProviderCause

RETRY_AFTER_MAX_S = 3600
"""The longest time to wait; a provider that asks for more gets this."""


class GatewayError(Exception):
    """An error that its reader can act on. Its text is written for users and contains no secret.

    `generation_id` is set if the error ended a call whose hold was placed. `retry_after_s` is set
    if the time to try again is known.
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
    """An amount is not an exact decimal with at most 12 places, or is out of range."""


class ReferenceReused(InvalidInput, code="reference_reused"):
    """A reference was used before with different parameters. References never expire."""


class UnknownModel(InvalidInput, code="unknown_model"):
    """No model has this name, or the model cannot be called through this API."""


class Unauthenticated(GatewayError, code="unauthenticated"):
    """The request has no valid key. `remedy_hint` says what is wrong with the one that was sent."""

    def __init__(self, message: str, remedy_hint: str | None = None) -> None:
        super().__init__(message)
        self.remedy_hint = remedy_hint


class MissingKey(Unauthenticated, code="missing_key"):
    """The request has no header with a key, or its key has not the form of one."""

    def __init__(self, remedy_hint: str | None = None) -> None:
        super().__init__("Missing Authentication header", remedy_hint)


class UnknownKey(Unauthenticated, code="unknown_key"):
    """The key was never issued, is mistyped or was deleted. The error does not say which."""

    def __init__(self, remedy_hint: str | None = None) -> None:
        super().__init__("User not found.", remedy_hint)


class KeyDisabled(Unauthenticated, code="key_disabled"):
    """The key is disabled, or its account is closed."""

    def __init__(self) -> None:
        super().__init__("API key is disabled.")


class KeyExpired(Unauthenticated, code="key_expired"):
    """The key's `expires_at` has passed."""

    def __init__(self) -> None:
        super().__init__("API key has expired.")


class KeyReplaced(Unauthenticated, code="key_replaced"):
    """The key was rotated, and the time in which its old text still worked has passed."""

    def __init__(self) -> None:
        super().__init__("API key was replaced by a new one.")


class NotPermitted(GatewayError, code="not_permitted"):
    """The key is valid, but keys of its kind may not do this."""


class NotFound(GatewayError, code="not_found"):
    """The thing that the request names does not exist, or belongs to another account."""


class AccountNotFound(NotFound, code="account_not_found"):
    """No account has this id."""


class KeyNotFound(NotFound, code="key_not_found"):
    """The account has no key with this hash."""


class HoldNotFound(NotFound, code="hold_not_found"):
    """The account has no hold with this id."""


class GenerationNotFound(NotFound, code="generation_not_found"):
    """The account has no generation with this id."""


class GenerationArchived(NotFound, code="generation_archived"):
    """The record of the generation was moved to an archive. Its cost still counts."""

    def __init__(self, generation_id: str, archive: str) -> None:
        super().__init__(
            f"The record of generation `{generation_id}` is in the archive `{archive}`. Ask the "
            "operator of this server for it."
        )
        self.archive = archive


class ModelNotFound(NotFound, code="model_not_found"):
    """No model has this name, so there is nothing to show."""


class NoEndpoint(NotFound, code="no_endpoint"):
    """No endpoint of the model meets the requirements of the request."""


class Conflict(GatewayError, code="conflict"):
    """The request is well formed, but the current state does not allow it."""


class AccountExists(Conflict, code="account_exists"):
    """An account with this id was opened before, under another reference."""


class AccountClosed(Conflict, code="account_closed"):
    """The account is closed: it accepts no credits and no holds."""


class AccountNotEmpty(Conflict, code="account_not_empty"):
    """The account cannot be closed: it has a balance or open holds."""


class HoldEnded(Conflict, code="hold_ended"):
    """The hold has ended already. A hold ends exactly once."""


class HoldNotExpired(Conflict, code="hold_not_expired"):
    """The hold has not expired yet, so maintenance may not resolve it."""


class TotalTooLarge(Conflict, code="total_too_large"):
    """A lifetime total would exceed the largest number that the database stores exactly."""


class CallInProgress(Conflict, code="call_in_progress"):
    """The call that a request repeats is running and cannot be joined. Repeat it shortly."""


class CallEnded(Conflict, code="call_ended"):
    """A call with this idempotency key has ended, and its response is not stored."""


class CreatedKeyDeleted(Conflict, code="created_key_deleted"):
    """The creation of a key was repeated after the key was deleted or rotated.

    Its text would be useless.
    """

    def __init__(self, change: str = "deleted") -> None:
        super().__init__(
            f"The key created with this `Idempotency-Key` was {change}. "
            "Send a new `Idempotency-Key` to create another key."
        )


class Shortfall(msgspec.Struct, frozen=True):
    """The arithmetic of a call that cannot be paid for, in picos and output tokens.

    Tokens are counted for each choice, as `max_tokens` counts them. Unless `affordable_tokens`
    is 0, a call with that many `max_tokens` is accepted.
    """

    asked_pico: int
    available_pico: int
    held_pico: int
    requested_tokens: int
    affordable_tokens: int
    choices: int = 1


class InsufficientCredits(GatewayError, code="insufficient_credits"):
    """The available credits do not cover the amount.

    `reason` is stable, for programs. `retry_after_s` is set if the credits would be enough without
    the open holds, and `shortfall` if the amount is that of a call. The messages start with the
    texts that OpenRouter's clients know.
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
        """Returns the error of a call that is affordable once the running calls have ended."""
        return cls(
            "This request would exceed your available credits given your current in-flight "
            "requests. Retry after in-flight requests settle, or add credits.",
            reason="in_flight_budget_exhausted",
            shortfall=shortfall,
            retry_after_s=retry_after_s,
        )

    @classmethod
    def empty(cls, shortfall: Shortfall, *, purchased: bool) -> "InsufficientCredits":
        """Returns the error of a call on an account whose credits are spent or never existed."""
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
        """Returns the error of a call whose prompt is affordable and whose output is not."""
        several = f" for each of {shortfall.choices} choices" if shortfall.choices > 1 else ""
        if shortfall.affordable_tokens:
            remedy = "lower max_tokens"
        else:
            remedy = "request fewer choices (n)" if several else "shorten the prompt"
        return cls(
            "This request requires more credits, or fewer max_tokens. You requested up to "
            f"{shortfall.requested_tokens} tokens, but can only afford "
            f"{shortfall.affordable_tokens} (worst case{several}). Add credits, or {remedy}.",
            reason="max_tokens_unaffordable",
            shortfall=shortfall,
        )

    @classmethod
    def shorter_prompt(cls, shortfall: Shortfall, asked: int, most: int) -> "InsufficientCredits":
        """Returns the error of a call whose prompt is too expensive. Counts are upper bounds."""
        return cls(
            f"Prompt tokens limit exceeded: {asked} > {most} (worst case: each byte of the request "
            "may be a token). Add credits, or shorten the prompt.",
            reason="prompt_unaffordable",
            shortfall=shortfall,
        )


class MaxCostExceeded(GatewayError, code="max_cost_exceeded"):
    """The worst-case cost of the call exceeds the maximum that its request sets."""

    def __init__(self, message: str, shortfall: Shortfall) -> None:
        super().__init__(message)
        self.shortfall = shortfall


class KeyLimitExceeded(GatewayError, code="key_limit_exceeded"):
    """The limit of the key does not cover the amount in the current window.

    `resets_at_ms` is the end of the window; None for a lifetime limit.
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


class ProviderBody(NamedTuple):
    """A provider's error response as it was sent, in the dialect of that name."""

    dialect: str
    status: int
    body: bytes


class ProviderError(GatewayError, code="provider_error"):
    """A provider failed, or returned an error instead of a completion.

    `raw` is the provider's own text, truncated. `status` is its HTTP status if there was one, and
    `provider_code` its own code for the error. `cause` is for the operator alone, and so is
    `account_text`: what the provider says about the operator's account, such as its key. `sent` is
    the response itself, if clients of its dialect may see it.
    """

    usual_cause: ClassVar[ProviderCause] = ProviderCause.PROVIDER_FAILED

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        provider_code: str | None = None,
        raw: str | None = None,
        retry_after_s: int | None = None,
        cause: ProviderCause | None = None,
        account_text: str | None = None,
        sent: ProviderBody | None = None,
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.cause = cause or self.usual_cause
        self.account_text = account_text
        self.provider = provider
        self.status = status
        self.provider_code = provider_code
        self.raw = raw
        self.retry_after_s = retry_after_s


class ProviderRefused(ProviderError, code="provider_refused"):
    """The provider rejected the request. Repeating it does not help."""

    usual_cause = ProviderCause.REQUEST_REJECTED


class ProviderRateLimited(ProviderError, code="provider_rate_limited"):
    """The provider's rate limit was reached. All clients of this gateway share it."""

    usual_cause = ProviderCause.RATE_LIMITED


class ProviderUnavailable(ProviderError, code="provider_unavailable"):
    """The provider cannot be reached, failed, or sent an invalid response."""

    usual_cause = ProviderCause.INVALID_RESPONSE


class ProviderTimedOut(ProviderError, code="provider_timed_out"):
    """The provider did not respond in time."""

    usual_cause = ProviderCause.TIMED_OUT


class PriceNotFound(GatewayError, code="price_not_found"):
    """The model has no price in force, so a call cannot be charged."""


class Stopping(GatewayError, code="server_stopping"):
    """The server is shutting down and accepts no new calls."""


class StoreUnavailable(GatewayError, code="database_unavailable"):
    """The database is unavailable. Nothing was acknowledged.

    It is safe to repeat a command with the same reference, whether or not it was saved. `cause` is
    a public sentence for /readyz, without a path; it is empty if the cause is not known.
    """

    cause: str = ""


class DiskFull(StoreUnavailable, code="disk_full"):
    """A disk is full, or has too little room for the end of another call."""

    cause = "A disk of the server is full."


class StoreDamaged(StoreUnavailable, code="database_damaged"):
    """The database is damaged. Only an operator can help, with a backup."""

    cause = "The database is damaged. Restore a backup."
