"""The log of forecasts: written before their outcome, bounded, and read again by those who judge."""
