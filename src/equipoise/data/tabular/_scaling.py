"""How numeric columns are scaled: pure functions on (rows, columns) arrays, fitted on training rows, NaN passed over.

Each `fit_` returns plain lists of numbers, each `apply_` takes them. A cell that is NaN stays NaN: filling is the
preprocessor's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

CLIP = 10.0  # a standardised value is cut here: one slip of the decimal point must not rule every logit
KNOTS = 256  # quantiles kept for the quantile scaling of one column
EDGE = 1e-3  # the quantile scaling ends at this probability and one minus it, +-3.09


def fit_standard(values: Numbers) -> tuple[Numbers, Numbers]:
    """Return the mean and standard deviation (1 where it is 0) of every column, missing cells left out.

    >>> fit_standard(np.array([[1.0], [3.0], [np.nan]]))
    (array([2.]), array([1.]))
    """
    center = np.nanmean(values, axis=0)
    scale = np.nanstd(values, axis=0)
    return center, np.where(scale > 0, scale, 1.0)


def apply_standard(values: Numbers, center: Numbers, scale: Numbers) -> Numbers:
    """Return ``clip((x - center) / scale, -10, 10)``, the standard score cut at ten deviations.

    >>> apply_standard(np.array([[5.0], [900.0]]), np.array([2.0]), np.array([1.0])).tolist()
    [[3.0], [10.0]]
    """
    result = (values - center) / scale
    return np.clip(result, -CLIP, CLIP, out=result)


def fit_robust(values: Numbers) -> tuple[Numbers, Numbers]:
    """Return the median and the scale of every column: the interquartile range, or half the range where that is 0.

    Source: Holzmüller, Grinsztajn, Steinwart, "Better by default" (RealMLP), NeurIPS 2024, section 3.1 and
    appendix A, "robust scaling": ``1 / (q3 - q1)`` if the quartiles differ, else ``2 / (max - min)``, else 0.

    >>> fit_robust(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]]))
    (array([2.]), array([2.]))
    """
    low, center, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
    span = (np.nanmax(values, axis=0) - np.nanmin(values, axis=0)) / 2
    scale = np.where(high > low, high - low, span)
    return center, np.where(scale > 0, scale, 1.0)


def apply_robust_clip(values: Numbers, center: Numbers, scale: Numbers) -> Numbers:
    """Return ``z / sqrt(1 + (z / 3)^2)`` with ``z = (x - center) / scale``: smooth, monotone, within -3 and 3.

    Source: Holzmüller et al. 2024 (see `fit_robust`), "smooth clipping".

    >>> apply_robust_clip(np.array([[2.0], [6.0], [1e6]]), np.array([2.0]), np.array([1.0])).round(4).tolist()
    [[0.0], [2.4], [3.0]]
    """
    result = (values - center) / scale
    result /= np.sqrt(1 + np.square(result / 3))
    return result


def fit_quantiles(column: Numbers) -> tuple[Numbers, Numbers]:
    """Return the knots of the empirical distribution of one column: values, and the normal score of each.

    The probability of a value is that of its middle, ``(cells below + half the cells equal) / cells``, so that ties
    (many zeros) share one honest score; the score is the standard normal quantile of it, cut at `EDGE`. Columns of
    more than `KNOTS` different values keep evenly spaced ones. Differs from scikit-learn's ``QuantileTransformer``,
    whose extremes go to +-5.2 whatever the number of rows.

    >>> fit_quantiles(np.array([1.0, 2.0, 2.0, 3.0]))[1].round(3).tolist()
    [-1.15, 0.0, 1.15]
    """
    from scipy.special import ndtri

    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    if len(values) > KNOTS:
        kept = np.unique(np.searchsorted(middle, np.linspace(middle[0], middle[-1], KNOTS)))
        values, middle = values[kept], middle[kept]
    return values, np.asarray(ndtri(np.clip(middle, EDGE, 1 - EDGE)), dtype=np.float64)


def apply_quantile_normal(column: Numbers, values: Numbers, scores: Numbers) -> Numbers:
    """Return the normal score of each cell of one column, linear between the knots and flat outside them.

    >>> apply_quantile_normal(np.array([1.5, 99.0]), np.array([1.0, 2.0]), np.array([-1.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    # Between knots that differ by a denormal number the slope overflows; what comes of it stays within the scores.
    return np.clip(np.interp(column, values, scores), scores[0], scores[-1])


def fit_bins(column: Numbers, bins: int = 8) -> Numbers:
    """Return the edges of at most `bins` quantile bins of one column, each edge once.

    >>> fit_bins(np.array([0.0, 0.0, 0.0, 1.0, 2.0]), bins=4).tolist()
    [0.0, 1.0, 2.0]
    """
    edges: Numbers = np.unique(np.nanquantile(column, np.linspace(0, 1, bins + 1)))
    return edges


def apply_piecewise(column: Numbers, edges: Numbers) -> Numbers:
    """Return the piecewise linear encoding (rows, bins) of one column: how far each bin is filled, from 0 to 1.

    ``e_t = clip((x - b[t-1]) / (b[t] - b[t-1]), 0, 1)``. Source: Gorishniy, Rubachev, Babenko, "On embeddings for
    numerical features", NeurIPS 2022, equation (1); there the outer bins go on beyond 0 and 1, here they stop.

    >>> apply_piecewise(np.array([0.5, 3.0]), np.array([0.0, 1.0, 5.0])).tolist()
    [[0.5, 0.0], [1.0, 0.5]]
    """
    low, width = edges[:-1], np.diff(edges)
    with np.errstate(over="ignore"):  # a bin may be narrower than its distance can be divided by
        return np.clip((column[:, None] - low) / width, 0.0, 1.0)
