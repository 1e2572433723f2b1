"""What balance costs: evenness of the classes against effective sample size, for strengths, caps and heuristics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from equipoise._checks import ArgumentError, DataError, listed
from equipoise.balance._combinations import combine_labels
from equipoise.balance._heuristics import HEURISTICS
from equipoise.balance._plan_text import aligned
from equipoise.balance._targets import Target
from equipoise.balance._words import counted
from equipoise.balance.plan import SamplingPlan
from equipoise.balance.sampling import heuristic_combinations, plan_combinations
from equipoise.labels import Labels

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
CAPS = (None, 50.0, 20.0, 10.0, 5.0)
_TITLES = ("plan", "strength", "max repeats", "CV of shares", "effective sample", "rarest row", "no finding", "met")


@dataclass(frozen=True)
class FrontierPoint:
    """One plan of the frontier.

    Attributes:
        method: ``"minimum_divergence"`` or a heuristic.
        strength: how far from natural to the target, or None for a heuristic.
        max_repeats: the cap, or None.
        variation: coefficient of variation of the class shares; lower is more even.
        effective_sample_size: as a share of the rows; higher is better.
        repeats: expected draws per epoch of the row drawn most.
        divergence: Kullback-Leibler divergence to natural drawing, in nats.
        negatives_share: share of draws without a known finding.
        reached: whether the target of this strength is met under this cap.
    """

    method: str
    strength: float | None
    max_repeats: float | None
    variation: float
    effective_sample_size: float
    repeats: float
    divergence: float
    negatives_share: float
    reached: bool


@dataclass(frozen=True, eq=False)
class Frontier:
    """The table from which a person chooses a plan.

    Attributes:
        classes: class names.
        points: one a strength and cap, caps from loose to tight, then the heuristics.
        source: where the labels came from.
    """

    classes: tuple[str, ...]
    points: tuple[FrontierPoint, ...]
    source: str = "labels"

    def solved(self, max_repeats: float | None) -> tuple[FrontierPoint, ...]:
        """Return the solved plans of one cap, from natural to the full target."""
        found = [p for p in self.points if p.strength is not None and p.max_repeats == max_repeats]
        return tuple(sorted(found, key=lambda point: float(point.strength or 0.0)))

    @property
    def caps(self) -> tuple[float | None, ...]:
        """The caps, in the order of the points."""
        return tuple(dict.fromkeys(point.max_repeats for point in self.points if point.strength is not None))

    @property
    def heuristics(self) -> tuple[FrontierPoint, ...]:
        """The points of the heuristics."""
        return tuple(point for point in self.points if point.strength is None)

    def above(self) -> tuple[str, ...]:
        """Return the heuristics that are as even as a solved plan and keep more rows than it: none, if all is well.

        The effective sample size between two solved plans of the loosest cap is interpolated over the variation.
        """
        curve = sorted(self.solved(self.caps[0]), key=lambda point: point.variation) if self.caps else []
        if not curve:
            return ()
        x = np.array([point.variation for point in curve])
        y = np.array([point.effective_sample_size for point in curve])
        return tuple(
            point.method
            for point in self.heuristics
            if point.variation < x[-1] * (1 - 1e-9)
            and point.effective_sample_size > float(np.interp(point.variation, x, y)) * (1 + 1e-9)
        )

    def rows(self) -> list[tuple[str, ...]]:
        """One line a plan, as text, in the order of `header`."""
        return [
            (
                point.method.replace("_", " ") if point.strength is None else "plan",
                "-" if point.strength is None else f"{point.strength:g}",
                "-" if point.max_repeats is None else f"{point.max_repeats:g}",
                f"{point.variation:.3f}",
                f"{100 * point.effective_sample_size:.1f} %",
                counted(point.repeats),
                f"{100 * point.negatives_share:.1f} %",
                "-" if point.strength is None else "yes" if point.reached else "nearest",
            )
            for point in self.points
        ]

    @property
    def header(self) -> tuple[str, ...]:
        """Column titles of `rows`."""
        return _TITLES

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "classes": list(self.classes),
            "source": self.source,
            "points": [asdict(point) for point in self.points],
            "above": list(self.above()),
        }

    def __str__(self) -> str:
        return "\n".join(aligned(self.header, self.rows()))


def frontier(
    labels: Labels,
    target: Target = "uniform",
    *,
    strengths: Sequence[float] = STRENGTHS,
    caps: Sequence[float | None] = CAPS,
    negatives_share: float | str | None = None,
    heuristics: Sequence[str] = tuple(HEURISTICS),
    draws: int | None = None,
) -> Frontier:
    """Return evenness against effective sample size and repeats for a range of strengths and caps, and of heuristics.

    Args:
        labels: of any task.
        target: what strength 1 goes to; see `plan_sampling`.
        strengths: in [0, 1].
        caps: values of max_repeats; None is no cap.
        negatives_share: see `plan_sampling`.
        heuristics: names of `HEURISTICS` to set beside the plans. They are left out where a class has no positive.
        draws: draws per epoch; by default as many as there are rows.

    Raises:
        ArgumentError: there is no strength or no cap, or an argument of `plan_sampling` is out of range.
        DataError: the target asks for a class without a positive.

    Example:
        >>> import numpy as np
        >>> from equipoise.labels import Labels
        >>> labels = Labels("binary", ("stroke",), np.array([0, 0, 0, 1], np.float32), np.arange(4))
        >>> table = frontier(labels, strengths=(0.0, 1.0), caps=(None,), heuristics=())
        >>> [(round(point.variation, 4), round(point.effective_sample_size, 4)) for point in table.points]
        [(0.5, 1.0), (0.0, 0.75)]
    """
    if not strengths or not caps:
        raise ArgumentError("`strengths` and `caps` of frontier need one value at least. Give strengths=(1.0,).")
    unknown = [name for name in heuristics if name not in HEURISTICS]
    if unknown:
        raise ArgumentError(f"`heuristics` of frontier has {listed(unknown)}. Choose of {listed(HEURISTICS, 20)}.")
    found = combine_labels(labels)  # once for all plans: for long tables this is most of the work
    settings: dict[str, Any] = {"negatives_share": negatives_share, "draws": draws}
    plans = [
        (strength, plan_combinations(labels, found, target, strength=strength, max_repeats=cap, **settings))
        for cap in sorted(caps, key=lambda cap: -np.inf if cap is None else -cap)
        for strength in strengths
    ]
    points = [_point(plan, float(strength)) for strength, plan in plans]
    for name in heuristics:
        try:
            points.append(_point(heuristic_combinations(labels, found, name, draws), None))
        except DataError:
            break  # a class without a positive stops all of them
    return Frontier(labels.classes, tuple(points), labels.source)


def _point(plan: SamplingPlan, strength: float | None) -> FrontierPoint:
    return FrontierPoint(
        plan.method, strength, plan.max_repeats, plan.variation, plan.effective_sample_size, plan.repeats,
        plan.divergence, plan.negatives_share, plan.reached,
    )  # fmt: skip
