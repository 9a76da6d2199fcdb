"""Runs every benchmark."""

from benchmarks import ledger

ledger.report()
