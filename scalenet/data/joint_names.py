"""Left and right in joints' names, however they are spelled: left_eye, L_Eye, Left Eye, eye_l, leftEye, r-wrist."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z\d_]+|\d+")
RUN_ON = re.compile(r"(left|right)(?=.)|(?<=.)(left|right)$")  # lefteye, eyeleft
SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
OTHER = {"left": "right", "right": "left"}


def words_of(name: str) -> tuple[str, ...]:
    """The words of a joint's name in small letters, with "left" or "right" for a side."""
    words = [word.lower() for word in WORDS.findall(name)]
    parts = [part for word in words for part in RUN_ON.sub(r" \1\2 ", word, count=1).split()]
    return tuple(SIDES.get(part, part) for part in parts)


def flip_pairs_of(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(left, right) pairs of joints that are called the same but for the side."""
    index = {words_of(name): i for i, name in enumerate(names)}
    pairs = []
    for words, i in index.items():
        for place, word in enumerate(words):
            mirrored = (*words[:place], OTHER.get(word, word), *words[place + 1 :])
            if word == "left" and mirrored in index:
                pairs.append((i, index[mirrored]))
                break
    return tuple(pairs)
