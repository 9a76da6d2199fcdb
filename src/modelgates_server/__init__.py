"""ModelGates: a self-hosted LLM gateway with prepaid credits."""

__version__ = "0.3.0"
