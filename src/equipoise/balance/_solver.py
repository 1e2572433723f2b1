r"""The row weights nearest to natural drawing that meet class shares: a convex problem with one dual variable a class.

Rows with the same labels get the same weight, so a table collapses to its label combinations. With m_k the natural mass
of combination k (its rows over all rows), r_k how often one of its rows is drawn for every natural draw, a_k its
features (`Goal.wanted`, one column a class; their mean is zero where the target is met) and M_g the mass that group g
of combinations keeps (one group, or rows with and without a finding):

    minimise    sum_k m_k r_k ln r_k                       the Kullback-Leibler divergence to natural drawing
    subject to  sum_k m_k r_k a_k = 0,   sum_{k in g} m_k r_k = M_g,   0 <= r_k <= cap

Given the multipliers lambda of the classes, the weights are r_k = min(cap, exp(lambda . a_k + alpha_g)), where alpha_g
keeps the mass of the group (found by sorting). What is left is a smooth convex function of lambda alone, whose
slope is sum_k m_k r_k a_k and whose Hessian is the covariance of a within the groups, over what is not capped.

Where no weights meet the target, that function has no minimum. A ridge |lambda|^2 / (2 stiffness) on it is a penalty
stiffness/2 |sum_k m_k r_k a_k|^2 on the gap, so a sequence of growing stiffness leads to the exact weights where the
target can be reached, and to the least gap where it cannot. At the exact end the ridge is centred on the last lambda
(the method of multipliers), which takes its bias away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats

_STIFFNESS = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
REACHED = 1e-8  # root mean square of relative gaps below which a target counts as met
SLACK = 0.01
# A gap as large as this at the greatest stiffness would need weights of exp(-1000): no weights meet the target.
_HOPELESS = 1e-3
# One below this is that of a target which weights of 0 meet: they lie at infinity, and the gap falls like lambda /
# stiffness, with lambda (the log of a weight) at most this times the stiffness.
_AT_INFINITY = 5e-5
_NOISE = 1e-7
_MOST_STEPS = 2_000  # a problem takes 20 to 100

_Stage: TypeAlias = tuple[float, float, NDArray[np.float64]]  # stiffness, gap, dual


@dataclass(frozen=True, eq=False)
class Goal:
    """What is asked of the weights.

    Attributes:
        masses: (combinations,) natural mass, sums to one.
        wanted: (combinations, classes asked for) features whose mean under the plan should be zero; scaled so that the
            norm of that mean is the root mean square of the relative gaps.
        groups: (combinations,) the group of each.
        level: (groups,) the mass that each group keeps; sums to one.
        cap: most draws of a row for each natural draw; infinite for none.
    """

    masses: NDArray[np.float64]
    wanted: NDArray[np.float64]
    groups: NDArray[np.intp]
    level: NDArray[np.float64]
    cap: float


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights and what they cost.

    Attributes:
        ratios: (combinations,) draws of a row for each natural draw.
        dual: (classes asked for,) lambda.
        offsets: (groups,) alpha; minus infinity for a group that is not drawn.
        gap: root mean square of the relative gaps to the target.
        least_gap: the smallest gap that any weights have; 0 where the target is met, or can be met by weights some of
            which are 0 (then lambda is infinite).
        steps: Newton steps in all.
    """

    ratios: NDArray[np.float64]
    dual: NDArray[np.float64]
    offsets: NDArray[np.float64]
    gap: float
    least_gap: float
    steps: int

    @property
    def reached(self) -> bool:
        """Whether the target is met exactly."""
        return self.gap <= REACHED


def solve(goal: Goal, slack: float = SLACK) -> Solution:
    """Return the weights of least divergence that meet the goal, or come within `slack` of the least gap.

    The least gap alone would be met by never drawing whole groups of rows (on chest X-rays with a cap of 15: 18 % of
    them); one point more of gap keeps nearly all.
    """
    path = _Path(goal)
    stages = []
    for stiffness in _STIFFNESS:
        path.advance(stiffness)
        stages.append((stiffness, path.gap, path.dual))
        if path.gap > _HOPELESS and len(stages) > 1 and path.gap > (1.0 - 1e-6) * stages[-2][1]:
            break  # stiffer changes nothing any more
    while REACHED / 10 < path.gap < _HOPELESS:
        before = path.gap
        path.advance(_STIFFNESS[-1], centred=True)
        if path.gap > 0.5 * before:
            break
    if path.gap <= REACHED:
        return path.solution(0.0)
    least = min(path.gap, stages[-1][1])
    if slack == 0.0 and path.gap == least:
        return path.solution(0.0 if least < _AT_INFINITY else least)
    near = next((place for place, stage in enumerate(stages) if stage[1] <= least + slack), len(stages) - 1)
    found = _soften(path, stages[max(near - 1, 0)], stages[near], least, slack)
    return replace(found, least_gap=0.0) if least < _AT_INFINITY else found


def solve_softly(goal: Goal, stiffness: float) -> Solution:
    """Return the weights that minimise divergence + stiffness/2 gap^2: the best trade of one against the other."""
    path = _Path(goal)
    for step in (*(s for s in _STIFFNESS if s < stiffness), stiffness):
        path.advance(step)
    return path.solution(0.0)


def _soften(path: _Path, below: _Stage, above: _Stage, least: float, slack: float) -> Solution:
    """Find the stiffness at which the gap is the least gap and `slack`: the gap falls as the stiffness grows."""
    low, high = np.log(below[0]) - (14.0 if below is above else 0.0), np.log(above[0])
    path.dual = np.zeros_like(path.dual) if below is above else below[2]
    nearest = above[2]
    while high - low > 1e-3 and slack > 0.0:
        middle = 0.5 * (low + high)
        path.advance(np.exp(middle))
        if path.gap > least + slack:
            low = middle
        else:
            high, nearest = middle, path.dual
    path.dual = nearest
    path.advance(np.exp(high))
    return path.solution(least)


class _Path:
    """The dual variables as the stiffness grows: each point is a few Newton steps from the last."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.members = [np.flatnonzero(goal.groups == group) for group in range(len(goal.level))]
        self.dual = np.zeros(goal.wanted.shape[1])
        self.ratios, self.offsets = self.weigh(self.dual)
        self.steps = 0

    @property
    def gap(self) -> float:
        return float(np.linalg.norm((self.goal.masses * self.ratios) @ self.goal.wanted))

    def solution(self, least_gap: float) -> Solution:
        return Solution(self.ratios, self.dual, self.offsets, self.gap, least_gap, self.steps)

    def weigh(self, dual: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weights that belong to lambda, and the offsets that keep the mass of every group."""
        ratios, offsets = np.empty(len(self.goal.masses)), np.empty(len(self.members))
        for group, inside in enumerate(self.members):
            score = self.goal.wanted[inside] @ dual
            offset = _offset(score, self.goal.masses[inside], float(self.goal.level[group]), self.goal.cap)
            ratios[inside] = np.minimum(np.exp(np.minimum(score + offset, 700.0)), self.goal.cap)
            offsets[group] = offset
        return ratios, offsets

    def advance(self, stiffness: float, *, centred: bool = False) -> None:
        """Minimise the dual with this stiffness by Newton's method, from where the path stands."""
        centre = self.dual if centred else np.zeros_like(self.dual)
        self.ratios, self.offsets = self.weigh(self.dual)
        slope = self._slope(self.dual, self.ratios, stiffness, centre)
        least, idle = np.inf, 0
        while len(self.dual) and idle < 3 and self.steps < _MOST_STEPS:
            largest = float(np.abs(slope).max())
            # With large multipliers the slope is rounding from here on: it stops falling, and so do the steps.
            idle = idle + 1 if largest < _NOISE and largest > 0.5 * least else 0
            least = min(least, largest)
            if largest <= 1e-15:
                break
            step = np.asarray(np.linalg.solve(self._bend(stiffness), -slope), np.float64)
            slope = self._go(step, slope, stiffness, centre)
            self.steps += 1

    def _go(self, step: Floats, slope: Floats, stiffness: float, centre: Floats) -> Floats:
        """Go along the step to where the dual no longer falls, or all the way; return the slope there.

        Only slopes are compared: near the minimum the values of the dual differ by less than their rounding.
        """
        start, promise = self.dual, float(slope @ step)
        low, high, length = 0.0, 1.0, 1.0
        for _ in range(40):
            self.dual = start + length * step
            self.ratios, self.offsets = self.weigh(self.dual)
            here = self._slope(self.dual, self.ratios, stiffness, centre)
            along = float(here @ step)
            if (along <= 0.0 and (length == 1.0 or along >= 0.5 * promise)) or abs(along) <= -0.1 * promise:
                break
            low, high = (length, high) if along < 0.0 else (low, length)
            length = 0.5 * (low + high)
        return here

    def _slope(self, dual: Floats, ratios: Floats, stiffness: float, centre: Floats) -> NDArray[np.float64]:
        return np.asarray((self.goal.masses * ratios) @ self.goal.wanted + (dual - centre) / stiffness)

    def _bend(self, stiffness: float) -> NDArray[np.float64]:
        """Return the Hessian: the covariance of the features within each group, over what is not capped."""
        bend = np.eye(len(self.dual)) / stiffness
        drawn = self.goal.masses * self.ratios
        for inside in self.members:
            free = inside[self.ratios[inside] < self.goal.cap]
            mass = float(drawn[free].sum())
            if mass > 0.0:
                features = self.goal.wanted[free] - (drawn[free] @ self.goal.wanted[free]) / mass
                bend += (features * drawn[free, None]).T @ features
        return bend


def _offset(score: NDArray[np.float64], masses: NDArray[np.float64], level: float, cap: float) -> float:
    """Return the alpha with sum masses min(cap, exp(score + alpha)) = level.

    The j highest scores are capped for the smallest j at which the next one stays below the cap.
    """
    if level <= 0.0 or not len(score):
        return -np.inf
    order = np.argsort(-score, kind="stable")
    score, masses = score[order], masses[order]
    rest = np.logaddexp.accumulate((score + np.log(masses))[::-1])[::-1]  # ln of the sum from j on
    if np.isinf(cap):
        return float(np.log(level) - rest[0])
    capped = cap * np.concatenate([[0.0], np.cumsum(masses)[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        offsets = np.log(level - capped) - rest
        fits = np.flatnonzero(score + offsets <= np.log(cap) * (1.0 + 1e-15))
    return float(offsets[fits[0]]) if len(fits) else float(np.log(cap) - score[-1])
