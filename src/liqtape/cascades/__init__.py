"""Detectors of cascades and the cascades they find: pure, O(1) an event."""
