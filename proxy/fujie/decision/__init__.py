"""Facts to decisions, decisions to masked values. Pure: no I/O, no clock, no randomness."""
