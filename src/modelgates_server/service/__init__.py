"""Verbs. They orchestrate the rules over the ports; no SQL, no HTTP."""
