"""Architectures as values, what they cost and what they run, and the published ones as JSON; free of torch."""
