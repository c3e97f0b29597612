"""Messages to their channels: a queue on disk, one worker a channel, back-off, dead letters."""
