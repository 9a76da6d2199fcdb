"""Metered calls: admitted, attempted, relayed to the client and settled."""
