"""The store on one SQLite file: one writer with group commit, readers on the event loop."""
