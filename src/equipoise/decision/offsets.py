"""One offset per class for one-of-many tasks: searched one by one, or one leaning towards rare classes for all.

The class with the largest log-probability plus offset is predicted.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.decision.confusion import confusion_figure, count_confusion, row_gains
from equipoise.decision.objectives import Objective, parse_objective

# How far to lean: 0 takes the most likely class, 1 treats all classes as if they were equally common.
LEANINGS = np.linspace(0.0, 1.0, 11)
_AS_GOOD = 0.005
_BETTER = 1e-12  # what is more than rounding
_LOWEST = -800.0  # the log of a probability of zero
_MOST_WORK = 5e7  # rows times squared classes times sweeps
_TOO_LARGE = 1e9  # rows times squared classes from which not even one sweep is made
_FEW_ROWS = 40  # up to here two offsets are searched together


def fit_leaning(labels: Floats, logits: Floats, maximize: str | Objective) -> tuple[float, Floats]:
    """Return how far to lean towards rare classes, and the offsets that do so.

    A case is given the class with the largest ``log p_c - tau log n_c/n``: post-hoc logit adjustment, Menon et al.,
    ICLR 2021, equation 9. Of the candidates 0, 0.1, ..., 1 for tau, the mean of those whose worth is within 0.005 of
    the best is taken: with few cases of a class the worth is a step function of tau, and its single best step is luck.

    Yes-or-no classes need no such offsets: there logit adjustment adds a constant to the one score that is compared
    with a threshold, and the threshold is fitted on the same rows (`fit_threshold`), over all constants and not eleven.

    Args:
        labels: (rows,) class index, NaN for unknown; unknown rows are left out.
        logits: (rows, classes) softmax logits or log-probabilities at the natural prevalence.
        maximize: "f1" (macro-F1), "balanced_accuracy" or "youden" (mean recall), over the classes that occur;
            "accuracy" or costs.

    Returns:
        tau, and the offsets (classes,) to add to the logits; 0 for a class that does not occur.

    Example:
        Two of ten rows are of the rarer class, and the model says so only faintly.

        >>> labels = np.array([0.0] * 8 + [1.0] * 2)
        >>> logits = np.log(np.array([[0.9, 0.1]] * 8 + [[0.6, 0.4]] * 2))
        >>> tau, offsets = fit_leaning(labels, logits, "f1")
        >>> round(tau, 2), (logits + offsets).argmax(axis=1).tolist()
        (0.65, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    """
    objective = parse_objective(maximize, function="fit_leaning")
    known = ~np.isnan(labels)
    truth, values = labels[known].astype(np.int64), logits[known]
    counts = np.bincount(truth, minlength=logits.shape[1]).astype(np.float64)
    log_prior = np.log(np.maximum(counts, 1.0) / max(counts.sum(), 1.0))
    log_prior[counts == 0] = 0.0
    worth = np.array([offsets_worth(truth, values, -tau * log_prior, objective) for tau in LEANINGS])
    tau = float(LEANINGS[worth >= worth.max() - _AS_GOOD].mean())
    return tau, -tau * log_prior


def offsets_worth(truth: NDArray[np.int64], logits: Floats, offsets: Floats, objective: Objective) -> float:
    """Return the figure of an objective at some offsets, a cost with its sign turned.

    Args:
        truth: class index, shape (rows,).
        logits: shape (rows, classes).
        offsets: shape (classes,).
        objective: of exclusive classes.
    """
    predicted = (logits + offsets).argmax(axis=1)
    figure = confusion_figure(count_confusion(truth, predicted, logits.shape[1]), objective)
    return -figure if objective.lower_is_better else figure


def fit_offsets(truth: NDArray[np.int64], logits: Floats, objective: Objective, *, restarts: int = 10) -> Floats:
    """Return offsets from an exact search of one class at a time, repeated until no class can be bettered.

    With the offsets of the other classes held, class c is predicted in the rows whose margin, the best other total
    minus its own logit, is below its offset. Sorting the margins makes every value of the offset one cut, and all are
    judged in one pass. The search starts from no offsets, from minus the log prior and from 0.5 of it, and then from
    random moves of the best found so far.

    What is guaranteed: no single offset can be moved to better the objective (where there was time for all sweeps), and
    it is at least that of the most likely class and of every start. With two classes, and with three classes up to 40
    rows, where two offsets are searched together, it is the largest there is, provided that no differences of logits
    tie. Else it may be missed: of random problems of three classes without that last search one in thirty was, of
    problems with whole numbers for logits, where totals tie all the time, as many with it.

    Args:
        truth: class index, shape (rows,).
        logits: softmax logits or log-probabilities, shape (rows, classes).
        objective: f1 (macro), balanced_accuracy, youden, accuracy or costs.
        restarts: random moves; fewer are tried where rows times classes squared is large.

    Returns:
        Offsets, midway between margins, 0 for the commonest class, shape (classes,).

    Example:
        >>> logits = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]))
        >>> offsets = fit_offsets(np.array([0, 0, 1, 1]), logits, Objective("f1"))
        >>> (logits + offsets).argmax(axis=1)
        array([0, 0, 1, 1])
    """
    values = np.maximum(logits, _LOWEST)
    counts = np.bincount(truth, minlength=logits.shape[1]).astype(np.float64)
    prior = np.log(np.maximum(counts, 0.5) / max(counts.sum(), 1.0))
    order = class_order(truth, values)
    affordable = _MOST_WORK / (len(truth) * logits.shape[1] ** 2)
    sweeps = int(np.clip(affordable / 3, 1, 20))
    starts = sorted(
        (-share * prior for share in (0.0, 0.5, 1.0)),
        key=lambda one: -round(offsets_worth(truth, values, one, objective), 11),
    )
    climbed = [
        _ascend(truth, values, start, objective, sweeps) for start in (starts if affordable >= 30 else starts[:1])
    ]
    best_worth, best = max(climbed, key=lambda one: round(one[0], 11))
    random = np.random.default_rng(0)
    for number in range(min(restarts, int(affordable / sweeps) - 3)):
        step = np.empty(len(prior))
        step[order] = random.normal(size=len(prior)) * (0.3, 1.0, 3.0)[number % 3]
        worth, offsets = _ascend(truth, values, best + step, objective, sweeps)
        if worth > best_worth + _BETTER:
            best_worth, best = worth, offsets
    if restarts and len(truth) <= _FEW_ROWS and 3 <= len(prior) <= 5:
        best = _search_pairs(truth, values, best, objective)
    best = _centred(truth, values, best, objective)
    return np.asarray(best - best[order[0]])


def refine_offsets(truth: NDArray[np.int64], logits: Floats, objective: Objective, start: Floats) -> Floats:
    """Return offsets after one search of each class, or two where that is cheap, from those of nearly the same rows."""
    sweeps = 1 if len(truth) * logits.shape[1] ** 2 > _MOST_WORK / 100 else 2
    return _ascend(truth, np.maximum(logits, _LOWEST), start, objective, sweeps)[1]


def class_order(truth: NDArray[np.int64], logits: Floats) -> list[int]:
    """Return the classes from the commonest down, of equally common ones the one with larger logits first.

    What is searched, drawn and counted from goes through classes in this order, whatever their order in the table.

    Args:
        truth: class index, shape (rows,).
        logits: shape (rows, classes).

    Example:
        >>> class_order(np.array([1, 1, 0, 2]), np.array([[0.0, 0.0, 1.0]] * 4))
        [1, 2, 0]
    """
    counts = np.bincount(truth, minlength=logits.shape[1])
    return [int(index) for index in np.lexsort((-np.maximum(logits, _LOWEST).sum(axis=0), -counts))]


def searchable(rows: int, classes: int) -> bool:
    """Return whether offsets can be searched one by one in seconds; else a leaning has to do."""
    return rows * classes**2 <= _TOO_LARGE


def _search_pairs(truth: NDArray[np.int64], logits: Floats, start: Floats, objective: Objective) -> Floats:
    """Return offsets after moving two classes at a time, over all that the two can do together.

    In the plane of two offsets predictions change at lines: upright and level ones where a class of the two meets
    another, slanted ones where the two meet. Every field between them is crossed by an upright line just left or right
    of where lines cross, and along such a line the search of one offset is exact.
    """
    best, worth = start, offsets_worth(truth, logits, start, objective)
    for one, two in itertools.combinations(class_order(truth, logits), 2):
        others = np.delete(logits + best, [one, two], axis=1).max(axis=1)
        upright, level, slanted = others - logits[:, one], others - logits[:, two], logits[:, one] - logits[:, two]
        places = np.unique(np.concatenate((upright, np.subtract.outer(level, slanted).ravel())))
        for place in (*(places[1:] + places[:-1]) / 2, places[0] - 1.0, places[-1] + 1.0):
            moved = best.copy()
            moved[one] = place
            margins, worths = _line(truth, logits, moved, two, objective)
            if worths.max() > worth + _BETTER:
                moved[two] = _middle_of_widest(margins, worths)
                best, worth = moved, float(worths.max())
    return best


def _ascend(
    truth: NDArray[np.int64], logits: Floats, start: Floats, objective: Objective, sweeps: int
) -> tuple[float, Floats]:
    """Return the worth and the offsets after moving one class at a time until nothing is gained."""
    offsets = start.copy()
    worth = offsets_worth(truth, logits, offsets, objective)
    order = class_order(truth, logits)
    for _ in range(sweeps):
        before = worth
        for index in order:
            margins, worths = _line(truth, logits, offsets, index, objective)
            if worths.max() > worth + _BETTER:
                offsets[index] = _middle_of_widest(margins, worths)
                worth = float(worths.max())
        if worth <= before + _BETTER:
            break
    return worth, offsets


def _centred(truth: NDArray[np.int64], logits: Floats, offsets: Floats, objective: Objective) -> Floats:
    """Return offsets of the same worth, each in the middle of the widest gap that has it."""
    moved = offsets.copy()
    for index in class_order(truth, logits):
        moved[index] = _middle_of_widest(*_line(truth, logits, moved, index, objective))
    same = offsets_worth(truth, logits, moved, objective) >= offsets_worth(truth, logits, offsets, objective) - _BETTER
    return moved if same else offsets


def _middle_of_widest(margins: Floats, worths: Floats) -> float:
    """Return the offset midway between the margins around the best cut; of equal ones that in the widest gap."""
    best = np.flatnonzero(worths >= worths.max() - _BETTER)
    edges = np.concatenate(([margins[0] - 2.0], margins, [margins[-1] + 2.0]))
    inner = best[(best > 0) & (best < len(margins))]
    chosen = inner if len(inner) else best
    cut = int(chosen[np.argmax(edges[chosen + 1] - edges[chosen])])
    return float((edges[cut] + edges[cut + 1]) / 2)


def _line(
    truth: NDArray[np.int64], logits: Floats, offsets: Floats, index: int, objective: Objective
) -> tuple[Floats, Floats]:
    """Return sorted margins (rows,) of a class and the worth when it is predicted in the first 0 to all of them.

    Cuts between equal margins cannot be made: their worth is minus infinity.
    """
    totals = logits + offsets
    totals[:, index] = -np.inf
    other = totals.argmax(axis=1)
    margins = totals[np.arange(len(other)), other] - logits[:, index]
    order = np.argsort(margins, kind="stable")
    margins, actual, other = margins[order], truth[order], other[order]
    counts = np.bincount(truth, minlength=len(offsets)).astype(np.float64)
    gains = row_gains(objective, counts)
    if gains is None:
        worths = _macro_f1_line(actual, other, counts, index)
    else:
        start = gains[actual, other].sum()
        worths = start + np.concatenate(([0.0], np.cumsum(gains[actual, index] - gains[actual, other])))
    worths[1:-1][margins[1:] == margins[:-1]] = -np.inf
    return margins, worths


def _macro_f1_line(actual: NDArray[np.int64], other: NDArray[np.int64], counts: Floats, index: int) -> Floats:
    """Return macro-F1 when the first 0 to all rows move from class `other` to class `index`, shape (rows + 1,)."""
    size = len(counts)
    said = np.bincount(other, minlength=size).astype(np.float64)
    right = np.bincount(other[actual == other], minlength=size).astype(np.float64)
    grouped = np.argsort(other.astype(np.int16) if size < 2**15 else other, kind="stable")  # int16: a radix sort
    group, hit = other[grouped], (actual == other)[grouped].astype(np.float64)
    first = np.concatenate(([0.0], np.cumsum(said)))[:-1][group]  # rows of earlier groups
    left = np.arange(1, len(group) + 1) - first
    lost = np.cumsum(hit) - np.concatenate(([0.0], np.cumsum(right)))[:-1][group]
    after = 2 * (right[group] - lost) / np.maximum(counts[group] + said[group] - left, 1e-300)
    before = 2 * (right[group] - lost + hit) / (counts[group] + said[group] - left + 1)
    change = np.empty(len(group))
    change[grouped] = np.where(counts[group] > 0, after - before, 0.0)
    present = counts > 0
    start = np.divide(2 * right, counts + said, out=np.zeros(size), where=present)
    start[index] = 0.0
    own = 2 * np.cumsum(actual == index) / (counts[index] + np.arange(1, len(actual) + 1))
    moved = np.concatenate(([0.0], np.cumsum(change) + (own if counts[index] > 0 else 0.0)))
    return np.asarray((start.sum() + moved) / max(int(present.sum()), 1))
