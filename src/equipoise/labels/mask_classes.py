"""How the values of a mask become classes: a rule for the foreground, a value for each class, or a mask for each."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, check_number, listed

IGNORED = 255  # of the class indices of a mask: a pixel of which nothing is known
UNKNOWN, OUTSIDE = -1, -2  # what `places` says of a value that is to be ignored, and of one that is no class
_MOST = 254
_OPERATORS = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_RULE = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class ForegroundRule:
    """A comparison that a pixel of the foreground fulfils, such as ``> 0.5``."""

    comparison: str
    number: float

    @classmethod
    def parse(cls, text: str) -> ForegroundRule:
        """Return the rule that `text` says.

        Raises:
            ArgumentError: it is no comparison with a number.

        Example:
            >>> ForegroundRule.parse("> 0.5").holds(np.array([0.0, 0.5, 1.0, np.nan])).tolist()
            [False, False, True, False]
        """
        found = _RULE.fullmatch(text)
        try:
            number = float(found[2]) if found else math.nan
        except ValueError:
            number = math.nan
        if found is None or not math.isfinite(number):
            raise ArgumentError(
                f"`foreground` of a mask must be a comparison with a number; got {text!r}. "
                'Write for example "> 0.5", ">= 1" or "== 255".'
            )
        return cls(found[1], number)

    def holds(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where `values` are foreground, in their shape; NaN never is."""
        holds: NDArray[np.bool_] = _OPERATORS[self.comparison](values, self.number) & ~np.isnan(values)
        return holds

    def __str__(self) -> str:
        return f"{self.comparison} {self.number:g}"


@dataclass(frozen=True)
class MaskClasses:
    """The classes of masks, and which values mean them.

    Make one with `from_foreground`, `from_values` or `from_columns`. NaN always means unknown.

    Attributes:
        names: class names.
        exclusive: whether each pixel has one class; otherwise there is a binary mask for each class, and classes may
            overlap.
        values: per class the values that mean it; empty where `rule` says it.
        rule: what makes a pixel foreground, or None where `values` say it.
        ignore: values of pixels that count for nothing.
    """

    names: tuple[str, ...]
    exclusive: bool = True
    values: tuple[tuple[float, ...], ...] = ()
    rule: ForegroundRule | None = None
    ignore: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = tuple(self.names)
        if not names or len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
            raise ArgumentError(f"The classes of masks must be distinct names; got {listed(names)}. Rename one.")
        if self.exclusive and len(names) < 2:
            raise ArgumentError(
                f"Masks of which each pixel has one class need two classes at least; got {listed(names)}. "
                "Name the background too, with its value."
            )
        if len(names) > _MOST:
            raise ArgumentError(f"Masks can have {_MOST} classes at most; got {len(names)}. Join some of them.")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "ignore", tuple(float(value) for value in self.ignore))

    @classmethod
    def from_foreground(
        cls, rule: str = "> 0.5", *, names: Sequence[str] = ("background", "foreground"), ignore: Any = ()
    ) -> MaskClasses:
        """Return two classes: pixels that fulfil `rule` are the second of `names`, the others the first.

        Raises:
            ArgumentError: the rule is no comparison, there are not two names, or `ignore` is no number.

        Example:
            >>> MaskClasses.from_foreground("> 0.5").indices(np.array([[0, 255]], np.uint8)).tolist()
            [[0, 1]]
        """
        if len(names) != 2:
            raise ArgumentError(
                f"`names` of from_foreground must be two, background and foreground; got {listed(names)}. "
                "Use from_values for more classes."
            )
        return cls(tuple(names), rule=ForegroundRule.parse(rule), ignore=_numbers(ignore, "ignore"))

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, ignore: Any = ()) -> MaskClasses:
        """Return classes that are said by the value of a pixel.

        Args:
            values: class name -> the value that means it, or several.
            ignore: value of pixels that count for nothing, or several.

        Raises:
            ArgumentError: a value is no number, or means two classes.

        Example:
            >>> classes = MaskClasses.from_values({"background": 0, "lesion": 255}, ignore=128)
            >>> classes.indices(np.array([[0, 255, 128]], np.uint8)).tolist()
            [[0, 1, 255]]
        """
        table = tuple(_numbers(value, f"values[{name!r}]") for name, value in values.items())
        ignored = _numbers(ignore, "ignore")
        if not all(table):
            raise ArgumentError("Every class of from_values needs a value. Give one, or leave the class out.")
        taken = [value for row in (*table, ignored) for value in row]
        for value in taken:
            if taken.count(value) > 1:
                raise ArgumentError(
                    f"The value {value:g} of a mask would mean two things. Give each class, and `ignore`, its own."
                )
        return cls(tuple(values), values=table, ignore=ignored)

    @classmethod
    def from_columns(cls, names: Sequence[str], rule: str = "> 0.5", *, ignore: Any = ()) -> MaskClasses:
        """Return classes of which each has a binary mask of its own, so that they may overlap.

        Raises:
            ArgumentError: as `from_foreground`.

        Example:
            >>> MaskClasses.from_columns(["MA", "HE"]).task
            'multilabel'
        """
        return cls(tuple(names), False, rule=ForegroundRule.parse(rule), ignore=_numbers(ignore, "ignore"))

    @property
    def task(self) -> str:
        """``"multiclass"`` where each pixel has one class, ``"multilabel"`` where classes may overlap."""
        return "multiclass" if self.exclusive else "multilabel"

    @property
    def declared(self) -> tuple[float, ...]:
        """Every value that means something, in order; without those of a rule, which needs none."""
        return tuple(sorted({value for row in self.values for value in row} | set(self.ignore)))

    def places(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the class index of each of some values: `UNKNOWN` (-1) for ignored and NaN, `OUTSIDE` (-2) for others.

        A mask of one class of several is 1 where its class is and 0 elsewhere.

        Example:
            >>> MaskClasses.from_values({"a": 0, "b": 7}, ignore=9).places(np.array([7, 0, 9, 8])).tolist()
            [1, 0, -1, -2]
        """
        values = np.asarray(values)
        if self.rule is not None:
            found = self.rule.holds(values).astype(np.int64)
        else:
            found = np.full(values.shape, OUTSIDE, np.int64)
            for place, row in enumerate(self.values):
                found[np.isin(values, row)] = place
        if self.ignore:
            found[np.isin(values, self.ignore)] = UNKNOWN
        if values.dtype.kind == "f":
            found[np.isnan(values)] = UNKNOWN
        return found

    def indices(self, mask: NDArray[Any], *, source: str = "mask") -> NDArray[np.uint8]:
        """Return the class index of each pixel, in the shape of `mask`, with 255 for pixels of which nothing is known.

        Args:
            mask: values of pixels, of any shape.
            source: what messages call it.

        Raises:
            DataError: a pixel has a value that is no class.
        """
        mask = np.asarray(mask)
        if mask.dtype == np.bool_ or mask.dtype.itemsize == 1:
            mask = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
            every = np.arange(256, dtype=np.uint8).view(mask.dtype)
            table = self._checked(self.places(every), every, mask, source)
            return np.asarray(table[mask.view(np.uint8)])
        values, back = (mask, None) if self.rule is not None else np.unique(mask, return_inverse=True)
        found = self._checked(self.places(values), values, mask, source)
        return found if back is None else np.asarray(found[back].reshape(mask.shape))

    def _checked(
        self, places: NDArray[np.int64], values: NDArray[Any], mask: NDArray[Any], source: str
    ) -> NDArray[np.uint8]:
        outside = values[places == OUTSIDE]
        if len(outside) and np.isin(mask, outside).any():
            raise DataError(f"{source}: {self.about_outside(mask[np.isin(mask, outside)])}")
        return np.where(places < 0, IGNORED, places).astype(np.uint8)

    def about_outside(self, values: NDArray[Any]) -> str:
        """Say that these values (one for each pixel) are no class, and what to do."""
        distinct = np.unique(values)
        shown = ", ".join(f"{value:g}" for value in distinct[:6].tolist()) + (", ..." if len(distinct) > 6 else "")
        plural = "s" if values.size > 1 else ""
        return (
            f"{values.size:,} pixel{plural} of value {shown}, which is no class ({self.words()}). "
            "Declare the value with its class, or ignore it."
        )

    def words(self) -> str:
        """Say in a few words what means what."""
        ignored = "".join(f", {value:g} ignored" for value in self.ignore)
        if self.rule is not None:
            name = self.names[1] if self.exclusive else "the class"
            return f"{name} where {self.rule}{ignored}"
        rows = zip(self.names, self.values, strict=True)
        return ", ".join(f"{name}={'|'.join(f'{v:g}' for v in row)}" for name, row in rows) + ignored

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes equal classes."""
        return {
            "names": list(self.names),
            "exclusive": self.exclusive,
            "values": [list(row) for row in self.values],
            "foreground": None if self.rule is None else str(self.rule.comparison) + " " + repr(self.rule.number),
            "ignore": list(self.ignore),
        }

    @classmethod
    def from_dict(cls, stored: Any) -> MaskClasses:
        """Return the classes that `to_dict` wrote.

        Raises:
            DataError: the value describes no classes.
        """
        try:
            rule = None if stored["foreground"] is None else ForegroundRule.parse(stored["foreground"])
            names, exclusive = tuple(stored["names"]), stored["exclusive"] is True
            if type(stored["exclusive"]) is not bool:
                raise ArgumentError("`exclusive` is neither true nor false.")
            values = tuple(_numbers(row, "values") for row in stored["values"])
            if (rule is None) != (len(values) == len(names)) or not (exclusive or rule):
                raise ArgumentError("Each class needs its values, or all a rule.")
            return cls(names, exclusive, values, rule, _numbers(stored["ignore"], "ignore"))
        except (KeyError, TypeError, AttributeError, ArgumentError) as error:
            raise DataError(f"These are no classes of masks: {error}. Count the masks again.") from error


def _numbers(given: Any, argument: str) -> tuple[float, ...]:
    """Return one number or several as a tuple."""
    several = given if isinstance(given, list | tuple) else () if given is None else (given,)
    return tuple(check_number(value, argument=argument, function="MaskClasses") for value in several)
