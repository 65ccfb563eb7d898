"""Metrics over a data set: a folder as it ships, the usual protocols."""
