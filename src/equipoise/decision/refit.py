"""Thresholds searched again on reweighted rows: bootstrap samples and rows without a fold, without sorting again."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.resampling import Bins
from equipoise.decision.thresholds import ALWAYS, AS_GOOD, NEVER, alarm_threshold, midway
from equipoise.metrics.ranking import RankedClass
from equipoise.scores.record import logit

_WINDOW = 32  # rows looked at for the next one that was drawn
_MARGIN = 1000  # rows sorted below the last cut


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """The known rows of one class in descending order, as far down as its cuts are searched and somewhat further.

    Args:
        cuts: scores of the positives, descending.
        order: numbers of rows, the highest score first.
        ordered: their scores.
        ends: for each cut the number of rows at or above it.
        values: all scores, minus infinity where the label is unknown, shape (rows,).
    """

    cuts: Floats
    order: NDArray[np.int64]
    ordered: Floats
    ends: NDArray[np.int64]
    values: Floats

    @classmethod
    def of(cls, ranked: RankedClass, bins: Bins, labels: Floats, values: Floats) -> Column:
        """Return the column of a class: `ranked` and `bins` are its record and its bins."""
        known = np.where(np.isnan(labels), -np.inf, values)
        cuts = ranked.values[: bins.size]
        ends = (ranked.true_positives + ranked.false_positives)[: bins.size].astype(np.int64)
        kept = min(int(ends[-1] if len(ends) else 0) + _MARGIN, len(known))
        lowest = max(float(np.partition(known, len(known) - kept)[len(known) - kept]), ranked.lowest)
        rows = np.flatnonzero(known >= lowest)
        order = rows[np.argsort(-known[rows], kind="stable")]
        return cls(cuts, order, known[order], ends, known)

    def threshold(self, weights: Floats, hits: Floats, worth: Floats) -> float:
        """Return the threshold that `fit_threshold` finds on rows repeated as their weights say.

        Args:
            weights: whole numbers per row, shape (rows,); positives and negatives among them.
            hits: weight of true positives at cuts 0 to `bins.size`.
            worth: of these cuts.
        """
        present = np.concatenate(([True], hits[1:] > hits[:-1]))  # cuts at a score that was drawn
        best = np.flatnonzero(present & (worth >= worth[present].max() - AS_GOOD))
        inner = best[best > 0]
        below = self._next_drawn(weights, inner)
        found = np.isfinite(below)
        if not found.any():
            return NEVER if best[0] == 0 else ALWAYS
        above, below = self.cuts[inner[found] - 1], below[found]
        widest = int(np.argmax(logit(above) - logit(below))) if len(above) > 1 else 0
        return midway(float(above[widest]), float(below[widest]))

    def _next_drawn(self, weights: Floats, cuts: NDArray[np.int64]) -> Floats:
        """Return the highest score with weight below each cut, shape (cuts,); minus infinity where there is none."""
        ends, below = self.ends[cuts - 1], np.empty(len(cuts))
        for index, end in enumerate(ends.tolist()):
            near = weights[self.order[end : end + _WINDOW]] > 0
            place = int(near.argmax()) if len(near) else 0
            if len(near) and near[place]:
                below[index] = self.ordered[end + place]
            else:
                beneath = (self.values < self.cuts[cuts[index] - 1]) & (weights > 0)
                below[index] = self.values.max(where=beneath, initial=-np.inf)
        return below


@dataclasses.dataclass(frozen=True, eq=False)
class AlarmColumn:
    """The highest rows of one class in descending order, for the threshold of a share of rows.

    Args:
        values: of all rows.
        share: of rows predicted.
        order: numbers of the highest rows, twice as many as asked for.
        ordered: their scores.
    """

    values: Floats
    share: float
    order: NDArray[np.int64]
    ordered: Floats

    @classmethod
    def of(cls, values: Floats, share: float) -> AlarmColumn:
        """Return the column of a class from the scores of all rows."""
        kept = min(len(values), int(2 * share * len(values)) + 200)
        order = np.argsort(-values, kind="stable")[:kept]
        return cls(values, share, order, values[order])

    def threshold(self, weights: Floats) -> float:
        """Return what `alarm_threshold` finds on rows repeated as their weights say."""
        total = np.cumsum(weights[self.order])
        place = int(np.searchsorted(total, np.floor(self.share * weights.sum() * (1 + 1e-12)), side="right"))
        if place == len(self.order):  # all of them, or more than were sorted
            return alarm_threshold(np.repeat(self.values, weights.astype(np.int64)), self.share)
        start = int(np.searchsorted(-self.ordered, -self.ordered[place]))  # equal scores are predicted whole or not
        if start == 0 or total[start - 1] == 0:
            return NEVER
        last = int(np.searchsorted(total, total[start - 1]))
        return midway(float(self.ordered[last]), float(self.ordered[place]))
