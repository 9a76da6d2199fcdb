"""The rules. Pure: no I/O, clock, randomness or framework. Times and ids are arguments."""
