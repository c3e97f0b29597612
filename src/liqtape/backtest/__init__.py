"""Detectors and forecasts over past data, beside plain baselines; a report that says what was reached and what not."""
