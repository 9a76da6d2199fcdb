"""Way in: HTTP."""
