"""Proof, before the first step, of what a sampler will draw: from row numbers alone, no image is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, DataError, EquipoiseError, check_number, listed
from equipoise.balance._causes import Check, Kinds, Situation, batch_positives, check_draws
from equipoise.balance._combinations import Combinations, combine_labels
from equipoise.balance._draws import Draws, Rows, draw
from equipoise.balance._fit import chi_square_fit
from equipoise.balance._preflight_text import class_rows, preflight_text
from equipoise.balance.gradient import GradientShares, gradient_shares, starting_probabilities
from equipoise.balance.weights import ClassWeights

if TYPE_CHECKING:
    from equipoise.balance.plan import SamplingPlan
    from equipoise.labels import Labels


class PreflightError(EquipoiseError, RuntimeError):
    """A sampler does not draw what was planned."""


@dataclass(frozen=True, eq=False)
class Preflight:
    """What a sampler draws, beside what was planned.

    Rates are shares of draws that hold a known positive of the class: for one-of-many tasks the class shares.

    Attributes:
        task: of the labels.
        classes: class names.
        rows: rows of the table.
        ranks: processes that draw.
        draws: draws that were looked at, of all ranks and epochs.
        epoch_draws: draws of the first epoch, of all ranks.
        batch_size: rows of a batch of one rank (the mean, where batches differ).
        batches: batches that were looked at.
        natural_rates: (classes,) of the table.
        expected_rates: (classes,) of the plan; NaN without one.
        drawn_rates: (classes,) of the draws.
        rank_rates: (ranks, classes) of each rank's draws.
        batch_mean: (classes,) positives in a batch.
        batch_deviation: (classes,) their standard deviation over batches.
        empty_expected: (classes,) probability that a batch holds no positive: (1 - rate)^batch_size for independent
            draws at the planned (else the natural) rate.
        empty_drawn: (classes,) share of batches that held none.
        repeats_expected: expected draws in an epoch of the row that is drawn most; NaN without a plan.
        repeats_drawn: draws in the first epoch of the row that was drawn most.
        distinct_expected: rows that an epoch of independent draws is expected to see; NaN without a plan.
        distinct_drawn: rows that the first epoch saw.
        effective_expected: effective sample size of the plan as a share of the rows (Kish); NaN without a plan.
        effective_drawn: the same estimated from how often draws coincide; NaN where they hardly do.
        chi_square: of drawn against planned label combinations, those expected less than five times pooled.
        freedom: its degrees of freedom; 0 without a plan.
        p_value: the chance of a deviation as large.
        weights: (classes,) class weights in force, ones without any.
        start: (classes,) what the model is taken to say before it has learned anything (the mean over rows).
        gradient: what each class contributes to the gradient at that start, as drawn and weighted.
        natural_gradient: the same with every row once and no weights.
        checks: what was checked.
    """

    task: str
    classes: tuple[str, ...]
    rows: int
    ranks: int
    draws: int
    epoch_draws: int
    batch_size: float
    batches: int
    natural_rates: ClassFloats
    expected_rates: ClassFloats
    drawn_rates: ClassFloats
    rank_rates: NDArray[np.float64]
    batch_mean: ClassFloats
    batch_deviation: ClassFloats
    empty_expected: ClassFloats
    empty_drawn: ClassFloats
    repeats_expected: float
    repeats_drawn: int
    distinct_expected: float
    distinct_drawn: int
    effective_expected: float
    effective_drawn: float
    chi_square: float
    freedom: int
    p_value: float
    weights: ClassFloats
    start: ClassFloats
    gradient: GradientShares
    natural_gradient: GradientShares
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """What the failed checks found."""
        return tuple(check.message for check in self.checks if check.passed is False)

    def require(self) -> Preflight:
        """Return this record if every check passed.

        Raises:
            PreflightError: a check failed; the message names the cause.
        """
        if not self.passed:
            raise PreflightError("Pre-flight failed. " + " ".join(self.failures))
        return self

    def class_rows(self) -> list[tuple[str, ...]]:
        """One line a class, as text: natural, planned and drawn rate, positives in a batch, chance of none."""
        return class_rows(self)

    def sentences(self) -> tuple[str, ...]:
        """Say what is drawn, and what failed."""
        return preflight_text(self)

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` makes the same record again."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_dict(cls, stored: Any) -> Preflight:
        """Make the record again that `to_dict` described.

        Raises:
            DataError: it is not such a record.
        """
        names = [one.name for one in fields(cls)]
        if not isinstance(stored, Mapping) or set(stored) != set(names):
            raise DataError("A stored pre-flight must be an object with its own keys. Run the pre-flight again.")
        try:
            read = {name: _restored(name, stored[name]) for name in names}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"The stored pre-flight cannot be used: {error}. Run the pre-flight again.") from error
        return cls(**read)


def preflight(
    sampler: Any,
    labels: Labels,
    *,
    plan: SamplingPlan | NDArray[np.floating[Any]] | None = None,
    batch_size: int | None = None,
    batches: int = 2000,
    weights: ClassWeights | None = None,
    probabilities: NDArray[np.floating[Any]] | None = None,
    gamma: float = 0.0,
    alpha: NDArray[np.floating[Any]] | float | None = None,
    level: float = 1e-3,
    strict: bool = False,
) -> Preflight:
    """Return what a sampler draws beside what was planned, and whether something is wrong with it, and why.

    Any sampler: two epochs are drawn from it, or `batches` batches if those are more (a first epoch of more than four
    million draws is cut). It stays where it stands: a copy is drawn from. `set_epoch` is called where there is one.

    Found are: row numbers out of range; draws that do not agree with the plan because all weight is on one class, rows
    and labels are shifted, the sampler ignores the plan or draws without replacement what the plan repeats; ranks that
    draw identical rows, each inside its own shard, or in different shares; epochs that repeat each other; rows that
    come sorted by label.

    Args:
        sampler: row numbers (an array or list), anything that yields row numbers or batches of them (samplers of
            PyTorch and of this library), or a list or tuple of arrays or samplers, one a rank.
        labels: of the data set, in its order.
        plan: what ought to be drawn: a plan, or (rows,) weights of a sampler made elsewhere. None judges only what
            needs no plan.
        batch_size: rows of a batch of one rank; not needed where batches are yielded.
        batches: batches to look at, all ranks together.
        weights: class weights of the loss, for the gradient shares.
        probabilities: what the model says before it has learned, for the gradient shares; by default one half, of
            one-of-many tasks equal shares. A model whose bias starts at the prevalence says that.
        gamma: exponent of focal loss, for the gradient shares.
        alpha: of focal loss, for the gradient shares.
        level: chance of a false alarm of one test, in (0, 1).
        strict: a failed check is an error.

    Raises:
        ArgumentError: the plan or its weights are for another number of rows, weights for other classes; the sampler
            yields nothing, or what are no row numbers; `batch_size` is missing.
        PreflightError: a check failed, and `strict`.

    Example:
        A sampler that knows nothing of the plan:

        >>> from equipoise.balance.sampling import plan_sampling
        >>> from equipoise.labels import Labels
        >>> labels = Labels("binary", ("x",), (np.arange(1000) % 10 == 0).astype(np.float32), np.arange(1000))
        >>> natural = np.random.default_rng(0).integers(0, 1000, 8000)
        >>> found = preflight(natural, labels, plan=plan_sampling(labels), batch_size=8)
        >>> found.passed, "ignores the plan" in found.failures[0]
        (False, True)
        >>> found.expected_rates.round(3).tolist(), found.drawn_rates.round(1).tolist()
        ([0.5], [0.1])
    """
    for name, number in (("batch_size", batch_size), ("batches", batches)):
        if number is not None:
            whole = check_number(number, argument=name, function="preflight", at_least=1)
            if whole != int(whole):
                raise ArgumentError(f"`{name}` of preflight must be a whole number; got {number}. Give one.")
    check_number(level, argument="level", function="preflight", above=0.0, at_most=0.5)
    found = combine_labels(labels)
    masses, kinds = _expected(plan, labels, found)
    everything = draw(sampler, batch_size=None if batch_size is None else int(batch_size), batches=int(batches))
    in_range, draws = _in_range(everything, len(labels))
    it = Situation(labels.classes, found.labels, found.codes, found.counts, masses, kinds, draws, level)
    drawn = draws.together
    made = Preflight(
        task=labels.task,
        classes=labels.classes,
        rows=len(labels),
        **_shares(it, drawn),
        **_batches(it),
        **_repeats(it, planned=plan is not None),
        weights=np.ones(len(labels.classes)) if weights is None else weights.values,
        start=starting_probabilities(labels, probabilities).reshape(-1, len(labels.classes)).mean(axis=0),
        gradient=gradient_shares(drawn, labels, weights=weights, probabilities=probabilities, gamma=gamma, alpha=alpha),
        natural_gradient=gradient_shares(None, labels, probabilities=probabilities),
        checks=(in_range, *check_draws(it)),
    )
    return made.require() if strict else made


def _expected(plan: Any, labels: Labels, found: Combinations) -> tuple[NDArray[np.float64] | None, Kinds]:
    """Return the planned share of each combination, and which rows have which weight."""
    rows = len(labels)
    if not rows:
        raise ArgumentError("preflight got labels without a row. Give the labels of the data set.")
    if plan is None:
        return None, Kinds(np.array([1.0 / rows]), np.array([rows]), np.zeros(rows, np.int64))
    if not hasattr(plan, "combination_weights"):
        return _expected_of_rows(plan, found)
    if plan.rows != rows or plan.classes != labels.classes:
        raise ArgumentError(
            f"preflight got a plan for {plan.rows:,} rows of {listed(plan.classes)}, but labels of {rows:,} rows of "
            f"{listed(labels.classes)}. Plan the sampling from these labels."
        )
    if plan.combination_codes is None or not np.array_equal(plan.combination_labels, found.labels):
        plan = plan.with_rows(labels)
    counts = np.asarray(plan.combination_counts, np.int64)
    weights = np.asarray(plan.combination_weights, np.float64)
    masses = counts * weights
    return np.asarray(masses / masses.sum(), np.float64), Kinds(weights, counts, plan.require_rows(), plan.draws)


def _expected_of_rows(weights: Any, found: Combinations) -> tuple[NDArray[np.float64], Kinds]:
    rows = len(found.codes)
    try:
        given = np.asarray(weights.cpu() if hasattr(weights, "cpu") else weights, np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"`plan` of preflight must be a SamplingPlan or one weight a row; got {type(weights).__name__}. Make one "
            "with plan_sampling(labels), or leave it out."
        ) from error
    if given.shape != (rows,):
        raise ArgumentError(
            f"preflight got {given.shape} weights for {rows:,} rows of labels. Give one weight a row, or make both "
            "from the same table."
        )
    if not np.all(np.isfinite(given)) or np.any(given < 0) or not given.sum() > 0:
        raise ArgumentError("The weights given to preflight must be finite, at least 0 and not all 0. Correct them.")
    given = given / given.sum()
    masses = np.bincount(found.codes, weights=given, minlength=len(found.counts))
    values, place = np.unique(given, return_inverse=True)
    _, first, cells, many = np.unique(
        found.codes.astype(np.int64) * len(values) + place.reshape(-1),
        return_index=True, return_inverse=True, return_counts=True,
    )  # fmt: skip
    return np.asarray(masses, np.float64), Kinds(given[first], many.astype(np.int64), cells.reshape(-1))


def _in_range(draws: Draws, rows: int) -> tuple[Check, Draws]:
    """Check that every draw is a row of the table, and leave out those that are not."""
    drawn = draws.together
    outside = (drawn < 0) | (drawn >= rows)
    if not outside.any():
        return Check("rows", True, "Every draw is a row of the table."), draws
    low, high = int(drawn.min()), int(drawn.max())
    message = (
        f"{int(outside.sum()):,} of {len(drawn):,} draws are no row of the table: it has rows 0 to {rows - 1:,}, and "
        f"the sampler yields {low:,} to {high:,}. It was made for another data set, or counts rows from 1; make it "
        "from these labels."
    )

    def inside(parts: tuple[Rows, ...]) -> tuple[Rows, ...]:
        return tuple(part[(part >= 0) & (part < rows)] for part in parts)

    ranks = inside(draws.ranks)
    batches = tuple(ends[ends <= len(part)] for ends, part in zip(draws.batches, ranks, strict=True))
    return Check("rows", False, message), Draws(
        ranks, inside(draws.first), inside(draws.second), batches, draws.whole, draws.asked
    )


def _shares(it: Situation, drawn: Rows) -> dict[str, Any]:
    tally = it.tally(drawn)
    fit = None if it.masses is None else chi_square_fit(it.tally(it.independent), it.masses)
    return {
        "natural_rates": it.rates(it.counts),
        "expected_rates": np.full(len(it.classes), np.nan) if it.masses is None else it.rates(it.masses),
        "drawn_rates": it.rates(tally),
        "rank_rates": np.array([it.rates(it.tally(rows)) for rows in it.draws.ranks]),
        "ranks": len(it.draws.ranks),
        "draws": len(drawn),
        "chi_square": float("nan") if fit is None else fit.statistic,
        "freedom": 0 if fit is None else fit.freedom,
        "p_value": float("nan") if fit is None else fit.p_value,
    }


def _batches(it: Situation) -> dict[str, Any]:
    pairs = [batch_positives(it, rows, ends) for rows, ends in zip(it.draws.ranks, it.draws.batches, strict=True)]
    found = np.concatenate([positives for positives, _ in pairs])
    sizes = np.concatenate([size for _, size in pairs])
    size = float(sizes.mean()) if len(sizes) else float("nan")
    rates = it.rates(it.counts if it.masses is None else it.masses)
    blank = np.full(len(it.classes), np.nan)
    return {
        "batch_size": size,
        "batches": len(sizes),
        "batch_mean": found.mean(axis=0) if len(sizes) else blank,
        "batch_deviation": found.std(axis=0) if len(sizes) else blank,
        "empty_expected": (1.0 - np.minimum(rates, 1.0)) ** size if len(sizes) else blank,
        "empty_drawn": (found == 0).mean(axis=0) if len(sizes) else blank,
    }


def _repeats(it: Situation, *, planned: bool) -> dict[str, Any]:
    first = it.draws.epoch
    weights, many = it.kinds.weights, it.kinds.counts
    seen = np.bincount(first, minlength=len(it.codes))
    pairs, total = float(np.sum(seen * (seen - 1.0))), float(len(first))
    nan = float("nan")
    return {
        "epoch_draws": len(first),
        "repeats_expected": float(weights.max() * total) if planned else nan,
        "repeats_drawn": int(seen.max(initial=0)),
        "distinct_expected": float(-(many @ np.expm1(total * np.log1p(-np.minimum(weights, 1 - 1e-16)))))
        if planned
        else nan,
        "distinct_drawn": int(np.count_nonzero(seen)),
        "effective_expected": float(1.0 / (len(it.codes) * (many @ weights**2))) if planned else nan,
        "effective_drawn": min(1.0, total * (total - 1.0) / pairs / len(it.codes)) if pairs >= 100 else nan,
    }


_PER_CLASS = ("_rates", "batch_mean", "batch_deviation", "empty_", "weights", "start")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else value if np.isfinite(value) else 1e308
    if isinstance(value, GradientShares):
        return {"positive": value.positive.tolist(), "negative": value.negative.tolist()}
    if isinstance(value, Check):
        return {"name": value.name, "passed": value.passed, "message": value.message}
    return value


def _restored(name: str, value: Any) -> Any:
    if name == "classes":
        return tuple(str(one) for one in value)
    if name == "checks":
        return tuple(Check(**one) for one in value)
    if name.endswith("gradient"):
        return GradientShares(np.array(value["positive"], np.float64), np.array(value["negative"], np.float64))
    if any(part in name for part in _PER_CLASS):
        return np.array(value, dtype=np.float64)
    return float("nan") if value is None else value
