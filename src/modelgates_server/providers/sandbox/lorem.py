"""The text of `lorem`: Cicero's, as typesetters have garbled it for centuries."""

from itertools import cycle, islice

from modelgates_server.providers.sandbox.request import tokens_of

_TOKENS = tokens_of(
    "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut "
    "labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco "
    "laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure dolor in reprehenderit in "
    "voluptate velit esse cillum dolore eu fugiat nulla pariatur. Excepteur sint occaecat "
    "cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum. "
)


def lorem_tokens(count: int) -> list[str]:
    """The first `count` tokens of the text, repeated as needed."""
    return list(islice(cycle(_TOKENS), count))
