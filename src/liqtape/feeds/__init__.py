"""The input edge: everything that awaits bytes from outside."""
