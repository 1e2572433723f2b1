"""Planning which rows are drawn: the row weights of least divergence from natural drawing that reach a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, DataError, check_number
from equipoise.balance._combinations import Combinations, combine_labels
from equipoise.balance._heuristics import HEURISTICS, heuristic_ratios
from equipoise.balance._solver import Goal, Solution, solve
from equipoise.balance._targets import Target, Wanted, read_target
from equipoise.balance.plan import SamplingPlan
from equipoise.labels import Labels

FREE = "free"
_FUNCTION = "plan_sampling"


def plan_sampling(
    labels: Labels,
    target: Target = "uniform",
    *,
    strength: float | None = None,
    max_repeats: float | None = 20.0,
    negatives_share: float | str | None = None,
    draws: int | None = None,
) -> SamplingPlan:
    r"""Return the row weights that reach the target and are otherwise as near to natural drawing as can be.

    Weighting a row for one of its labels moves all its other labels, so weights made class by class miss. Among all row
    weights p with the wanted class shares this takes the one of least Kullback-Leibler divergence to natural drawing,

        minimise sum_i p_i ln(n p_i)   subject to   E_c = s_c (E_1 + ... + E_C),   draws p_i <= max_repeats,

    with E_c the expected positives of class c per draw (known labels only) and s_c its wanted share; a wanted
    prevalence p_c asks for E_c = p_c K_c instead, K_c the expected known labels. Without the cap and with
    ``negatives_share="free"`` the weights are p_i proportional to exp(sum of dual_c over the labels of row i), and
    the dual variable of a class is its log-odds shift.

    Where co-occurrence or the cap makes the target impossible, the plan is the nearest that can be: the gap is the root
    mean square over the classes of E_c / s_c - T, in units of the natural T = E_1 + ... + E_C (for prevalences of
    E_c / p_c - K_c), and of all plans within 0.01 of the least gap the plan is that of least divergence. So it is where
    only plans that never draw some rows meet the target. For uniform shares the gap is the coefficient of variation of
    the shares as long as T is the natural one. Without the 0.01 the nearest plan never draws whole groups of rows.

    Args:
        labels: of any task. Unknown labels (NaN) are counted, and count as neither positive nor negative. Where a row
            has one label (all tasks but multilabel), a row whose label is unknown has no loss and is never drawn.
        target: ``"uniform"``: equal shares (binary: half positive); ``"natural"``; a mapping of every class to its
            share of all positives, summing to one (binary: of the positive class to its prevalence); or
            ``{"prevalence": {class: rate}}`` for any of the classes, or ``{"shares": {...}}``.
        strength: in [0, 1], how far to go from the natural shares (0) to the target (1, the default): geometrically for
            shares, linearly in the log-odds for prevalences.
        max_repeats: most expected draws of one row in an epoch, at least 1; None for no limit. Lower forgets less and
            memorises less, and may put the target out of reach.
        negatives_share: multilabel only: expected share of draws without a known finding, in [0, 1). By default the
            natural share is kept; ``"free"`` leaves it to the solver, which then draws more of these rows.
        draws: draws per epoch; by default as many as there are rows.

    Raises:
        ArgumentError: an argument is out of range, names an unknown class, does not sum to one, or asks for more draws
            than `max_repeats` allows.
        DataError: there is no row with a label, or the target asks for a share of a class without a positive.

    References:
        Jaynes, Physical Review 106 (1957), eq. 2.6, for the exponential form; Csiszar, Annals of Probability 3 (1975),
        theorem 3.1; Kish, "Survey Sampling" (1965) for the effective sample size.

    Example:
        Three quarters of these rows are negative; drawn evenly, each positive is drawn three times as often.

        >>> import numpy as np
        >>> from equipoise.labels import Labels
        >>> labels = Labels("binary", ("stroke",), np.array([0, 0, 0, 1], np.float32), np.arange(4))
        >>> plan = plan_sampling(labels, "uniform")
        >>> plan.sample_weights.round(4).tolist()
        [0.1667, 0.1667, 0.1667, 0.5]
        >>> round(float(np.exp(plan.log_odds_shift[0])), 6), round(plan.effective_sample_size, 4)
        (3.0, 0.75)
    """
    return plan_combinations(
        labels, combine_labels(labels), target, strength=1.0 if strength is None else strength, max_repeats=max_repeats,
        negatives_share=negatives_share, draws=draws,
    )  # fmt: skip


def plan_combinations(
    labels: Labels,
    found: Combinations,
    target: Target,
    *,
    strength: float,
    max_repeats: float | None,
    negatives_share: float | str | None,
    draws: int | None,
) -> SamplingPlan:
    """Return `plan_sampling` of labels whose combinations are known already."""
    strength = check_number(strength, argument="strength", function=_FUNCTION, at_least=0.0, at_most=1.0)
    drawn, part = found.drawable(labels.task)
    epoch = _checked_draws(labels, part, draws)
    cap = _checked_cap(max_repeats, epoch, int(part.counts.sum()))
    wanted = read_target(target, strength, labels.task, labels.classes, part, labels.source)
    negatives = _checked_negatives(negatives_share, strength, labels, part, cap)
    solution, dual = solve_plan(part, wanted, negatives, cap)
    weights = _spread(solution.ratios, drawn, part)
    return SamplingPlan(
        task=labels.task,
        classes=labels.classes,
        method="minimum_divergence",
        draws=epoch,
        combination_labels=found.labels,
        combination_counts=found.counts,
        combination_weights=weights,
        combination_codes=found.codes,
        target={
            "name": wanted.name, "of": wanted.of, "strength": strength,
            "negatives_share": negatives_share if isinstance(negatives_share, str) else negatives,
        },
        wanted=wanted.values,
        max_repeats=max_repeats,
        reached=solution.reached,
        gap=solution.gap,
        least_gap=None if solution.reached else solution.least_gap,
        dual=dual,
    )  # fmt: skip


def plan_heuristic(labels: Labels, name: str, *, draws: int | None = None, threshold: float = 1e-3) -> SamplingPlan:
    r"""Return the row weights of an older sampler, for reproduction and comparison.

    With n_c positives of class c, n rows, n_0 of them without a finding, and L the known positive labels of a row, the
    weight of a row is proportional to:

    {table}

    Where a row has one label, a row whose label is unknown is not among the n and is never drawn.

    Args:
        labels: of any task.
        name: one of the names above.
        draws: draws per epoch; by default as many as there are rows.
        threshold: t of ``repeat_factor``: classes of a lower prevalence are repeated. LVIS used 0.001.

    Raises:
        ArgumentError: the name is unknown, `draws` is below 1, or `threshold` is not above 0.
        DataError: a class has no positive, so its frequency cannot be inverted.

    Example:
        >>> import numpy as np
        >>> from equipoise.labels import Labels
        >>> values = np.array([[1, 0], [1, 0], [1, 0], [1, 1]], np.float32)
        >>> plan = plan_heuristic(Labels("multilabel", ("common", "rare"), values, np.arange(4)), "max")
        >>> plan.sample_weights.round(4).tolist()
        [0.1429, 0.1429, 0.1429, 0.5714]
    """
    return heuristic_combinations(labels, combine_labels(labels), name, draws, threshold)


def heuristic_combinations(
    labels: Labels, found: Combinations, name: str, draws: int | None, threshold: float = 1e-3
) -> SamplingPlan:
    """Return `plan_heuristic` of labels whose combinations are known already."""
    drawn, part = found.drawable(labels.task)
    epoch = _checked_draws(labels, part, draws)
    ratios = heuristic_ratios(name, labels, part, threshold)
    return SamplingPlan(
        task=labels.task,
        classes=labels.classes,
        method=name,
        draws=epoch,
        combination_labels=found.labels,
        combination_counts=found.counts,
        combination_weights=_spread(ratios, drawn, part),
        combination_codes=found.codes,
    )


def _spread(ratios: NDArray[np.float64], drawn: NDArray[np.bool_], part: Combinations) -> NDArray[np.float64]:
    """Return the weight of a row of every combination: those of `part` by their ratios, the others never drawn."""
    weights = np.zeros(len(drawn))
    weights[drawn] = ratios / (ratios @ part.counts)
    return weights


plan_heuristic.__doc__ = (plan_heuristic.__doc__ or "").replace(
    "{table}", "\n    ".join(f"- ``{name}``: {entry.formula}" for name, entry in HEURISTICS.items())
)


def solve_plan(
    found: Combinations, wanted: Wanted, negatives: float | None, cap: float
) -> tuple[Solution, ClassFloats]:
    """Return the solution over the combinations, and what a positive label of each class adds to the log weight."""
    goal, slopes = make_goal(found, wanted, negatives, cap)
    solution = solve(goal)
    return solution, slopes @ solution.dual


def make_goal(
    found: Combinations, wanted: Wanted, negatives: float | None, cap: float
) -> tuple[Goal, NDArray[np.float64]]:
    """Return the convex problem, and (classes, asked) the map from its dual to coefficients of the labels."""
    masses = found.counts / found.counts.sum()
    positive = (found.labels == 1).astype(np.float64)
    asked = np.flatnonzero(~np.isnan(wanted.values))
    values = wanted.values[asked]
    scale = 1.0 / np.sqrt(max(len(asked), 1))
    without = ~(found.labels == 1).any(axis=1)
    identity = np.eye(positive.shape[1])[:, asked]
    if wanted.of == "shares":
        features = positive[:, asked] / values - positive.sum(axis=1)[:, None]
        kept = 1.0 if negatives is None else (1.0 - negatives) / float(masses @ ~without)
        unit = np.full(len(asked), scale / max(kept * float(masses @ positive.sum(axis=1)), 1e-300))
        slopes = identity / values - 1.0
    else:
        known = (found.labels >= 0).astype(np.float64)[:, asked]
        features = positive[:, asked] / values - known
        unit = scale / np.maximum(masses @ known, 1e-300)
        slopes = identity / values
    level = np.array([1.0] if negatives is None else [1.0 - negatives, negatives])
    groups = np.zeros(len(masses), np.intp) if negatives is None else without.astype(np.intp)
    return Goal(masses, features * unit, groups, level, cap), slopes * unit


def _checked_draws(labels: Labels, part: Combinations, draws: int | None) -> int:
    if not part.counts.sum():
        which = " whose label is known" if len(labels) else ""
        raise DataError(f"{labels.source} has no row to draw{which}. Check the table, or the filter that made it.")
    if draws is None:
        return len(labels)
    number = check_number(draws, argument="draws", function=_FUNCTION, at_least=1)
    if number != int(number):
        raise ArgumentError(f"`draws` of {_FUNCTION} must be a whole number; got {draws}.")
    return int(number)


def _checked_cap(max_repeats: float | None, draws: int, rows: int) -> float:
    """Return the most draws of a row for each natural draw of it, among the rows that are drawn at all."""
    if max_repeats is None:
        return np.inf
    limit = check_number(max_repeats, argument="max_repeats", function=_FUNCTION, at_least=1.0)
    if draws > limit * rows:
        raise ArgumentError(
            f"`draws` of {_FUNCTION} asks for {draws:,} draws of {rows:,} rows, more than max_repeats ({limit:g}) "
            f"allows. Draw at most {int(limit * rows):,}, or raise max_repeats."
        )
    return limit * rows / draws


def _checked_negatives(
    negatives_share: Any, strength: float, labels: Labels, found: Combinations, cap: float
) -> float | None:
    """Return the share of draws without a finding that is to be held, or None when it is free or there are none."""
    without = ~(found.labels == 1).any(axis=1)
    natural = float(found.counts @ without) / len(labels)
    if labels.task != "multilabel":
        if negatives_share is not None:
            raise ArgumentError(
                f"`negatives_share` of {_FUNCTION} is for multilabel rows; these labels are {labels.task}. "
                "Leave it out, and set the shares with target=."
            )
        return None
    if negatives_share == FREE or natural in (0.0, 1.0):
        if natural in (0.0, 1.0) and isinstance(negatives_share, int | float) and negatives_share != natural:
            which = "no row" if natural == 0.0 else "every row"
            raise DataError(f"{labels.source}: {which} is without a finding. Leave negatives_share out.")
        return None
    if negatives_share is None:
        return natural
    if isinstance(negatives_share, str):
        raise ArgumentError(
            f'`negatives_share` of {_FUNCTION} must be a share, "free" or None (kept); got "{negatives_share}".'
        )
    share = check_number(negatives_share, argument="negatives_share", function=_FUNCTION, at_least=0.0)
    return _reachable(share, strength, natural, cap)


def _reachable(share: float, strength: float, natural: float, cap: float) -> float:
    if share >= 1.0:
        raise ArgumentError(f"`negatives_share` of {_FUNCTION} must be below 1; got {share:g}. Leave some findings.")
    share = (1.0 - strength) * natural + strength * share
    low, high = max(0.0, 1.0 - cap * (1.0 - natural)), min(1.0, cap * natural)
    if not low <= share <= high:
        raise ArgumentError(
            f"`negatives_share` of {_FUNCTION} must lie between {low:.3f} and {high:.3f} where no row is drawn more "
            f"than max_repeats allows and {natural:.3f} of the rows are without a finding; got {share:g}. "
            "Raise max_repeats."
        )
    return share
