"""The documentation site that the pages show."""

from tests.docsite.conftest import site

__all__ = ["site"]
