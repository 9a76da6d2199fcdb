"""Named statements: `.sql` files stay reviewable as SQL and are read once.

A statement starts at a line `-- name: it` and ends at the next such line.
"""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(package: str, file: str) -> dict[str, str]:
    """The statements of one file of a package, by name, without comments and semicolons."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    bodies = (re.sub(r"--.*", "", body).strip().rstrip(";") for body in parts[1::2])
    return dict(zip(parts[0::2], bodies, strict=True))
