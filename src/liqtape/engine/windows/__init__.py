"""Sliding windows: events of an instrument in order of time, and the metric row they give at any moment."""
