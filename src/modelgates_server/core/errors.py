"""Everything the gateway refuses, in one tree. `web.errors` maps it to HTTP.

GatewayError
├── InvalidInput              the request itself is wrong
│   ├── InvalidAmount         not an exact decimal within its allowed range
│   └── ReferenceReused       a reference or idempotency key came again with other parameters
├── Unauthenticated           no usable key
│   ├── MissingKey
│   ├── UnknownKey
│   ├── KeyDisabled
│   └── KeyExpired
├── NotPermitted              a good key of the wrong kind
├── NotFound
│   ├── AccountNotFound
│   ├── KeyNotFound
│   └── HoldNotFound
├── Conflict                  what is on the books stands against it
│   ├── AccountExists
│   ├── AccountClosed
│   ├── AccountNotEmpty
│   ├── HoldEnded
│   ├── HoldNotExpired
│   └── TotalTooLarge
├── InsufficientCredits
├── KeyLimitExceeded
└── StoreUnavailable          the database cannot be used just now
"""


class GatewayError(Exception):
    """A refusal its reader can act on: `str()` of it is fit for a user and holds no secret."""


class InvalidInput(GatewayError):
    """The request is malformed or breaks a documented rule."""


class InvalidAmount(InvalidInput):
    """An amount that is not an exact decimal with at most 12 places, or is out of range."""


class ReferenceReused(InvalidInput):
    """The same reference with other parameters; references are kept for ever."""


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


class InsufficientCredits(GatewayError):
    """The available credits do not cover the amount."""

    def __init__(self, message: str, *, asked_pico: int, available_pico: int) -> None:
        super().__init__(message)
        self.asked_pico = asked_pico
        self.available_pico = available_pico


class KeyLimitExceeded(GatewayError):
    """The key's own limit for the current window does not cover the amount."""

    def __init__(self, message: str, *, limit_pico: int, spent_pico: int, held_pico: int) -> None:
        super().__init__(message)
        self.limit_pico = limit_pico
        self.spent_pico = spent_pico
        self.held_pico = held_pico


class StoreUnavailable(GatewayError):
    """The database cannot be used just now; nothing was acknowledged.

    Repeating a command under its reference is safe, whether or not it was saved.
    """
