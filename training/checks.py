"""Settings that are checked when they are made, set by name in Python and by ``key=value`` on the command line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from scalenet.runtime.errors import did_you_mean, nearest

Choices = Mapping[str, tuple[str, ...]]
Own = TypeVar("Own", bound="Settings")


class RecipeError(ValueError):
    """An unknown recipe or key, or a value of the wrong kind."""


class TrainingError(RuntimeError):
    """A run that cannot start, resume or go on."""


class Settings:
    """Base of frozen dataclasses whose fields are settings, or groups of settings.

    A setting's name is unique over all groups, so that it can be set without naming its group.

    Attributes:
        GROUPS: the fields that are groups, with their classes.
        CHOICES: what a setting may be, where only a few values can be.
        ABOVE_0, NOT_BELOW_0, SHARES: numbers that are above 0, not below 0, from 0 to 1.
    """

    GROUPS: ClassVar[Mapping[str, type[Settings]]] = {}
    CHOICES: ClassVar[Choices] = {}
    ABOVE_0: ClassVar[tuple[str, ...]] = ()
    NOT_BELOW_0: ClassVar[tuple[str, ...]] = ()
    SHARES: ClassVar[tuple[str, ...]] = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        for key, choices in self.CHOICES.items():
            check_choice(key, getattr(self, key), choices)
        self._check(self.SHARES, lambda v: 0 <= v <= 1, "{0} is from 0 to 1, got {1}")
        self._check(self.ABOVE_0, lambda v: v > 0, "{0}={1} must be above 0")
        self._check(self.NOT_BELOW_0, lambda v: v >= 0, "{0}={1} must not be below 0")

    def _check(self, keys: Iterable[str], fits: Callable[[float], bool], words: str) -> None:
        """Refuse numbers that do not fit, NaN and infinity among them, in ``words`` of the field and its value."""
        for key in keys:
            value = getattr(self, key)
            if not isinstance(value, (int, float)) or not math.isfinite(value) or not fits(value):
                raise RecipeError(words.format(key, value))

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """Every setting by its name, those inside groups too."""
        found: dict[str, dataclasses.Field[Any]] = {}
        for field in dataclasses.fields(cls):
            found |= cls.GROUPS[field.name].fields() if field.name in cls.GROUPS else {field.name: field}
        return found

    @classmethod
    def of(cls: type[Own], **settings: Any) -> Own:
        """Settings made from values by name, sorted into their groups; the others have their defaults.

        Raises:
            RecipeError: for a name that no setting has, or a value that cannot be.
        """
        own, grouped = cls._sorted(settings)
        return cls(**own, **{name: group.of(**grouped[name]) for name, group in cls.GROUPS.items()})

    def changed(self: Own, **settings: Any) -> Own:
        """These settings with some values replaced, given by name wherever they are.

        Raises:
            RecipeError: for a name that no setting has, or a value that cannot be.
        """
        own, grouped = self._sorted(settings)
        groups = {name: getattr(self, name).changed(**values) for name, values in grouped.items() if values}
        return dataclasses.replace(self, **own, **groups)

    def flat(self) -> dict[str, Any]:
        """Every setting's value by name, those inside groups too."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            values |= value.flat() if field.name in self.GROUPS else {field.name: value}
        return values

    @classmethod
    def _sorted(cls, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Values by name: the class's own, and those of each group."""
        known = cls.fields()
        for key in settings:
            if key not in known:
                raise RecipeError(f"unknown key {key!r}: {nearest(key, known)}")
        grouped = {
            name: {key: value for key, value in settings.items() if key in group.fields()}
            for name, group in cls.GROUPS.items()
        }
        own = {key: value for key, value in settings.items() if not any(key in values for values in grouped.values())}
        return own, grouped


def check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises RecipeError, naming what is near, for a value that is none of the choices."""
    if value not in choices:
        *others, last = choices
        hint = did_you_mean(str(value), choices)
        known = f"{', '.join(c for c in others if c)} or {last}"
        raise RecipeError(f"{key} must be {known}, got {value!r}{hint and f': {hint}'}")


def check_height_width(key: str, size: tuple[int, int]) -> None:
    """Raises RecipeError for what is no (H, W) in pixels."""
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise RecipeError(f"{key} takes height x width in pixels, got {'x'.join(map(str, size))}")


def check_range(key: str, pair: tuple[float, float], least: float) -> None:
    """Raises RecipeError for what is no (low, high) of at least ``least``."""
    low, high = pair
    if not least <= low <= high < math.inf:
        raise RecipeError(f"{key} is the least and the most, above 0, got {low},{high}")
