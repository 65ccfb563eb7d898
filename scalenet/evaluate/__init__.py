"""Accuracy over a data set: a folder as it ships, the usual figures."""

import warnings


class DataError(ValueError):
    """A data folder or annotation file that is not what was looked for."""


class DataWarning(UserWarning):
    """Something in a data set that was left out, or taken in another way than it stands there."""


def warn(text: str) -> None:
    """Say ``text`` as a :class:`DataWarning` of whoever called the caller."""
    warnings.warn(text, DataWarning, stacklevel=3)
