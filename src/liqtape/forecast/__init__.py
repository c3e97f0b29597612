"""Probabilities of what comes next, from what has been: pure; a model is trained elsewhere."""
