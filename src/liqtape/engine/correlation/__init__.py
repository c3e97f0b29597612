"""How streams move together in time: counts, prices and single events."""
