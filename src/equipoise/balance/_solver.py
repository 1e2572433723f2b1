r"""The row weights nearest to natural drawing that meet class shares: a convex problem with one dual variable a class.

Rows with the same labels get the same weight, so a table collapses to its label combinations. With m_k the natural mass
of combination k (its rows over all rows), r_k how often one of its rows is drawn for every natural draw, a_k its
features (`Goal.wanted`, one column a class, zero where the target is met) and h_k the conditions that always hold (the
masses sum to one; the share of rows without a finding):

    minimise    sum_k m_k r_k ln r_k                       the Kullback-Leibler divergence to natural drawing
    subject to  sum_k m_k r_k a_k = 0,   sum_k m_k r_k h_k = b,   0 <= r_k <= cap

Its dual is smooth and has no constraints. With t_k = lambda . a_k + nu . h_k, the weights are r_k = min(cap, exp t_k)
(the multiplier of the cap is max(0, t_k - ln cap)), and (lambda, nu) minimise

    sum_k m_k phi(t_k) - nu . b,   phi(t) = exp(t) for t <= ln cap, else cap (1 + t - ln cap).

Where no weights meet the target, that minimum does not exist. A ridge |lambda|^2 / (2 stiffness) on the dual is a
penalty stiffness/2 |sum_k m_k r_k a_k|^2 on the gap, so a sequence of growing stiffness leads to the exact weights
where the target can be reached, and to the least gap where it cannot. At the exact end the ridge is centred on the last
lambda (the method of multipliers), which takes its bias away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats

_STIFFNESS = (1e1, 1e2, 1e3, 1e4, 1e6)
REACHED = 1e-8  # root mean square of relative gaps below which a target counts as met
SLACK = 0.01
# A gap as large as this at the greatest stiffness would need weights of exp(-1000): no weights meet the target.
_HOPELESS = 1e-3
_TRACE = 1e-10
_MOST_STEPS = 5_000  # a problem takes 20 to 100

_Stage: TypeAlias = tuple[float, float, NDArray[np.float64]]  # stiffness, gap, dual


@dataclass(frozen=True, eq=False)
class Goal:
    """What is asked of the weights.

    Attributes:
        masses: (combinations,) natural mass, sums to one.
        wanted: (combinations, classes asked for) features whose mean under the plan should be zero; scaled so that the
            norm of that mean is the root mean square of the relative gaps.
        held: (combinations, conditions) features of the conditions that hold always.
        level: (conditions,) what their means must be.
        cap: most draws of a row for each natural draw; infinite for none.
    """

    masses: NDArray[np.float64]
    wanted: NDArray[np.float64]
    held: NDArray[np.float64]
    level: NDArray[np.float64]
    cap: float


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights and what they cost.

    Attributes:
        ratios: (combinations,) draws of a row for each natural draw.
        wanted_dual: (classes asked for,) lambda.
        held_dual: (conditions,) nu.
        gap: root mean square of the relative gaps to the target.
        least_gap: the smallest gap that any weights have; 0 where the target is met.
        steps: Newton steps in all.
    """

    ratios: NDArray[np.float64]
    wanted_dual: NDArray[np.float64]
    held_dual: NDArray[np.float64]
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
    if goal.cap <= 1.0 + 1e-12:  # every row exactly as often as every other
        return path.solution(path.gap)
    stages = []
    for stiffness in _STIFFNESS:
        path.advance(stiffness)
        stages.append((stiffness, path.gap, path.dual))
    while REACHED / 10 < path.gap < _HOPELESS:
        before = path.gap
        path.advance(_STIFFNESS[-1], centred=True)
        if path.gap > 0.5 * before:
            break
    if path.gap <= REACHED:
        return path.solution(0.0)
    least = min(path.gap, stages[-1][1])
    near = next((place for place, stage in enumerate(stages) if stage[1] <= least + slack), len(stages) - 1)
    return _soften(path, stages[max(near - 1, 0)], stages[near], least, slack)


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
        self.features = np.hstack([goal.wanted, goal.held])
        self.level = np.concatenate([np.zeros(goal.wanted.shape[1]), goal.level])
        self.soft = np.arange(len(self.level)) < goal.wanted.shape[1]
        self.dual = np.zeros(len(self.level))
        self.ratios = np.ones(len(goal.masses))
        self.steps = 0

    @property
    def gap(self) -> float:
        return float(np.linalg.norm((self.goal.masses * self.ratios) @ self.goal.wanted))

    def solution(self, least_gap: float) -> Solution:
        return Solution(self.ratios, self.dual[self.soft], self.dual[~self.soft], self.gap, least_gap, self.steps)

    def advance(self, stiffness: float, *, centred: bool = False) -> None:
        """Minimise the dual with this stiffness by Newton's method, from where the path stands."""
        # Where all weights are capped the dual is flat along the conditions that hold always: a trace of ridge, centred
        # where the path stands and so without bias in the end, keeps the step finite.
        ridge = np.where(self.soft, 1.0 / stiffness, _TRACE)
        centre = np.where(self.soft & (not centred), 0.0, self.dual)
        value, slope, bend = self._dual(self.dual, ridge, centre)
        least, idle = np.inf, 0
        while idle < 3 and self.steps < _MOST_STEPS:
            largest = float(np.abs(slope).max())
            # Below this the slope is rounding; there it stops falling, and so do the steps.
            idle = idle + 1 if largest < 1e-10 and largest > 0.5 * least else 0
            least = min(least, largest)
            step = _newton_step(bend, slope)
            length = self._length(step, value, float(slope @ step), ridge, centre)
            if length < 0.01:  # along what is capped the dual is straight, and a Newton step has no end
                step = _newton_step(self._bend(self.dual, np.inf, ridge), slope)
                length = self._length(step, value, float(slope @ step), ridge, centre)
            if largest <= 1e-15 or length == 0.0:
                break
            self.dual = self.dual + length * step
            value, slope, bend = self._dual(self.dual, ridge, centre)
            self.steps += 1
        self.ratios = self._ratios(self.dual)

    def _length(self, step: Floats, value: float, promise: float, ridge: Floats, centre: Floats) -> float:
        """Return how far to go: all the way, or halved until the dual falls as a convex function must."""
        length = 1.0
        noise = 1e-15 * max(1.0, abs(value))
        while length > 1e-9:
            there = self._value(self.dual + length * step, ridge, centre)
            if there <= value + 1e-4 * length * promise + (noise if length == 1.0 and -promise < 1e3 * noise else 0.0):
                return length
            length *= 0.5
        return 0.0

    def _ratios(self, dual: Floats) -> NDArray[np.float64]:
        return np.asarray(np.exp(np.minimum(self.features @ dual, np.log(self.goal.cap))))

    def _value(self, dual: Floats, ridge: Floats, centre: Floats) -> float:
        score, limit = self.features @ dual, np.log(self.goal.cap)
        below = np.minimum(score, limit)
        over = score - below
        inside = np.exp(below) * (1.0 + over)
        return float(self.goal.masses @ inside - dual @ self.level + 0.5 * ridge @ (dual - centre) ** 2)

    def _dual(self, dual: Floats, ridge: Floats, centre: Floats) -> tuple[float, Floats, Floats]:
        """Return the dual, its gradient and its Hessian."""
        limit = np.log(self.goal.cap)
        drawn = self.goal.masses * np.exp(np.minimum(self.features @ dual, limit))
        slope = drawn @ self.features - self.level + ridge * (dual - centre)
        return self._value(dual, ridge, centre), slope, self._bend(dual, limit, ridge)

    def _bend(self, dual: Floats, limit: float, ridge: Floats) -> Floats:
        """Return the Hessian: combinations beyond `limit` do not bend it."""
        score = self.features @ dual
        drawn = self.goal.masses * np.exp(np.minimum(score, np.log(self.goal.cap)))
        free = np.where(score <= limit, drawn, 0.0)
        return np.asarray((self.features * free[:, None]).T @ self.features + np.diag(ridge))


def _newton_step(bend: Floats, slope: Floats) -> NDArray[np.float64]:
    """Return the Newton step; directions that do not bend are left out, unless the slope goes down there."""
    scale = np.sqrt(np.maximum(np.diag(bend), 1e-300))
    values, vectors = np.linalg.eigh(bend / np.outer(scale, scale))
    along = vectors.T @ (slope / scale)
    keep = np.maximum(values, 1e-13 * max(float(values[-1]), 1e-300))
    return np.asarray(-(vectors @ (along / keep)) / scale)
