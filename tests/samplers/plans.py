"""Plans made by hand, so that what samplers do is tested apart from the solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class HandPlan:
    classes: tuple[str, ...]
    combination_codes: NDArray[np.int32]
    combination_labels: NDArray[np.int8]
    combination_counts: NDArray[np.int64]
    combination_weights: NDArray[np.float64]
    draws: int

    @property
    def sample_weights(self) -> NDArray[np.float64]:
        return self.combination_weights[self.combination_codes]

    @property
    def shares(self) -> NDArray[np.float64]:
        return self.combination_counts * self.combination_weights


def make_plan(rows: int = 2_000, classes: int = 4, *, seed: int = 0, draws: int | None = None) -> HandPlan:
    """Multi-label rows of rare classes that occur together, weighted towards the rare ones."""
    rng = np.random.default_rng(seed)
    prevalence = np.array([0.3, 0.12, 0.05, 0.02, 0.01, 0.005])[:classes]
    table = (rng.random((rows, classes)) < prevalence).astype(np.int8)
    table[:classes] = np.eye(classes, dtype=np.int8)
    labels, codes, counts = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    weights = np.exp(labels @ -np.log(prevalence) * 0.5)
    weights /= np.sum(weights * counts)
    return HandPlan(
        tuple("abcdef"[:classes]), codes.reshape(-1).astype(np.int32), labels, counts.astype(np.int64), weights,
        rows if draws is None else draws,
    )  # fmt: skip


def chi_square_p(drawn: NDArray[np.int64], expected: NDArray[np.float64]) -> float:
    """The chance of a deviation as large, cells below five pooled."""
    from scipy.special import chdtrc

    small = expected < 5
    if small.any():
        drawn = np.append(drawn[~small], drawn[small].sum())
        expected = np.append(expected[~small], expected[small].sum())
    return float(chdtrc(len(drawn) - 1, np.sum((drawn - expected) ** 2 / expected)))
