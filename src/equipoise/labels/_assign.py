"""Placing groups in roles so that every class keeps its prevalence in each: the arithmetic of `split_labels`.

The problem is a multi-dimensional partition, which has no exact fast solution. It is solved here in three steps:

1. Groups that count alike (the same rows, positives and unknowns) form one *type*; a thousand patients with one normal
   image are one type of a thousand. What remains to be chosen is how many of each type go to each role.
2. Types are dealt out by a golden-ratio sequence within the stratum of their rarest class, rarest class first, which is
   already close; then each class that can be present in every role is made present.
3. A local search takes the single move, then the exchange, that lowers the squared deviations most, until none does. A
   deviation is weighed by what matters: relative to the class for a rare class, absolute for a common one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0.6180339887498949
_CANDIDATES = 192  # moves of each direction that are tried as halves of an exchange
_MOVES = 20_000
_WORTHWHILE = 0.01  # an exchange that lowers the cost by less than this share of it ends the search


@dataclass(frozen=True, eq=False)
class _State:
    """A partition under way.

    Attributes:
        features: (types, features) what one group of the type adds: rows, then positives and known rows per class.
        counts: (types, roles) groups of the type in the role.
        deviations: (roles, features) sum over the role minus its target.
        weights: (features,) what a squared deviation costs.
        fractions: (roles,) they sum to 1.
        presence: (types, 1 + 2 classes) one for being a group, then whether it has a positive, a negative, of a class.
        present: (roles, 1 + 2 classes) groups in the role that have one.
    """

    features: NDArray[np.float64]
    counts: NDArray[np.int64]
    deviations: NDArray[np.float64]
    weights: NDArray[np.float64]
    fractions: NDArray[np.float64]
    presence: NDArray[np.int64]
    present: NDArray[np.int64]

    def move(self, kind: int, source: int, target: int) -> None:
        self.counts[kind, source] -= 1
        self.counts[kind, target] += 1
        self.deviations[source] -= self.features[kind]
        self.deviations[target] += self.features[kind]
        self.present[source] -= self.presence[kind]
        self.present[target] += self.presence[kind]


def assign_groups(
    types: NDArray[np.int64], kinds: NDArray[np.int64], fractions: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return (groups,) the role of each group.

    Args:
        types: (types, 1 + 2 classes) what a group of the type counts: rows, positives per class, known rows per class.
        kinds: (groups,) the type of each group.
        fractions: (roles,) share of rows wanted in each role; all above 0, they sum to 1.
        rng: source of every random choice.
    """
    sizes = np.bincount(kinds, minlength=len(types)).astype(np.int64)
    state = _dealt(types, sizes, fractions, (types.shape[1] - 1) // 2, rng)
    _make_present(state)
    _search(state)
    return _drawn(kinds, state.counts, rng)


def _dealt(
    types: NDArray[np.int64], sizes: NDArray[np.int64], fractions: NDArray[np.float64], classes: int,
    rng: np.random.Generator,
) -> _State:  # fmt: skip
    positives, known = types[:, 1 : 1 + classes], types[:, 1 + classes :]
    order = np.lexsort((*positives.T, types[:, 0], _rarest(positives, sizes)))
    ends = np.cumsum(sizes[order])
    ranks = np.arange(ends[-1])
    places = (ranks * _GOLDEN + rng.random()) % 1.0
    roles = np.minimum(np.searchsorted(np.cumsum(fractions), places, side="right"), len(fractions) - 1)
    counts = np.zeros((len(types), len(fractions)), np.int64)
    np.add.at(counts, (np.repeat(order, sizes[order]), roles), 1)
    totals = types.T @ sizes
    features, weights = _features(types, totals, classes)
    presence = np.column_stack([np.ones(len(types)), positives > 0, known > positives]).astype(np.int64)
    deviations = counts.T @ features - fractions[:, None] * (features.T @ sizes)
    return _State(features, counts, deviations, weights, fractions, presence, counts.T @ presence)


def _rarest(positives: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (types,) the rank of the rarest class a type has a positive of; types without one come last."""
    groups = (positives > 0).T @ sizes
    by_rarity = np.argsort(groups, kind="stable")
    has = np.column_stack([positives[:, by_rarity] > 0, np.ones(len(positives), bool)])
    ranks: NDArray[np.int64] = has.argmax(axis=1)
    return ranks


def _features(
    types: NDArray[np.int64], totals: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = float(totals[0])
    positive, known = totals[1 : 1 + classes].astype(float), totals[1 + classes :].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        prevalence = np.where(known > 0, positive / known, 0.0)
    # What must vanish is positives - prevalence x known rows: the excess of positives over what the role should have.
    excess = types[:, 1 : 1 + classes] - prevalence * types[:, 1 + classes :]
    features = np.column_stack([types[:, :1].astype(float), excess, types[:, 1 + classes :]])
    scale = np.maximum(known, 1.0)
    rarer = np.minimum(prevalence, 1.0 - prevalence)
    # A deviation of one in a thousand of all rows, or of one in thirty of the positives: whichever is felt first.
    weights = (1.0 / scale**2) * (1.0 / 0.0002**2 + 1.0 / np.maximum(0.035 * rarer, 1e-7) ** 2)
    weights = np.where((positive > 0) & (positive < known), weights, 0.0)
    uneven = known != rows  # a class known everywhere has known rows = rows, which are weighed once
    weights = np.concatenate([[1.0 / (0.002 * rows) ** 2], weights, uneven / (0.01 * scale) ** 2])
    return features[:, weights > 0], weights[weights > 0]


def _make_present(state: _State) -> None:
    """Move groups so that what sits in at least as many groups as there are roles is in every role, rarest first."""
    roles = len(state.fractions)
    for thing in np.argsort(state.present.sum(axis=0), kind="stable"):
        if state.present[:, thing].sum() < roles:
            continue
        for role in np.flatnonzero(state.present[:, thing] == 0):
            source = int(state.present[:, thing].argmax())
            free = _movable(state, [source])[:, 0] & (state.presence[:, thing] > 0) & (state.counts[:, source] > 0)
            kinds = np.flatnonzero(free)
            if len(kinds) == 0:
                kinds = np.flatnonzero((state.presence[:, thing] > 0) & (state.counts[:, source] > 0))
            state.move(int(kinds[state.features[kinds, 0].argmin()]), source, int(role))


def _movable(state: _State, roles: list[int]) -> NDArray[np.bool_]:
    """Return (types, roles) whether a group of the type may leave the role without emptying it of anything."""
    last = (state.present[roles] == 1).astype(np.float32)
    free: NDArray[np.bool_] = (state.presence.astype(np.float32) @ last.T) == 0
    return free


class _Costs:
    """(types, roles) twice: what it adds to the cost to take a group of the type out of, or into, a role."""

    def __init__(self, state: _State) -> None:
        self.state = state
        self.own = (state.features**2 @ state.weights)[:, None] / state.fractions
        self.leave = np.empty_like(self.own)
        self.enter = np.empty_like(self.own)
        self.refresh(list(range(len(state.fractions))))

    def refresh(self, roles: list[int]) -> None:
        """Compute the columns of some roles again: a move changes two of them."""
        state = self.state
        pull = state.features @ (2.0 * state.weights * state.deviations[roles] / state.fractions[roles, None]).T
        allowed = (state.counts[:, roles] > 0) & _movable(state, roles)
        self.leave[:, roles] = np.where(allowed, self.own[:, roles] - pull, np.inf)
        self.enter[:, roles] = self.own[:, roles] + pull


def _search(state: _State) -> None:
    roles = len(state.fractions)
    pairs = [(first, second) for first in range(roles) for second in range(first + 1, roles)]
    costs = _Costs(state)
    for _ in range(_MOVES):
        kind, source, target = _best_move(costs.leave, costs.enter)
        if costs.leave[kind, source] + costs.enter[kind, target] < -1e-9:
            state.move(kind, source, target)
            costs.refresh([source, target])
            continue
        per_role = (state.deviations**2 @ state.weights) / state.fractions
        least = max(_WORTHWHILE * float(per_role.sum()), 1e-9)
        worst = int(per_role.argmax())  # most often the worst role can be helped, which spares trying every pair
        some = [pair for pair in pairs if worst in pair]
        changed = _exchange(costs, some, least) or _exchange(costs, pairs, least)
        if changed is None:
            return
        costs.refresh(list(changed))


def _best_move(leave: NDArray[np.float64], enter: NDArray[np.float64]) -> tuple[int, int, int]:
    sources = leave.argmin(axis=1)
    targets = enter.argmin(axis=1)
    rows = np.arange(len(leave))
    best = leave[rows, sources] + enter[rows, targets]  # moving to where it is costs twice its own weight, never a gain
    kind = int(best.argmin())
    return kind, int(sources[kind]), int(targets[kind])


def _exchange(costs: _Costs, pairs: list[tuple[int, int]], least: float) -> tuple[int, int] | None:
    """Make the best exchange of two groups between two roles and return the pair; None when none gains `least`."""
    state, leave, enter = costs.state, costs.leave, costs.enter
    best, found = -least, None
    for first, second in pairs:
        forth, back = leave[:, first] + enter[:, second], leave[:, second] + enter[:, first]
        some, other = _lowest(forth), _lowest(back)
        joint = 2.0 * (1.0 / state.fractions[first] + 1.0 / state.fractions[second])
        cross = (state.features[some] * state.weights) @ state.features[other].T
        cost = forth[some][:, None] + back[other] - joint * cross
        place = int(cost.argmin()) if cost.size else -1
        if place >= 0 and cost.flat[place] < best:
            best = float(cost.flat[place])
            row, column = divmod(place, cost.shape[1])
            found = (int(some[row]), int(other[column]), first, second)
    if found is None:
        return None
    kind, other_kind, source, target = found
    state.move(kind, source, target)
    state.move(other_kind, target, source)
    return source, target


def _lowest(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    finite = np.flatnonzero(np.isfinite(costs))
    if len(finite) <= _CANDIDATES:
        return finite
    return finite[np.argpartition(costs[finite], _CANDIDATES)[:_CANDIDATES]]


def _drawn(kinds: NDArray[np.int64], counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (groups,) roles: which groups of a type go where is drawn at random."""
    shuffled = rng.permutation(len(kinds))
    order = shuffled[np.argsort(kinds[shuffled], kind="stable")]
    roles = np.empty(len(kinds), np.int64)
    roles[order] = np.repeat(np.tile(np.arange(counts.shape[1]), len(counts)), counts.reshape(-1))
    return roles
