"""Group commit: plan the rows that many commands need, load them, apply the commands, save.

All databases share this package; they differ only in how rows are loaded and saved.
"""
