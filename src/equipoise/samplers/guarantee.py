"""Batches that hold at least so many positives of chosen classes, with shares as planned as far as that can be."""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, listed, nearest
from equipoise._counter import key_of, random_units, random_words
from equipoise.samplers._alias import alias_table
from equipoise.samplers.stream import IndexStream, Planned, Rows


@runtime_checkable
class LabelledPlan(Planned, Protocol):
    """A plan that knows which classes its label combinations hold."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def combination_labels(self) -> NDArray[Any]: ...  # noqa: D102


class GuaranteedStream:
    r"""Batches as a pure function of (seed, epoch, number of the batch), each with its guaranteed positives.

    Of the b places of a batch, k_c are kept for each chosen class c and drawn from the plan's rows with that class,
    q(row | c). The others are drawn from what then is missing, r = (b q - sum_c k_c q(. | c)) / (b - sum_c k_c): all
    places together then draw exactly as planned. Where r would be negative, the plan gives a batch fewer positives than
    are guaranteed; r is 0 there, and `changes` states the shares that follow. Places are shuffled within the batch.

    Args:
        plan: from `plan_sampling`.
        at_least: class to positives in every batch.
        batch_size: rows of a batch.
        seed: of every epoch.

    Raises:
        ArgumentError: the guaranteed positives do not fit in a batch; a class is unknown, or never drawn by the plan.

    Example:
        >>> from types import SimpleNamespace
        >>> plan = SimpleNamespace(
        ...     classes=("rare",), combination_labels=np.array([[0], [1]]), combination_counts=np.array([9, 1]),
        ...     combination_codes=np.array([0] * 9 + [1], np.int32), combination_weights=np.full(10, 0.1)[:2], draws=10,
        ... )
        >>> stream = GuaranteedStream(plan, {"rare": 1}, 5)
        >>> (stream.batches(0, 0, 100) == 9).any(axis=1).all()  # row 9 is the rare one
        np.True_
        >>> stream.expected_rates.tolist(), stream.changes()  # one in ten was planned, one in five it is
        ([0.2], ('rare: 20 % of the draws instead of 10 %, since a batch of 5 must hold 1.',))
    """

    def __init__(self, plan: LabelledPlan, at_least: Mapping[str, int], batch_size: int, *, seed: int = 0) -> None:
        self.classes, self.batch_size, self.seed = tuple(plan.classes), int(batch_size), int(seed)
        self.at_least = _checked(at_least, self.classes, self.batch_size)
        self._stream = IndexStream(plan, seed=seed)
        self.rows = self._stream.rows
        self._positive = np.asarray(plan.combination_labels) == 1
        self._planned = self._stream.shares
        kept = [self._of_class(name) for name in self.at_least]
        missing = self.batch_size * self._planned
        for share, many in zip(kept, self.at_least.values(), strict=True):
            missing = missing - many * share
        missing = np.where(missing > 1e-12, missing, 0.0)
        sizes = [*self.at_least.values(), self.batch_size - sum(self.at_least.values())]
        shares = [*kept, missing / missing.sum() if missing.sum() > 0 else self._planned]
        self._parts = [(size, alias_table(share)) for size, share in zip(sizes, shares, strict=True) if size]
        drawn = sum((size * share for size, share in zip(sizes, shares, strict=True)), np.zeros(len(missing)))
        self.combination_shares: NDArray[np.float64] = drawn / self.batch_size

    def batches(self, epoch: int, start: int, stop: int, step: int = 1) -> Rows:
        """Return (batches, batch_size) rows of batches `start`, `start + step`, ... before `stop` of an epoch."""
        numbers = np.arange(start, stop, step, dtype=np.int64)[:, None] * self.batch_size + np.arange(self.batch_size)
        units = random_units(key_of(self.seed, epoch, "guaranteed groups"), numbers)
        groups, first = np.empty(numbers.shape, np.int64), 0
        for size, table in self._parts:
            groups[:, first : first + size] = table.draw(units[:, first : first + size])
            first += size
        rows = self._stream.inside(groups, random_units(key_of(self.seed, epoch, "guaranteed rows"), numbers))
        order = np.argsort(random_words(key_of(self.seed, epoch, "guaranteed order"), numbers), axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1)

    @property
    def row_weights(self) -> NDArray[np.float64]:
        """(rows,) the probability that a draw is this row, under the guarantee: the `plan` to give `preflight`."""
        return np.asarray(self._stream.spread(self.combination_shares))

    @property
    def expected_rates(self) -> NDArray[np.float64]:
        """(classes,) share of draws that hold a positive, under the guarantee."""
        return np.asarray(self.combination_shares @ self._positive)

    @property
    def planned_rates(self) -> NDArray[np.float64]:
        """(classes,) share of draws that hold a positive, as planned."""
        return np.asarray(self._planned @ self._positive)

    def changes(self) -> tuple[str, ...]:
        """Say which shares the guarantee changes by more than a hundredth of themselves; empty where none."""
        said = []
        for name, planned, drawn in zip(self.classes, self.planned_rates, self.expected_rates, strict=True):
            if abs(drawn - planned) > 0.01 * planned:
                why = (
                    f", since a batch of {self.batch_size} must hold {self.at_least[name]}"
                    if self._forced(name)
                    else ""
                )
                said.append(f"{name}: {100 * drawn:.3g} % of the draws instead of {100 * planned:.3g} %{why}.")
        return tuple(said)

    @property
    def fingerprint(self) -> str:
        """What the stream depends on besides the epoch: two streams that agree in it are the same."""
        text = repr((self._stream.fingerprint, self.batch_size, sorted(self.at_least.items())))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def _forced(self, name: str) -> bool:
        rate = float(self.planned_rates[self.classes.index(name)])
        return self.at_least.get(name, 0) > rate * self.batch_size

    def _of_class(self, name: str) -> NDArray[np.float64]:
        inside = self._planned * self._positive[:, self.classes.index(name)]
        if not inside.sum() > 0:
            raise ArgumentError(
                f'`at_least` asks for positives of "{name}", but the plan never draws one. Plan a share for it, or '
                "leave it out."
            )
        return np.asarray(inside / inside.sum())


def _checked(at_least: Mapping[str, int], classes: tuple[str, ...], batch_size: int) -> dict[str, int]:
    if batch_size < 1:
        raise ArgumentError(f"`batch_size` must be at least 1; got {batch_size}.")
    for name, many in at_least.items():
        if name not in classes:
            raise ArgumentError(
                f'`at_least` names the class "{name}", which the plan does not have.{nearest(name, classes)} '
                f"The classes are {listed(classes, limit=30)}."
            )
        number = isinstance(many, numbers.Real) and not isinstance(many, bool) and math.isfinite(many)
        if not number or int(many) != many or many < 0:
            raise ArgumentError(f'`at_least["{name}"]` must be a whole number of at least 0; got {many!r}.')
    whole = sum(at_least.values())
    if whole > batch_size:
        raise ArgumentError(
            f"A batch of {batch_size} rows cannot hold the {whole} guaranteed positives "
            f"({', '.join(f'{many} of {name}' for name, many in at_least.items())}). Use batch_size={whole} or more, "
            "or guarantee fewer."
        )
    return {name: int(many) for name, many in at_least.items() if many}
