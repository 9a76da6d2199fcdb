"""Pricing: models, their prices, and the classes of usage that prices apply to."""
