"""Train the dictionary of compressed records: `python -m tools.record_dictionary`.

Prints the statement for a migration. The samples are made up from a seed, so that one version of
zstd always trains the same dictionary, and so that it contains nobody's data. A released dictionary
never changes, because records need it; a better one is a new version, in a migration of its own.
"""

from itertools import islice

import msgspec

from benchmarks.synthetic_calls import calls
from modelgates_server.store.zstandard import zstd

VERSION = 1
ZSTD_VERSION = "1.5.7"
SIZE_BYTES = 8192
_SEED = 1
_CALLS = 2000


def train() -> bytes:
    """Returns the dictionary, trained with records of calls at their start and at their end."""
    samples = [
        msgspec.json.encode(generation)
        for call in islice(calls(_SEED), _CALLS)
        for generation in call
    ]
    return zstd.train_dict(samples, SIZE_BYTES).dict_content


if __name__ == "__main__":
    print("insert into record_dictionary values", f"({VERSION}, x'{train().hex()}');")  # noqa: T201
