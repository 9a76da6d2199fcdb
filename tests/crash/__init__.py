"""Kills a process that uses the ledger, and looks whether what it acknowledged is still there."""
