"""Everything the gateway refuses, in one tree. `web.errors` maps it to HTTP.

GatewayError
├── InvalidInput              the request itself is wrong
│   ├── InvalidAmount         not an exact decimal within its allowed range
│   ├── ReferenceReused       a reference or idempotency key came again with other parameters
│   └── UnknownModel
├── Unauthenticated           no usable key
│   ├── MissingKey
│   ├── UnknownKey
│   ├── KeyDisabled
│   └── KeyExpired
├── NotPermitted              a good key of the wrong kind
├── NotFound
│   ├── AccountNotFound
│   ├── KeyNotFound
│   ├── HoldNotFound
│   ├── GenerationNotFound
│   ├── ModelNotFound
│   └── NoEndpoint            the model is there, and its endpoint is not as the request demands
├── Conflict                  what is on the books stands against it
│   ├── AccountExists
│   ├── AccountClosed
│   ├── AccountNotEmpty
│   ├── HoldEnded
│   ├── HoldNotExpired
│   ├── TotalTooLarge
│   ├── CallInProgress        its idempotency key names a call that runs
│   ├── CallEnded             it names one that ended and cannot be repeated
│   └── CreatedKeyDeleted     it names the creation of a key that was deleted since
├── InsufficientCredits
├── MaxCostExceeded           the request's own limit
├── KeyLimitExceeded
├── ProviderError             the provider's answer, or the lack of one
│   ├── ProviderRefused       it finds the request wrong
│   ├── ProviderRateLimited
│   ├── ProviderUnavailable
│   └── ProviderTimedOut
├── PriceNotFound             nothing is free by accident
├── Stopping                  the server takes no new calls
└── StoreUnavailable          the database cannot be used just now
"""

import msgspec


class GatewayError(Exception):
    """A refusal its reader can act on: `str()` of it is fit for a user and holds no secret.

    `generation_id` is set where it ended a call that had its hold.
    """

    generation_id: str | None = None


class InvalidInput(GatewayError):
    """The request is malformed or breaks a documented rule."""


class InvalidAmount(InvalidInput):
    """An amount that is not an exact decimal with at most 12 places, or is out of range."""


class ReferenceReused(InvalidInput):
    """The same reference with other parameters; references are kept for ever."""


class UnknownModel(InvalidInput):
    """No model of this name, or none that can be called so."""


class Unauthenticated(GatewayError):
    """No key that opens anything came with the request."""


class MissingKey(Unauthenticated):
    """No `Authorization: Bearer` header with a key-shaped token."""

    def __init__(self) -> None:
        super().__init__("Missing Authentication header")


class UnknownKey(Unauthenticated):
    """Never issued, mistyped or deleted: the three are not told apart, so nobody can probe."""

    def __init__(self) -> None:
        super().__init__("User not found.")


class KeyDisabled(Unauthenticated):
    """Switched off, or its account is closed."""

    def __init__(self) -> None:
        super().__init__("API key is disabled.")


class KeyExpired(Unauthenticated):
    """Past its `expires_at`."""

    def __init__(self) -> None:
        super().__init__("API key has expired.")


class NotPermitted(GatewayError):
    """The key is good, but its kind may not do this."""


class NotFound(GatewayError):
    """What the request names does not exist for this caller."""


class AccountNotFound(NotFound):
    """No account with this id."""


class KeyNotFound(NotFound):
    """No key with this hash on the account."""


class HoldNotFound(NotFound):
    """No hold with this id on the account."""


class GenerationNotFound(NotFound):
    """No generation with this id on the account."""


class ModelNotFound(NotFound):
    """No model of this name to be shown."""


class NoEndpoint(NotFound):
    """No endpoint of the model meets what the request demands of one; OpenRouter's word and 404."""


class Conflict(GatewayError):
    """The request is well formed, but what is on the books stands against it."""


class AccountExists(Conflict):
    """An account with this id was opened under another reference."""


class AccountClosed(Conflict):
    """Closed accounts take no credits and no holds."""


class AccountNotEmpty(Conflict):
    """An account with a balance or open holds cannot be closed."""


class HoldEnded(Conflict):
    """A hold ends exactly once."""


class HoldNotExpired(Conflict):
    """A hold may be resolved by the sweeper only after its time."""


class TotalTooLarge(Conflict):
    """A lifetime total would pass what the database can hold exactly."""


class CallInProgress(Conflict):
    """A call with this idempotency key is running: ask again shortly."""


class CallEnded(Conflict):
    """A call with this idempotency key has ended and its answer is not kept."""


class CreatedKeyDeleted(Conflict):
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


class InsufficientCredits(GatewayError):
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


class MaxCostExceeded(GatewayError):
    """The worst case of the call is above what its request allows it to cost."""

    def __init__(self, message: str, shortfall: Shortfall) -> None:
        super().__init__(message)
        self.shortfall = shortfall


class KeyLimitExceeded(GatewayError):
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


class ProviderError(GatewayError):
    """What a provider answered instead of a completion. `raw` is its own text, cut short.

    `status` is its HTTP status where there was one, `code` its own word for the error.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        code: str | None = None,
        raw: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.code = code
        self.raw = raw
        self.retry_after_s = retry_after_s


class ProviderRefused(ProviderError):
    """The provider finds fault with the request: repeating it will not help."""


class ProviderRateLimited(ProviderError):
    """The provider's own limit, shared by all who call through this gateway."""


class ProviderUnavailable(ProviderError):
    """The provider cannot be reached, failed, or sent what is no answer."""


class ProviderTimedOut(ProviderError):
    """The provider did not answer in time."""


class PriceNotFound(GatewayError):
    """The model has no price that is in force, so a call cannot be charged."""


class Stopping(GatewayError):
    """The server is about to end and takes no new calls."""


class StoreUnavailable(GatewayError):
    """The database cannot be used just now; nothing was acknowledged.

    Repeating a command under its reference is safe, whether or not it was saved.
    """
