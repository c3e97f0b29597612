"""Level changes and time in, messages out: no I/O, no clock."""
