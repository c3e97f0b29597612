"""What live and replay do alike between a decoded event and a metric row. No I/O, no clock: time is an argument."""
