"""Audits: whether one account's journal, holds and generations obey the invariants I1 to I7.

I8, that `GET /credits` equals the journal, is about a read: `service.verify`.
"""
