"""What the tests check at run time: shapes that do not go together, and types, in functions and in records."""

from __future__ import annotations

import dataclasses

import jaxtyping
import numpy as np
import pytest

import typecheck
from equipoise._arrays import ClassCounts, RowFloats
from equipoise.labels import MaskClasses

hooked = typecheck.jaxtyped(typechecker=typecheck.checked)


@hooked
def shaped(scores: RowFloats, weights: RowFloats) -> RowFloats:
    return scores * weights


@hooked
def plain(number: float, names: list[str], other: NoSuchName) -> int:  # type: ignore[name-defined]
    return names[0]  # type: ignore[return-value]


@hooked
@dataclasses.dataclass
class Record:
    counts: ClassCounts


def test_shapes_go_together() -> None:
    assert len(shaped(np.zeros(3), np.zeros(3))) == 3
    with pytest.raises(jaxtyping.TypeCheckError, match="weights"):
        shaped(np.zeros(3), np.zeros(4))
    with pytest.raises(jaxtyping.TypeCheckError, match="counts"):
        Record(np.zeros((2, 2), np.int64))


def test_types_are_checked_and_names_that_are_missing_are_not() -> None:
    with pytest.raises(TypeError, match="number"):
        plain("1", ["a"], 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="return"):
        plain(1, ["a"], 1)


def test_the_package_is_under_the_hook() -> None:
    with pytest.raises(TypeError, match="foreground"):
        MaskClasses.from_foreground(3)  # type: ignore[arg-type]
