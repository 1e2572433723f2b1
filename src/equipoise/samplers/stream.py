"""The stream of row numbers that a plan asks for, as a pure function of (seed, epoch, number of the draw)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_number
from equipoise._counter import key_of, permuted, random_units
from equipoise.samplers._alias import alias_table

_AT_ONCE = 1 << 15  # draws handled together: their arrays stay in cache
_ROWS_AT_ONCE = 1 << 20
_GUIDE_BITS = 14
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
Rows = NDArray[np.int64]


@runtime_checkable
class Planned(Protocol):
    """What a stream needs of a sampling plan: which rows are alike, and how often one of each kind is drawn."""

    @property
    def combination_codes(self) -> NDArray[Any] | None: ...  # noqa: D102
    @property
    def combination_counts(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def combination_weights(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class _Turns:
    """One epoch without replacement: how many draws each group has, and where in the group they begin."""

    ends: Rows  # (groups,) running sum of draws
    counts: Rows  # (groups,)
    first: Rows  # (groups,)
    shift: int
    guide: Rows  # the group of the first draw of every block of 2^shift draws

    def group_of(self, slots: Rows) -> Rows:
        """Return the group of each draw: that of its block, but where another begins inside the block."""
        groups: Rows = self.guide[slots >> self.shift]
        late = np.flatnonzero(slots >= self.ends[groups])
        groups[late] = np.searchsorted(self.ends, slots[late], side="right")
        return groups


class IndexStream:
    r"""The row numbers of every epoch of a plan.

    With replacement a draw picks the label combination first (alias table) and a row inside it second, both from
    numbers that are hashed from (seed, epoch, draw): constant time, no limit of 2^24 rows, 4 bytes a row beside the
    plan.

    Without replacement every row is drawn floor or ceil of its expected count ``draws * weight`` in an epoch, in a
    random order. Groups take turns: an epoch begins with the rows of a group that the epoch before it left out, and a
    group that falls short of its share in one epoch is made up for in the next ones (its fraction of a draw is rounded
    by steps of the golden ratio). So the rows of a group of m, drawn w times an epoch each, are all seen within about
    (1 + 1.7 / m) / w epochs: 1 / w where the group is large.

    Args:
        plan: a `SamplingPlan`, or anything with ``combination_codes`` (rows,), ``combination_counts`` (m,),
            ``combination_weights`` (m,) and ``draws``.
        seed: of every epoch.
        replacement: draws are independent; else each row is drawn as evenly as the plan allows.
        draws: draws of an epoch; by default those of the plan.

    Raises:
        ArgumentError: the plan does not fit itself (codes, counts and weights of other lengths, weights that are
            negative or all zero).

    Example:
        >>> from types import SimpleNamespace
        >>> plan = SimpleNamespace(
        ...     combination_codes=np.array([0, 0, 0, 1], np.int32), combination_counts=np.array([3, 1]),
        ...     combination_weights=np.array([1 / 6, 1 / 2]), draws=6,
        ... )
        >>> stream = IndexStream(plan, seed=0, replacement=False)
        >>> sorted(stream.indices(0).tolist())
        [0, 1, 2, 3, 3, 3]
        >>> bool((stream.indices(0)[2:5] == stream.indices(0, 2, 5)).all())
        True
    """

    def __init__(self, plan: Planned, *, seed: int = 0, replacement: bool = True, draws: int | None = None) -> None:
        self.seed, self.replacement = int(seed), bool(replacement)
        self.draws = int(check_number(plan.draws if draws is None else draws, argument="draws",
                                      function="IndexStream", at_least=1))  # fmt: skip
        counts, weights = np.asarray(plan.combination_counts, np.int64), np.asarray(plan.combination_weights, float)
        codes = np.asarray(plan.require_rows() if hasattr(plan, "require_rows") else plan.combination_codes)
        _check_plan(codes, counts, weights)
        self.rows = len(codes)
        self._counts = counts
        self.shares = counts * weights / np.sum(counts * weights)
        self._members, self._starts = group_rows(codes, counts)
        self._table = alias_table(self.shares)
        self._strides = _strides(counts, key_of(self.seed, "strides"))
        self._turns: tuple[int, _Turns] | None = None

    def indices(self, epoch: int, start: int = 0, stop: int | None = None, step: int = 1) -> Rows:
        """Return the rows of draws `start`, `start + step`, ... before `stop` of an epoch: int64.

        Any part of any epoch can be asked for by itself. Draws beyond the epoch's last go on in the same stream, so
        that processes which share it can all draw equally many.

        Args:
            epoch: from 0.
            start: number of the first draw, from 0.
            stop: one after the last; by default `draws`.
            step: from one draw to the next: the number of processes that share the stream.
        """
        stop = self.draws if stop is None else stop
        if start < 0 or epoch < 0 or step < 1:
            raise ArgumentError(
                f"`epoch` and `start` must be at least 0 and `step` 1; got {epoch=}, {start=}, {step=}."
            )
        count = max(0, -(-(stop - start) // step))
        found = np.empty(count, np.int64)
        for begin in range(0, count, _AT_ONCE):
            end = min(begin + _AT_ONCE, count)
            found[begin:end] = self.at(epoch, np.arange(start + begin * step, start + end * step, step))
        return found

    def chunks(self, epoch: int, size: int = 1 << 20) -> Iterator[Rows]:
        """Yield the epoch in arrays of at most `size` rows: memory does not grow with the number of draws."""
        for begin in range(0, self.draws, size):
            yield self.indices(epoch, begin, min(begin + size, self.draws))

    def at(self, epoch: int, numbers: NDArray[np.integer]) -> Rows:
        """Return the row of each draw in `numbers`, in any order."""
        if self.replacement:
            groups = self._table.draw(random_units(key_of(self.seed, epoch, "groups"), numbers))
            return self.inside(groups, random_units(key_of(self.seed, epoch, "rows"), numbers))
        groups, places = self._in_turn(epoch, numbers)
        places += self._starts[groups]
        return self._members[places].astype(np.int64, copy=False)

    def inside(self, groups: Rows, units: NDArray[np.float64]) -> Rows:
        """Return a row of each group, chosen by a number in [0, 1)."""
        sizes = self._counts[groups]
        places = np.minimum((units * sizes).astype(np.int64), sizes - 1)
        places += self._starts[groups]
        return self._members[places].astype(np.int64, copy=False)

    def spread(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (rows,) the share of each group spread over its rows."""
        weights = np.empty(self.rows)
        weights[self._members] = np.repeat(shares / np.maximum(self._counts, 1), self._counts)
        return weights

    def _in_turn(self, epoch: int, numbers: NDArray[np.integer]) -> tuple[Rows, Rows]:
        """Return group and place in the group: the epoch's draws lie group by group, and their order is permuted."""
        turns = self._turns_of(epoch)
        slots = permuted(numbers % self.draws, self.draws, key_of(self.seed, epoch, "order"))
        groups = turns.group_of(slots)
        places = slots - (turns.ends - turns.counts)[groups] + turns.first[groups]
        sizes = self._counts[groups]
        places %= sizes
        places *= self._strides[groups]
        places %= sizes
        return groups, places

    def _turns_of(self, epoch: int) -> _Turns:
        kept = self._turns
        if kept is not None and kept[0] == epoch:
            return kept[1]
        expected = self.shares * self.draws
        running = np.cumsum(expected)
        whole = np.rint(running)
        near = np.abs(running - whole) < 1e-9 + 1e-12 * self.draws
        running = np.where(near, whole, running)
        offsets = np.sort(self._offsets(np.arange(epoch)))
        below = np.floor(running)
        before = epoch * below + epoch - np.searchsorted(offsets, 1.0 - (running - below))  # draws of all epochs so far
        ends = np.floor(running + self._offsets(np.array([epoch]))).astype(np.int64)
        ends[-1] = self.draws
        shift = max(0, self.draws.bit_length() - _GUIDE_BITS)
        turns = _Turns(
            shift=shift,
            guide=np.searchsorted(ends, np.arange((self.draws >> shift) + 1) << shift, side="right"),
            ends=ends,
            counts=np.diff(ends, prepend=0),
            first=np.diff(before.astype(np.int64), prepend=0) % np.maximum(self._counts, 1),
        )
        self._turns = (epoch, turns)
        return turns

    def _offsets(self, epochs: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return what is added to running sums before they are rounded: golden-ratio steps reach all of [0, 1) soon."""
        begin = random_units(key_of(self.seed, "offset"), np.zeros(1, np.int64))
        return np.asarray((begin + epochs * _GOLDEN) % 1.0)

    def __deepcopy__(self, memo: dict[int, Any]) -> IndexStream:
        return self  # a pure function of its arguments: a copy would only take memory

    @property
    def fingerprint(self) -> str:
        """What the stream depends on besides the epoch, in 16 letters: two streams that agree in it are the same."""
        digest = hashlib.blake2b(digest_size=8)
        settings = (self.seed, self.draws, self.replacement, self.rows)
        for part in (repr(settings).encode(), self._counts.tobytes(), self.shares.round(15).tobytes()):
            digest.update(part)
        return digest.hexdigest()


class RankStream:
    """The draws of one of `world` processes, epoch by epoch, without torch: `set_epoch`, then iterate.

    Args:
        stream: what all processes share.
        rank: which of them this is, from 0.
        world: how many they are.
    """

    def __init__(self, stream: IndexStream, rank: int = 0, world: int = 1) -> None:
        self.stream, self.rank, self.world, self.epoch = stream, rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        """Draw `epoch` in the next pass."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return int(np.ceil(self.stream.draws / self.world))

    def __iter__(self) -> Iterator[int]:
        for begin in range(0, len(self), _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, len(self))
            rows = self.stream.indices(
                self.epoch, self.rank + begin * self.world, self.rank + end * self.world, self.world
            )
            yield from rows.tolist()


def group_rows(codes: NDArray[np.integer], counts: Rows) -> tuple[NDArray[Any], Rows]:
    """Return row numbers ordered by code, int32 where they fit, and where each code begins (m,).

    Rows are sorted a million at a time, so that memory beside the result stays small.

    >>> group_rows(np.array([1, 0, 1], np.int32), np.array([1, 2]))[0].tolist()
    [1, 0, 2]
    """
    starts = np.cumsum(counts) - counts
    free = starts.copy()
    members = np.empty(len(codes), np.int32 if len(codes) <= np.iinfo(np.int32).max else np.int64)
    narrow = np.dtype(np.uint16 if len(counts) <= 1 << 16 else codes.dtype)  # 16 bits are sorted by radix
    for begin in range(0, len(codes), _ROWS_AT_ONCE):
        part = codes[begin : begin + _ROWS_AT_ONCE]
        order = np.argsort(part.astype(narrow, copy=False), kind="stable")
        ordered = part[order]
        changes = np.flatnonzero(np.diff(ordered)) + 1
        firsts = np.concatenate(([0], changes))
        here, many = ordered[firsts], np.diff(np.concatenate((firsts, [len(part)])))
        members[np.arange(len(part)) + np.repeat(free[here] - firsts, many)] = order + begin
        free[here] += many
    return members, starts


def _strides(counts: Rows, key: int) -> Rows:
    """Return a step for each group that has no divisor in common with its size: stepping by it visits every row."""
    between = random_units(key, np.arange(len(counts)))
    strides = np.maximum(1, ((0.25 + 0.5 * between) * counts).astype(np.int64))
    while True:
        shared = (np.gcd(strides, counts) != 1) & (counts > 0)
        if not shared.any():
            return strides
        strides[shared] += 1


def _check_plan(codes: NDArray[np.integer], counts: Rows, weights: NDArray[np.float64]) -> None:
    if counts.shape != weights.shape or counts.ndim != 1 or codes.ndim != 1 or not len(codes):
        raise ArgumentError(
            f"The plan has {counts.size} counts and {weights.size} weights of combinations and {codes.size} rows. "
            "Give one count and one weight a combination, and at least one row."
        )
    if not np.all(np.isfinite(weights)) or np.any(weights < 0) or not np.sum(counts * weights) > 0:
        raise ArgumentError(
            "The weights of a plan must be finite, not negative and not all 0. Plan the sampling again."
        )
    found = np.zeros(len(counts), np.int64)
    for begin in range(0, len(codes), _ROWS_AT_ONCE):
        part = codes[begin : begin + _ROWS_AT_ONCE]
        if part.min() < 0 or part.max() >= len(counts):
            raise ArgumentError(
                f"The plan has {len(counts)} combinations, but a row has code {part.max()}. Plan the sampling again."
            )
        found += np.bincount(part, minlength=len(counts))
    if not np.array_equal(found, counts):
        raise ArgumentError(
            "The rows of the plan do not add up to its counts: was it made for other labels? Plan the sampling again "
            "from the labels of this data set."
        )
