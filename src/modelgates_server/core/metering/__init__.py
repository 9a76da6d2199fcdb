"""Metering: what a call asks for, holds, uses and costs."""
