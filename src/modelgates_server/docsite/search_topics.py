"""Pages for words that the documentation does not use, or for which one page is clearly the best.

Readers search in the words of other products: "top up", "webhook", "TypeScript". A topic names the
pages that answer such a search and says in a sentence what to do, also where a feature is
missing.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

_CLI = "reference/cli"
_CREDITS = "guides/credits/credits-usage-and-holds"
_KEYS = "guides/overview/auth/management-api-keys"
_API = "api/api-reference"

_WORD = re.compile(r"[a-z0-9]+")
_PREFIX_MIN_CHARS = 4
"""A shorter beginning of a word could be that of many others."""


class Target(NamedTuple):
    """A page with the sentence that a result shows.

    `about` are words of the section meant, which may be under any heading of the page; empty means
    the page as a whole.
    """

    path: str
    about: str
    text: str


class Topic(NamedTuple):
    """The targets of queries that contain all words of one of these phrases, in any order."""

    phrases: tuple[str, ...]
    targets: tuple[Target, ...]


TOPICS = (
    Topic(
        ("balance", "money left", "total credits", "total usage"),
        (
            Target(
                f"{_API}/credits/get-credits",
                "",
                "The balance is total_credits minus total_usage. GET /credits returns both.",
            ),
            Target(
                _CREDITS, "", "Balance, held and available: what they are and when they change."
            ),
        ),
    ),
    Topic(
        ("docker", "container", "kubernetes", "podman", "compose"),
        (
            Target(
                "guides/deploying",
                "docker container",
                "Build a container image, run it with Docker and keep the database in a volume.",
            ),
        ),
    ),
    Topic(
        ("leak", "leaked", "stolen key", "exposed key", "compromised"),
        (
            Target(
                _KEYS,
                "rotate",
                "Disable or delete a leaked key, which takes effect at once, and create a new one.",
            ),
        ),
    ),
    Topic(
        ("revoke", "block key", "invalidate key"),
        (
            Target(
                _KEYS,
                "revoke",
                "Disable a key to stop it for a while; delete it to stop it permanently.",
            ),
            Target(
                f"{_API}/api-keys/delete-key", "", "Deletes a key, which stops working at once."
            ),
            Target(_CLI, "modelgates key disable", "Disable a key from the command line."),
        ),
    ),
    Topic(
        ("refund", "money back", "chargeback"),
        (
            Target(
                _CLI,
                "modelgates credits adjust",
                "There is no refund operation. The operator corrects the credits of an account "
                "with the command modelgates credits adjust.",
            ),
            Target(
                _CREDITS,
                "failed voided",
                "A call that fails is free: its hold is voided, and nothing has to be refunded.",
            ),
        ),
    ),
    Topic(
        ("webhook", "notification", "callback url", "low balance alert"),
        (
            Target(
                f"{_API}/usage/get-activity",
                "",
                "ModelGates sends no webhooks. Poll GET /activity for usage, or GET /credits for "
                "the balance.",
            ),
            Target("guides/operating", "metrics", "Alert on the metrics of the server instead."),
        ),
    ),
    Topic(
        ("typescript", "node", "nodejs", "deno", "bun"),
        (
            Target(
                "guides/clients",
                "",
                "From TypeScript, use the OpenAI, OpenRouter or Vercel AI SDK with the base URL of "
                "this server and a key.",
            ),
        ),
    ),
    Topic(
        ("top up", "topup", "recharge", "add credits", "buy credits", "payment", "stripe"),
        (
            Target(
                _CLI,
                "modelgates credits grant",
                "The operator adds credits with the command modelgates credits grant. There are "
                "no payments in ModelGates.",
            ),
            Target(
                _CREDITS,
                "add credits come",
                "How credits come in, and the entry that each grant makes.",
            ),
        ),
    ),
)


def targets_of(words: Collection[str]) -> tuple[Target, ...]:
    """The targets for a query of these lower-case words; none where it is about something else.

    A topic applies if its phrase is at least half of the query. The plural of a word and a
    beginning of it match as well.
    """
    for topic in TOPICS:
        for phrase in topic.phrases:
            needed = _WORD.findall(phrase)
            if 2 * len(needed) >= len(words) and all(_has(words, word) for word in needed):
                return topic.targets
    return ()


def _has(words: Collection[str], wanted: str) -> bool:
    beginnings = (word for word in words if len(word) >= min(_PREFIX_MIN_CHARS, len(wanted)))
    return any(wanted.startswith(word) or word == f"{wanted}s" for word in beginnings)
