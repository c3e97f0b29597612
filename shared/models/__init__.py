"""Models of the founding document."""
