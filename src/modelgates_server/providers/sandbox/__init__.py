"""A provider without a network: deterministic models, one of which misbehaves on request."""
