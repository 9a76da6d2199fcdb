"""Rules. Pure: no I/O, no clock, no randomness, no framework; time and ids come in as arguments."""
