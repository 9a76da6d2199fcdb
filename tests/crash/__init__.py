"""Kills processes that use the ledger, and checks that every acknowledged change is still there."""
