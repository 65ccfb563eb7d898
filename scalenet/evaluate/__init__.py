"""Accuracy over a data set: a folder as it ships, the usual figures."""


class DataError(ValueError):
    """A data folder or annotation file that is not what was looked for."""
