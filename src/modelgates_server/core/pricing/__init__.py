"""Pricing: models, what they cost, and the classes of usage that a price multiplies."""
