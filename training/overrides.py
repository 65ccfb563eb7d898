"""Recipes of training and search by name, with ``key=value`` texts of the command line applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from scalenet.runtime.errors import nearest

from .checks import RecipeError, Settings

Named = TypeVar("Named", bound=Settings)
Value = TypeVar("Value")


def pick(kind: str, name: str, table: Mapping[str, Value]) -> Value:
    """The entry of ``table`` by that name.

    Raises:
        RecipeError: if there is none, naming the nearest.
    """
    if name not in table:
        raise RecipeError(f"unknown {kind} {name!r}: {nearest(name, table)}")
    return table[name]


def override(recipe: Named, texts: Sequence[str]) -> Named:
    """A recipe of training or search with ``key=value`` overrides applied.

    Raises:
        RecipeError: for an unknown key (naming the nearest), or a value that does not parse or cannot be.
    """
    fields = {key: field for key, field in recipe.fields().items() if key not in ("name", "space")}
    changes = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise RecipeError(f"expected key=value, got {text!r}")
        if key not in fields:
            raise RecipeError(f"unknown key {key!r} in this recipe: {nearest(key, fields)}")
        changes[key] = _parse(key, value, str(fields[key].type))
    return recipe.changed(**changes)


def _parse(key: str, text: str, kind: str) -> object:
    readers = {"int": int, "float": float, "str": str}
    try:
        if kind not in ("str", "tuple[str, ...]") and "_" in text:  # Python's own reading of 1_0 is 10
            raise ValueError
        if kind == "bool":
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind == "tuple[str, ...]":
            return tuple(part for part in text.split(",") if part)
        if kind == "tuple[tuple[int, int], ...]":
            return tuple(_numbers(part, int, 2) for part in text.split(",") if part)
        if kind.startswith("tuple"):
            count = 0 if "..." in kind else kind.count(",") + 1
            return _numbers(text, float if "float" in kind else int, count)
        return readers[kind](text)
    except (ValueError, KeyError):
        raise RecipeError(f"{key} takes {kind}, got {text!r}") from None


def _numbers(text: str, item: type, count: int) -> tuple:
    """Numbers joined by commas or x, ``count`` of them (0: any number)."""
    values = tuple(item(part) for part in text.replace("x", ",").split(",") if part)
    if count and len(values) != count:
        raise ValueError
    return values
