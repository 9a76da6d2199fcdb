"""The documentation at /docs: guides and reference, for people and for machines."""
