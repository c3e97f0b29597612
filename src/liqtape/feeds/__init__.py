"""The input edge: everything that awaits bytes of a venue."""
