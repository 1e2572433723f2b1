"""Values of a recipe that are a count, or a word that stands for one."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def word_or_count(*words: str) -> BeforeValidator:
    """Return a check that a value is one of some words, or a whole number of at least 1."""

    def check(value: Any) -> Any:
        if value not in words and not _is_count(value):
            said = {"words": ", ".join(f'"{word}"' for word in words)}
            raise PydanticCustomError("kind", "must be {words} or a whole number of at least 1", said)
        return value

    return BeforeValidator(check)


def sides(value: Any) -> Any:
    """Check that a value is "auto", or the sides of a patch."""
    if value != "auto" and not (
        isinstance(value, list | tuple) and len(value) in (2, 3) and all(map(_is_count, value))
    ):
        raise PydanticCustomError("kind", 'must be "auto" or two or three whole numbers of at least 1')
    return value
