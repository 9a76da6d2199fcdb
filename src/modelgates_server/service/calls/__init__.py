"""Metered calls: admission, attempts, relaying to the client, and settlement."""
