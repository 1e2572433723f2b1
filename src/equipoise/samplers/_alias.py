"""Drawing one of many in constant time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class AliasTable:
    """Walker's alias table: `keep` (m,) is how often a cell is taken as itself, `other` (m,) what it is else.

    Walker, "An efficient method for generating discrete random variables with general distributions", ACM
    Transactions on Mathematical Software 3 (1977).
    """

    keep: NDArray[np.float64]
    other: NDArray[np.int64]

    def draw(self, units: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return a cell for each number in [0, 1): its upper part chooses the cell, the rest is the coin."""
        places = units * len(self.keep)
        cells = places.astype(np.int64)
        np.minimum(cells, len(self.keep) - 1, out=cells)  # a unit below one may round up to the end
        places -= cells
        return np.where(places < self.keep[cells], cells, self.other[cells])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(m,) how often each cell is drawn."""
        found = self.keep + np.bincount(self.other, weights=1.0 - self.keep, minlength=len(self.keep))
        return np.asarray(found / len(self.keep))


def alias_table(probabilities: NDArray[np.float64]) -> AliasTable:
    """Return the table for `probabilities` (m,), which need not sum to one; a cell of zero is never drawn.

    Light cells (below the mean) are filled up by heavy ones in order. Which heavy cell fills which light one follows
    from running sums of what is lacking and of what is left over, so that no loop is needed (Huebschle-Schneider and
    Sanders, "Parallel weighted random sampling", ESA 2019, section 4.1).

    >>> alias_table(np.array([1.0, 3.0])).probabilities.tolist()
    [0.25, 0.75]
    """
    scaled = np.asarray(probabilities, dtype=np.float64)
    scaled = scaled * (len(scaled) / scaled.sum())
    keep, other = np.minimum(scaled, 1.0), np.arange(len(scaled))
    light, heavy = np.flatnonzero(scaled < 1.0), np.flatnonzero(scaled >= 1.0)
    if not len(light) or not len(heavy):
        return AliasTable(np.ones(len(scaled)), other)
    lacking = np.cumsum(1.0 - scaled[light])
    left_over = np.cumsum(scaled[heavy] - 1.0)
    before = np.concatenate(([0.0], lacking[:-1]))
    serving = np.searchsorted(left_over, before, side="right")
    other[light] = heavy[np.minimum(serving, len(heavy) - 1)]
    # A heavy cell that has given away too much is itself filled up by the next one.
    last = np.searchsorted(lacking, left_over, side="right")
    emptied = np.flatnonzero(last < len(light))
    # Not where the light cell begins with the next heavy one, nor where only rounding says so: at the very end.
    emptied = emptied[(before[last[emptied]] < left_over[emptied]) & (emptied < len(heavy) - 1)]
    keep[heavy[emptied]] = np.clip(1.0 - (lacking[last[emptied]] - left_over[emptied]), 0.0, 1.0)
    other[heavy[emptied]] = heavy[emptied + 1]
    return AliasTable(keep, other)
