"""Rows that arrive one after the other, thinned (or repeated) as they pass so that classes reach a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, RunError, check_number, check_one_of, listed, nearest
from equipoise._counter import key_of, random_units
from equipoise._tasks import TASKS, is_exclusive
from equipoise.balance._combinations import UNKNOWN, Combinations
from equipoise.balance._targets import read_target
from equipoise.balance.sampling import solve_plan

if TYPE_CHECKING:
    from equipoise.balance import SamplingPlan

Sample = TypeVar("Sample")
Kind = tuple[int, ...]  # the labels of a row: 1, 0, or -1 for unknown, one a class

_POLICIES = ("error", "drop", "keep")
_BLOCK = 1024
_FIRST = 32  # rows before the first solution
_GROWTH = 1.1  # of the census, between one solution and the next
_CORRECTION = 3.0  # most that a kind is drawn more often to make up for what it lacks


class StreamResampler:
    r"""Decides for each row of a stream how often it is passed on: not at all, once, or up to `max_repeats` times.

    With a plan the population is known, and a row of weight w is passed on with probability proportional to w. Without
    one the rows that pass are counted, and the row weights of least divergence are solved for the counts so far
    (`plan_sampling`), again whenever they have grown by a tenth. What came out so far is part of it: kinds of rows that
    came out too seldom, while the counts were few, are passed on more often until the whole output has the target.

    A class that has not been seen yet is left out of the target until it is; a kind of row that is new gets the weight
    that its labels have elsewhere. Unknown labels (NaN) count as neither positive nor negative.

    Rejection costs rows: one in `max_ratio` of the commonest is passed on when the rarest is to be drawn `max_ratio`
    times as often. `efficiency` says how many of the rows are used. Rows should arrive in random order; of a stream
    that is sorted by label nothing can be known in advance.

    Args:
        task: ``"binary"``, ``"multiclass"``, ``"ordinal"`` or ``"multilabel"``.
        classes: class names.
        target: as in `plan_sampling`: ``"uniform"``, ``"natural"``, or a mapping.
        strength: in [0, 1], from natural to the target.
        max_ratio: most that a row is drawn for each natural draw, at least 1; larger comes nearer to the target.
        max_repeats: most times one row is passed on, at least 1; larger uses more of the stream. Shuffle behind it.
        plan: what is to be drawn, where the population is known; `target`, `strength` and `max_ratio` are not read.
        unknown: what to do with a row of a class that is not in `classes`: ``"error"``, ``"drop"`` it, or ``"keep"`` it
            as a row whose label is unknown. Both are counted in `unknown_rows`.
        seed: of the choice of rows.
        stream: which stream of the seed: give each process, worker and epoch its own, such as ``(epoch, rank)``.

    Raises:
        ArgumentError: an argument is out of range, or the plan is for other classes.

    Example:
        >>> resampler = StreamResampler("multiclass", ("common", "rare"), max_ratio=10)
        >>> rows = ["rare" if number % 20 == 0 else "common" for number in range(10_000)]
        >>> kept = list(resampler.resample(rows, lambda row: row))
        >>> round(kept.count("rare") / len(kept), 2)
        0.5
    """

    def __init__(
        self,
        task: str,
        classes: tuple[str, ...],
        *,
        target: str | Mapping[str, Any] = "uniform",
        strength: float = 1.0,
        max_ratio: float = 20.0,
        max_repeats: int = 1,
        plan: SamplingPlan | None = None,
        unknown: str = "error",
        seed: int = 0,
        stream: object = 0,
    ) -> None:
        check_one_of(task, TASKS, argument="task", function="StreamResampler")
        check_one_of(unknown, _POLICIES, argument="unknown", function="StreamResampler")
        check_number(strength, argument="strength", function="StreamResampler", at_least=0.0, at_most=1.0)
        check_number(max_ratio, argument="max_ratio", function="StreamResampler", at_least=1.0)
        check_number(max_repeats, argument="max_repeats", function="StreamResampler", at_least=1)
        self.task, self.classes, self.target, self.strength = task, tuple(classes), target, float(strength)
        self.max_ratio, self.max_repeats, self.unknown = float(max_ratio), int(max_repeats), unknown
        self.read = 0  # rows that came in
        self.passed = 0  # rows that went out, repeats counted
        self.unknown_rows = 0
        self._key = key_of(seed, stream, "stream")
        self._units: NDArray[np.float64] = np.zeros(0)
        self._kinds: dict[Kind, int] = {}
        self._places: dict[int | str, int] = {}  # of class names and indices, so that each is read once
        self._counts: list[int] = []
        self._given: list[int] = []
        self._rates: list[float] = []
        self._next = _FIRST
        self._static = plan is not None
        self._slopes = (np.zeros(len(self.classes)), 0.0, 0.0)  # of log rates over labels; with a finding, without
        if plan is not None:
            self._take_plan(plan)
        elif isinstance(target, str):
            check_one_of(target, ("uniform", "natural"), argument="target", function="StreamResampler")
        else:
            self._check_target(target)

    def resample(self, samples: Iterable[Sample], labels_of: Callable[[Sample], Any]) -> Iterator[Sample]:
        """Yield each sample as often as it is to be passed on.

        Args:
            samples: the stream.
            labels_of: from a sample to its labels: for one-of-many tasks a class name or index, or None or NaN for
                unknown; for binary 0, 1 or NaN; for multilabel (classes,) of 0, 1 or NaN.
        """
        for sample in samples:
            for _ in range(self.copies(labels_of(sample))):
                yield sample

    def copies(self, labels: Any) -> int:
        """Return how often the next row of the stream, with these labels, is passed on, and count it."""
        place = self.read % _BLOCK
        if place == 0 or not len(self._units):
            block = self.read - place
            self._units = random_units(self._key, np.arange(block, block + _BLOCK))
        self.read += 1
        at = self._places.get(labels) if isinstance(labels, int | str) else None
        if at is None:
            kind = self._kind(labels)
            if kind is None:
                return 0
            at = self._kinds.get(kind)
            at = self._new(kind) if at is None else at
            if isinstance(labels, int | str) and UNKNOWN not in kind:
                self._places[labels] = at
        self._counts[at] += 1
        copies = min(self.max_repeats, int(self._rates[at] + self._units[place]))
        self._given[at] += copies
        self.passed += copies
        if not self._static and self.read >= self._next:
            self._solve()
        return copies

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def rates(self) -> NDArray[np.float64]:
        """(classes,) share of the rows passed on that hold a positive."""
        return self._held(self._given)

    @property
    def natural_rates(self) -> NDArray[np.float64]:
        """(classes,) share of the rows read that hold a positive."""
        return self._held(self._counts)

    @property
    def efficiency(self) -> float:
        """Rows passed on for each row read."""
        return self.passed / max(1, self.read)

    def sentences(self) -> tuple[str, ...]:
        """Say what came in, what went out, and which classes were never seen."""
        said = [
            f"Of {self.read:,} rows read, {self.passed:,} were passed on ({100 * self.efficiency:.3g} %)."
            + (f" {self.unknown_rows:,} were of an unknown class." if self.unknown_rows else "")
        ]
        for name, natural, given in zip(self.classes, self.natural_rates, self.rates, strict=True):
            said.append(f"{name}: {100 * given:.3g} % of the rows passed on, {100 * natural:.3g} % of those read.")
        unseen = [name for name, rate in zip(self.classes, self.natural_rates, strict=True) if rate == 0]
        if unseen:
            said.append(f"Never seen, and left out of the target: {listed(unseen)}.")
        return tuple(said)

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next decision depends on, in plain JSON types; the stream itself is not in it."""
        return {
            "task": self.task, "classes": list(self.classes), "key": self._key, "read": self.read,
            "passed": self.passed, "unknown_rows": self.unknown_rows, "next": self._next,
            "kinds": [list(kind) for kind in self._kinds], "counts": list(self._counts), "given": list(self._given),
            "rates": list(self._rates), "slopes": [self._slopes[0].tolist(), self._slopes[1], self._slopes[2]],
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the resampler that `state_dict` described: with row ``state["read"]`` of the same stream.

        Raises:
            RunError: it was of another task, other classes, or another seed or stream.
        """
        mine = {"task": self.task, "classes": list(self.classes), "key": self._key}
        for name, value in mine.items():
            if state.get(name) != value:
                what = "seed or stream" if name == "key" else name
                raise RunError(
                    f"The state is of a resampler with another {what}. Make the resampler as it was, with the rank and "
                    "worker that wrote the state."
                )
        try:
            self._take_state(state)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RunError(
                f"The state of the resampler is damaged ({type(error).__name__}: {error}). Take another checkpoint, or "
                "begin anew without it."
            ) from error

    def _take_state(self, state: Mapping[str, Any]) -> None:
        counters = [int(state[name]) for name in ("read", "passed", "unknown_rows", "next")]
        kinds = {tuple(map(int, kind)): place for place, kind in enumerate(state["kinds"])}
        counts, given = list(map(int, state["counts"])), list(map(int, state["given"]))
        rates = list(map(float, state["rates"]))
        slopes, finding, none = state["slopes"]
        slopes = (np.array(slopes, np.float64), float(finding), float(none))
        if not len(kinds) == len(counts) == len(given) == len(rates) or slopes[0].shape != (len(self.classes),):
            raise ValueError("its parts have different lengths")
        if any(len(kind) != len(self.classes) for kind in kinds) or min(counters + counts + given, default=0) < 0:
            raise ValueError("its counts are of other classes, or negative")
        self.read, self.passed, self.unknown_rows, self._next = counters
        self._kinds, self._counts, self._given, self._rates = kinds, counts, given, rates
        self._slopes, self._places, self._units = slopes, {}, np.zeros(0)

    # -- solving ---------------------------------------------------------------------------------------------------

    def _solve(self) -> None:
        """Set the rate of every kind from the census so far and from what was passed on so far."""
        self._next = max(self.read + _FIRST, int(self.read * _GROWTH))
        table, counts = np.array(list(self._kinds), np.int8), np.array(self._counts, np.int64)
        positives, known = counts @ (table == 1), counts @ (table >= 0)
        binary = self.task == "binary"
        seen = (positives > 0) & (positives < known) if binary else positives > 0
        if not seen.any() or (not binary and seen.sum() < 2):
            return
        part = Combinations(table[:, seen], counts, np.zeros(0, np.int32))
        names = tuple(name for name, there in zip(self.classes, seen, strict=True) if there)
        wanted = read_target(self._target_of(names), self.strength, self.task, names, part, "the stream")
        without = float(counts @ ~(part.labels == 1).any(axis=1)) / counts.sum()
        negatives = without if self.task == "multilabel" and 0.0 < without < 1.0 else None
        solution, dual = solve_plan(part, wanted, negatives, self.max_ratio)
        ratios = np.asarray(solution.ratios)
        self._slopes = _slopes(part.labels, counts, ratios, dual, seen)
        self._set_rates(ratios, counts)

    def _set_rates(self, ratios: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        """Aim the next half of the output so that the whole of it has the target."""
        wanted = counts * ratios / (counts @ ratios)
        ahead = max(64.0, 0.5 * self.passed)
        missing = wanted * (self.passed + ahead) - np.array(self._given)
        rates = ratios * np.clip(missing / np.maximum(wanted * ahead, 1e-300), 0.0, _CORRECTION)
        scale = self.max_repeats / max(float(rates.max()), self.max_repeats)
        self._rates = (rates * scale).tolist()
        level = float(np.log(max(scale, 1e-300)))
        self._slopes = (self._slopes[0], self._slopes[1] + level, self._slopes[2] + level)

    def _target_of(self, names: tuple[str, ...]) -> str | dict[str, Any]:
        """Return the target for the classes that were seen, shares made to sum to one again."""
        if isinstance(self.target, str):
            return self.target
        inner = next(iter(self.target.values())) if len(self.target) == 1 else None
        values = dict(inner) if isinstance(inner, Mapping) else dict(self.target)
        rates = isinstance(inner, Mapping) and "prevalence" in self.target
        there = {name: value for name, value in values.items() if name in names}
        if not there:  # nothing is asked of the classes that were seen
            return "natural"
        whole = sum(there.values())
        if not (self.task == "binary" or (rates and (self.task == "multilabel" or len(there) < len(names)))):
            there = {name: value / whole for name, value in there.items()}
        return {"prevalence": there} if rates else there

    def _new(self, kind: Kind) -> int:
        """Enter a kind that was not seen before, with the rate that its labels have in others."""
        slopes, finding, none = self._slopes
        positive = np.array([label == 1 for label in kind])
        log_rate = float(slopes @ positive) + (finding if positive.any() else none)
        self._kinds[kind] = len(self._kinds)
        self._counts.append(0)
        self._given.append(0)
        self._rates.append(min(1.0 * self.max_repeats, float(np.exp(min(log_rate, 50.0)))))
        return len(self._counts) - 1

    def _take_plan(self, plan: SamplingPlan) -> None:
        if plan.classes != self.classes or plan.task != self.task:
            raise ArgumentError(
                f"The plan is {plan.task} of {listed(plan.classes)}; the stream is {self.task} of "
                f"{listed(self.classes)}. Plan the sampling for the classes of the stream."
            )
        weights = np.asarray(plan.combination_weights)
        rates = weights * (self.max_repeats / weights.max())
        for kind, rate in zip(plan.combination_labels.tolist(), rates.tolist(), strict=True):
            self._kinds[tuple(kind)] = len(self._kinds)
            self._counts.append(0)
            self._given.append(0)
            self._rates.append(rate)
        everywhere = np.ones(len(self.classes), np.bool_)
        counts = np.asarray(plan.combination_counts)
        self._slopes = _slopes(plan.combination_labels, counts, rates, np.asarray(plan.log_odds_shift), everywhere)

    def _check_target(self, target: Mapping[str, Any]) -> None:
        """Raise now for a target that no census could make right."""
        count = len(self.classes)
        table = np.concatenate([np.eye(count, dtype=np.int8), np.zeros((1, count), np.int8)])
        every = Combinations(table, np.ones(count + 1, np.int64), np.zeros(0, np.int32))
        read_target(target, self.strength, self.task, self.classes, every, "the stream")

    # -- labels ----------------------------------------------------------------------------------------------------

    def _kind(self, labels: Any) -> Kind | None:
        """Return the labels as 1, 0 or -1 for each class; None for a row that is to be dropped."""
        if is_exclusive(self.task):
            return self._class_kind(labels)
        values = np.asarray(labels, dtype=np.float64).reshape(-1)
        if len(values) != len(self.classes):
            raise DataError(
                f"Row {self.read:,} of the stream has {len(values)} labels; the resampler has {len(self.classes)} "
                f"classes, {listed(self.classes)}. Give one a class, 0, 1 or NaN."
            )
        if np.any((values != 0) & (values != 1) & ~np.isnan(values)):
            raise DataError(f"Row {self.read:,} of the stream has the labels {values.tolist()}. Give 0, 1 or NaN.")
        return tuple(np.where(np.isnan(values), UNKNOWN, values).astype(int).tolist())

    def _class_kind(self, label: Any) -> Kind | None:
        count = len(self.classes)
        unknown = label is None or (isinstance(label, float | np.floating) and np.isnan(label))
        if isinstance(label, str):
            place = self.classes.index(label) if label in self.classes else -1
        else:
            place = -1 if unknown else self._whole_number(label)
        if 0 <= place < count:
            return tuple(1 if index == place else 0 for index in range(count))
        if not unknown:
            self._meet_unknown(label)
            if self.unknown == "drop":
                return None
        return (UNKNOWN,) * count

    def _whole_number(self, label: Any) -> int:
        try:
            place = int(label)
            whole = place == label
        except (OverflowError, TypeError, ValueError):
            whole = False
        if not whole:
            raise DataError(
                f"Row {self.read:,} of the stream has the label {label!r}. Give a class name, the whole number of a "
                "class from 0, or NaN for unknown."
            )
        return place

    def _meet_unknown(self, label: Any) -> None:
        self.unknown_rows += 1
        if self.unknown == "error":
            raise DataError(
                f"Row {self.read:,} of the stream is of the class {label!r}, which is not one of "
                f'{listed(self.classes)}.{nearest(label, self.classes)} Add the class, or pass unknown="drop" or '
                '"keep".'
            )

    def _held(self, counts: list[int]) -> NDArray[np.float64]:
        table = np.array(list(self._kinds), np.int8).reshape(-1, len(self.classes))
        numbers = np.array(counts, np.float64)
        return np.asarray(numbers @ (table == 1) / max(1.0, numbers.sum()))


def _slopes(
    table: NDArray[np.int8],
    counts: NDArray[np.integer],
    ratios: NDArray[np.float64],
    dual: NDArray[np.float64],
    seen: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], float, float]:
    """Return what a positive adds to the log ratio of a row, and the level of rows with and without a finding."""
    positive = table == 1
    slopes = np.zeros(len(seen))
    slopes[seen] = np.nan_to_num(dual)
    rest = np.log(np.maximum(ratios, 1e-300)) - positive @ slopes[seen]
    found = positive.any(axis=1)
    levels = [float(np.average(rest[side], weights=counts[side])) if side.any() else 0.0 for side in (found, ~found)]
    return slopes, levels[0], levels[1]
