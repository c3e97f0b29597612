"""The figures quoted in the README: one file per figure, `python -m benchmarks NAME` repeats it."""
