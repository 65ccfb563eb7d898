"""Images, annotations and files: the ground floor of prediction, evaluation and training."""

import warnings

IGNORE = 255  # a label that does not count


class DataError(ValueError):
    """A data folder or annotation file that is not what was looked for."""


class DataWarning(UserWarning):
    """Something in a data set that was left out, or taken in another way than it stands there."""


def warn(text: str) -> None:
    """Say ``text`` as a :class:`DataWarning` of whoever called the caller."""
    warnings.warn(text, DataWarning, stacklevel=3)
