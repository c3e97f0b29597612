"""The exam: how detectors and forecasts are judged, and by what they are beaten. Pure."""
