"""The ledger: its records, the commands that change them, and the rules of money."""
