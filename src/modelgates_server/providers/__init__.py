"""Way out: the providers of models."""
