"""Audits: whether the journal, holds and generations of one account obey the invariants I1 to I7.

I8, that `GET /credits` equals the journal, concerns a read; `service.verify` checks it.
"""
