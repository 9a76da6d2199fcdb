"""Zstandard from the standard library, or from its backport for earlier versions of Python."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
