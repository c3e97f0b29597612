"""Liquidations from files and rows to files: readers, archive formats, normalization and replay on a grid."""
