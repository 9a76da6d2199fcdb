"""Metering: the request of a call, its hold, its usage and its cost."""
