"""The Redis sink: the newest rows, levels, price and events as pre-packed commands."""
