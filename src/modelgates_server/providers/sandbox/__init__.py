"""A provider without a network: deterministic models, one of which misbehaves as it is asked to."""
