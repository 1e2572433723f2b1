"""Argument checks, and the one form that every error message takes.

An error is one sentence of what is wrong and one of what to do. Errors about data add the place (file, row, column).
"""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline


class EquipoiseError(Exception):
    """Anything that the user of Equipoise can put right. The command line prints it without a traceback."""


class ArgumentError(EquipoiseError, ValueError):
    """An argument of a function, a flag of a command or a key of a recipe has a value that cannot work."""


class DataError(EquipoiseError, ValueError):
    """A table, mask or score file holds something that cannot be right. The message names the place."""


class RunError(EquipoiseError, RuntimeError):
    """A run folder or a checkpoint cannot be used as asked."""


def nearest(name: object, allowed: Iterable[object]) -> str:
    """Return ``' Did you mean "x"?'`` for the closest allowed name, or an empty string when nothing is close."""
    by_folded = {str(candidate).casefold(): str(candidate) for candidate in allowed}
    close = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.6)
    return f' Did you mean "{by_folded[close[0]]}"?' if close else ""


def listed(names: Iterable[object], limit: int = 8) -> str:
    """Return the names quoted and joined by commas, cut after `limit` with the number that were left out."""
    quoted = [f'"{name}"' for name in names]
    more = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    r"""Return `text` without control characters: a name in somebody's data must not command the terminal.

    Example:
        >>> printable("\x1b[31mred\x1b[0m\nnext line")
        '[31mred[0m\nnext line'
    """
    return _CONTROL.sub("", text)


def check_one_of(value: object, allowed: Iterable[str], *, argument: str, function: str) -> None:
    """Raise `ArgumentError` unless `value` is one of `allowed`; the message names the nearest."""
    options = list(allowed)
    if value not in options:
        raise ArgumentError(
            f"`{argument}` of {function} must be one of {listed(options, limit=30)}; got {value!r}."
            f"{nearest(value, options)}"
        )


def check_number(
    value: object,
    *,
    argument: str,
    function: str,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
) -> float:
    """Return `value` as a float, or raise `ArgumentError` when it is no finite number or outside its range."""
    try:
        finite = not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        finite = False
    if not finite:
        raise ArgumentError(f"`{argument}` of {function} must be a finite number; got {value!r}.")
    number = float(value)  # type: ignore[arg-type]
    if number < at_least:
        raise ArgumentError(f"`{argument}` of {function} must be at least {at_least}; got {value}.")
    if number <= above:
        raise ArgumentError(f"`{argument}` of {function} must be above {above}; got {value}.")
    if number > at_most:
        raise ArgumentError(f"`{argument}` of {function} must be at most {at_most}; got {value}.")
    return number
