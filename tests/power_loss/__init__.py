"""Cuts the power at any file operation of the ledger: a kill cannot show missing syncs."""
