"""Audits: whether one account's journal, holds and generations obey the invariants."""
