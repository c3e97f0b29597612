"""The founding document's names: doors for code written for it. New code uses `liqtape.Tracker`."""
