"""The way out to the providers of models."""
