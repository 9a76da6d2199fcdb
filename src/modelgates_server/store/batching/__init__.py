"""Many commands, one commit: plan which rows they need, load them, apply the commands, save.

Shared by the databases: they differ in how rows are loaded and saved, not in what happens between.
"""
