"""The BTC price: which source counts, and how volatile it is."""
