"""The record of a sampling plan: how often each row is drawn, what that does to the classes, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassFloats, Floats, RowFloats, TableFloats
from equipoise._checks import ArgumentError, DataError, check_number, check_one_of, listed
from equipoise.balance import _plan_text as text
from equipoise.balance._combinations import combine_labels
from equipoise.balance._plan_record import plain_numbers, read_plan
from equipoise.balance._schemes import KIND_OF_TASK, KINDS
from equipoise.balance._shift import fit_shift
from equipoise.balance._stabilise import stabilising_weights
from equipoise.labels import Labels


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """One weight per row, and what drawing by it does.

    Rows with the same known labels have the same weight, so the plan holds one weight per label combination and the
    combination of every row: 4 bytes a row, however many classes there are.

    Attributes:
        task: binary, multiclass, ordinal or multilabel.
        classes: class names.
        method: ``"minimum_divergence"``, or the name of a heuristic.
        draws: draws per epoch.
        combination_labels: (combinations, classes) int8: 1 positive, 0 negative, -1 unknown.
        combination_counts: (combinations,) int64, rows of each.
        combination_weights: (combinations,) float64, the probability that one draw is one given row of it;
            ``combination_weights @ combination_counts`` is 1.
        combination_codes: (rows,) int32, the combination of each row; None in a plan that was read from a file, until
            `with_rows` gives it its rows.
        target: what was asked for, in plain types: ``{"name": "uniform", ...}``.
        wanted: (classes,) the shares or prevalences asked for; NaN where nothing was asked.
        max_repeats: most expected draws of one row in an epoch, or None for no limit.
        reached: whether the target is met; if not, the plan is the nearest that can be.
        gap: root mean square of the relative gaps between what was asked for and what the plan gives.
        least_gap: the smallest gap that any weights have. Where it is 0 and the target not reached, only weights that
            never draw some rows meet it; the plan draws them all.
        dual: (classes,) what a positive label adds to the log weight of its row, from the solver; NaN for heuristics.
        notes: sentences about what was decided on the way.
        measured_shift: (classes,) the log-odds shift as measured on a model that was trained by the plan, or None; see
            `with_shift`.
        stabilised: the largest weight of a label, where the labels of drawn rows are weighted (see `stabilise`); else
            None.
        whole: of a plan made by `for_rows` the plan that its rows were taken from; else None.
    """

    task: str
    classes: tuple[str, ...]
    method: str
    draws: int
    combination_labels: NDArray[np.int8]
    combination_counts: NDArray[np.int64]
    combination_weights: NDArray[np.float64]
    combination_codes: NDArray[np.int32] | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    wanted: ClassFloats | None = None
    max_repeats: float | None = None
    reached: bool = True
    gap: float = 0.0
    dual: ClassFloats | None = None
    notes: tuple[str, ...] = ()
    measured_shift: ClassFloats | None = None
    stabilised: float | None = None
    least_gap: float | None = None
    whole: SamplingPlan | None = None

    def __post_init__(self) -> None:
        check_one_of(self.task, KIND_OF_TASK, argument="task", function="SamplingPlan")
        check_number(self.draws, argument="draws", function="SamplingPlan", at_least=1)
        if self.stabilised is not None:
            check_number(self.stabilised, argument="stabilised", function="SamplingPlan", above=1.0)
        combinations, classes = len(self.combination_counts), len(self.classes)
        if self.combination_labels.shape != (combinations, classes) or len(self.combination_weights) != combinations:
            raise ArgumentError(
                f"A SamplingPlan of {classes} classes needs labels and a weight for each of its {combinations} label "
                f"combinations; got {self.combination_labels.shape} and {len(self.combination_weights)}. "
                "Make it with plan_sampling."
            )
        mass = float(self.combination_weights @ self.combination_counts)
        if np.any(~(self.combination_weights >= 0)) or abs(mass - 1.0) > 1e-6:
            raise ArgumentError(
                f"The weights of a SamplingPlan must be at least 0 and sum to one over the rows; got {mass:g}. "
                "Divide them by their sum."
            )
        blank = np.full(classes, np.nan)
        object.__setattr__(self, "wanted", blank if self.wanted is None else np.asarray(self.wanted, np.float64))
        object.__setattr__(self, "dual", blank if self.dual is None else np.asarray(self.dual, np.float64))
        object.__setattr__(self, "target", MappingProxyType(dict(self.target)))
        for name in ("combination_labels", "combination_counts", "combination_weights", "combination_codes"):
            value = getattr(self, name)
            if value is not None:
                value = value.view()
                value.setflags(write=False)
                object.__setattr__(self, name, value)

    # --- rows

    @property
    def rows(self) -> int:
        """Rows of the table that was planned for."""
        return int(self.combination_counts.sum())

    def __len__(self) -> int:
        return self.rows

    @property
    def sample_weights(self) -> RowFloats:
        """(rows,) float64: the probability that one draw is this row. They sum to one. Made anew at every call."""
        return np.asarray(self.combination_weights[self.require_rows()])

    def require_rows(self) -> NDArray[np.int32]:
        """Return (rows,) the combination of each row.

        Raises:
            ArgumentError: the plan was read from a file, which does not keep the rows.
        """
        if self.combination_codes is None:
            raise ArgumentError(
                "This SamplingPlan was read from a file, which keeps label combinations and not rows. "
                "Give it its rows with plan.with_rows(labels)."
            )
        return self.combination_codes

    def for_rows(self, rows: NDArray[np.int64]) -> SamplingPlan:
        """Return the plan for some of its rows: relative to each other they are drawn as often as before.

        The log-odds shift and the weights of labels (`stabilise`) stay those of the whole plan: with them drawing
        multiplies the odds of each class among these rows by the same number. Draws per epoch fall with their number.

        Raises:
            ArgumentError: none of these rows is ever drawn.
        """
        codes = self.require_rows()[rows]
        counts = np.bincount(codes, minlength=len(self.combination_counts)).astype(np.int64)
        there = counts > 0
        mass = float(counts @ self.combination_weights)
        if mass <= 0:
            raise ArgumentError("None of these rows is drawn by the plan. Give rows that it draws, or plan for them.")
        return replace(
            self,
            combination_labels=self.combination_labels[there],
            combination_counts=counts[there],
            combination_weights=self.combination_weights[there] / mass,
            combination_codes=(np.cumsum(there, dtype=np.int32) - 1)[codes].astype(np.int32),
            draws=max(1, round(self.draws * len(codes) / self.rows)),
            whole=replace(self, combination_codes=None) if self.whole is None else self.whole,
        )

    def with_rows(self, labels: Labels) -> SamplingPlan:
        """Return this plan with the rows of `labels`, the table it was made for (in any order).

        Raises:
            DataError: the labels are not those that were planned for.
        """
        found = combine_labels(labels)
        same = labels.classes == self.classes and labels.task == self.task
        if not same or not (
            np.array_equal(found.labels, self.combination_labels)
            and np.array_equal(found.counts, self.combination_counts)
        ):
            raise DataError(
                f"{labels.source} ({len(labels):,} rows, {len(found.counts):,} label combinations) is not the table of "
                f"this SamplingPlan ({self.rows:,} rows, {len(self.combination_counts):,} combinations). Plan again "
                "with `equipoise plan`, or give the table that was planned for."
            )
        return replace(self, combination_codes=found.codes)

    def with_shift(self, shift: ClassFloats) -> SamplingPlan:
        """Return this plan with a shift measured on a trained model: for multilabel rows the better one.

        How far drawing moves one class depends on which other labels its rows are likely to have, and so on the row; a
        plan alone cannot know how much of that the features tell.
        """
        return replace(self, measured_shift=np.asarray(shift, np.float64))

    def stabilise(self, limit: float = 50.0) -> SamplingPlan:
        """Return this plan for a training that weighs each label of a drawn row by `entry_weights`.

        Every class is still drawn as often as planned, but its positives are now distributed as in the data, and not as
        those that rare labels brought along; so `log_odds_shift` is exact. Only multilabel rows have anything to weigh.

        Args:
            limit: the largest weight that a label may have, above 1. What is cut is not exact (`shift_quality`).

        Raises:
            ArgumentError: `limit` is not above 1.

        Example:
            >>> from equipoise.balance import plan_heuristic
            >>> from equipoise.labels import Labels
            >>> values = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [0, 1], [0, 0]], np.float32)
            >>> plan = plan_heuristic(Labels("multilabel", ("common", "rare"), values, np.arange(6)), "max")
            >>> round(plan.shift_quality, 2), plan.stabilise(limit=1000.0).shift_quality
            (0.69, 1.0)
        """
        check_number(limit, argument="limit", function="SamplingPlan.stabilise", above=1.0)
        if self.task != "multilabel":
            return self
        return replace(self, stabilised=float(limit), whole=self.whole and self.whole.stabilise(limit))

    @cached_property
    def _stabilising(self) -> tuple[NDArray[np.float64], float]:
        if self.stabilised is None:
            return np.ones(self.combination_labels.shape), 1.0
        if self.whole is not None:
            weights, exact = self.whole._stabilising
            places = {row.tobytes(): place for place, row in enumerate(self.whole.combination_labels)}
            return weights[[places[row.tobytes()] for row in self.combination_labels]], exact
        return stabilising_weights(
            self.combination_labels, self.combination_counts, self.combination_weights, self.stabilised
        )

    @property
    def combination_entry_weights(self) -> Floats:
        """(combinations, classes) float64: `entry_weights` of the rows of each label combination."""
        return self._stabilising[0]

    @property
    def entry_weights(self) -> TableFloats:
        """(rows, classes) float32: what the loss of each label is multiplied by when its row is drawn.

        Ones unless the plan is stabilised (see `stabilise`). Made anew at every call; as ``sample_weights`` of a loss:
        ``loss(logits, labels, sample_weights=entry_weights[drawn])``.
        """
        return np.asarray(self.combination_entry_weights.astype(np.float32)[self.require_rows()])

    # --- classes

    @property
    def kind(self) -> str:
        """``"pos_weight"`` for sigmoid outputs, ``"class_weight"`` for softmax: the outputs the shift belongs to."""
        return KIND_OF_TASK[self.task]

    @cached_property
    def _masses(self) -> NDArray[np.float64]:
        return np.asarray(self.combination_weights * self.combination_counts)

    def _positives(self, masses: NDArray[Any]) -> ClassFloats:
        return np.asarray(masses.astype(np.float64) @ (self.combination_labels == 1))

    def _known(self, masses: NDArray[Any]) -> ClassFloats:
        return np.asarray(masses.astype(np.float64) @ (self.combination_labels >= 0))

    @property
    def shares(self) -> ClassFloats:
        """(classes,) expected positives of the class over those of all classes; they sum to one."""
        return _shares(self._positives(self._masses))

    @property
    def natural_shares(self) -> ClassFloats:
        """(classes,) `shares` of the table as it is."""
        return _shares(self._positives(self.combination_counts))

    @property
    def expected_prevalence(self) -> ClassFloats:
        """(classes,) expected positives of the class over draws whose label of it is known."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._positives(self._masses) / self._known(self._masses))

    @property
    def prevalence(self) -> ClassFloats:
        """(classes,) natural prevalence: positives over known labels in the table; NaN where none is known."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._positives(self.combination_counts) / self._known(self.combination_counts))

    @property
    def unknowns(self) -> NDArray[np.int64]:
        """(classes,) rows whose label of the class is unknown."""
        return np.asarray(self.combination_counts @ (self.combination_labels < 0).astype(np.int64))

    @property
    def never_drawn(self) -> int:
        """Rows that are never drawn because they have one label, which is unknown: they have no loss."""
        if self.task == "multilabel":
            return 0
        without = ~(self.combination_labels >= 0).any(axis=1)
        return int(self.combination_counts @ (without & (self.combination_weights == 0)))

    @property
    def negatives_share(self) -> float:
        """Expected share of draws without a known finding; `natural_negatives_share` is that of the table."""
        return float(self._masses @ ~(self.combination_labels == 1).any(axis=1))

    @property
    def natural_negatives_share(self) -> float:
        """Share of rows without a known finding."""
        return float(self.combination_counts @ ~(self.combination_labels == 1).any(axis=1)) / self.rows

    @property
    def variation(self) -> float:
        """Coefficient of variation of `shares` over the classes: 0 when all are equal; lower is more even.

        For a binary task that of the two sides, positive and negative.
        """
        shares = self.shares
        if len(self.classes) == 1:
            positive = float(self.expected_prevalence[0])
            shares = np.array([positive, 1.0 - positive])
        return float(shares.std() / shares.mean())

    # --- rows drawn

    @property
    def effective_sample_size(self) -> float:
        """Share of the rows that equally weighted draws of the same variance would have: Kish's 1 / (n sum p^2).

        1 for natural drawing, lower when few rows carry the epoch or rows without a label are left out. Kish,
        "Survey Sampling" (1965), section 11.7.
        """
        return float(1.0 / (self.rows * (self.combination_counts @ self.combination_weights**2)))

    @property
    def repeats(self) -> float:
        """Expected draws per epoch of the row that is drawn most: how often the rarest are seen again."""
        return float(self.draws * self.combination_weights.max())

    @property
    def distinct_rows(self) -> float:
        """Expected number of rows seen at least once in an epoch of independent draws."""
        missed = np.exp(self.draws * np.log1p(-np.minimum(self.combination_weights, 1.0 - 1e-16)))
        return float(self.combination_counts @ (1.0 - missed))

    @property
    def divergence(self) -> float:
        """Kullback-Leibler divergence of the draws to natural drawing, in nats: 0 is natural, lower is gentler."""
        drawn = self.combination_weights > 0
        logs = np.log(self.combination_weights[drawn] * self.rows)
        return float(self._masses[drawn] @ logs)

    # --- the ledger

    def require(self, kind: str, *, classes: Sequence[str] | None = None, function: str = "This place") -> SamplingPlan:
        """Return this plan if it is for outputs of `kind` (and for exactly `classes`, in that order).

        Raises:
            ArgumentError: it is for the other kind of outputs, or for other classes.
        """
        check_one_of(kind, KINDS, argument="kind", function="SamplingPlan.require")
        if self.kind != kind:
            raise ArgumentError(
                f"{function} is for a {kind}; the sampling plan is for {self.task} labels, whose outputs take a "
                f"{self.kind}. Plan with the labels that are trained on."
            )
        if classes is not None and tuple(classes) != self.classes:
            raise ArgumentError(
                f"{function} has the classes {listed(classes)}, but the sampling plan is for {listed(self.classes)}. "
                "Plan with the same labels, in the same order."
            )
        return self

    @cached_property
    def _shift(self) -> tuple[ClassFloats, float]:
        if self.whole is not None:
            return self.whole._shift
        if self.stabilised is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                drawn, natural = self.expected_prevalence, self.prevalence
                shift = np.log(drawn / (1.0 - drawn)) - np.log(natural / (1.0 - natural))
            return np.where(np.isfinite(shift), shift, 0.0), self._stabilising[1]
        return fit_shift(self.task, self.combination_labels, self.combination_counts, self.combination_weights)

    @property
    def log_odds_shift(self) -> ClassFloats:
        """(classes,) what drawing by this plan adds to the log-odds that a model is trained towards.

        Exact for binary, multiclass and ordinal, and for a stabilised plan: the log-odds as drawn less those of the
        table. For other multilabel plans the coefficients of the labels in the log weight of a row: exact
        (`shift_quality` 1) where that is linear in the labels and the labels are independent given the input; otherwise
        the best linear fit by least squares over the rows of the table. That is where a training starts from; the shift
        of a finished one is measured (`with_shift`).
        """
        return self._shift[0] if self.measured_shift is None else self.measured_shift

    @property
    def shift_quality(self) -> float:
        """How exact `log_odds_shift` is, in [0, 1]; 1 is exact.

        The share of the variance of the log weights that it explains; of a stabilised plan the share of labels whose
        weight was not cut.
        """
        return self._shift[1]

    # --- words and storage

    def sentences(self) -> tuple[str, ...]:
        """Say in plain words what is drawn, what it costs, and whether the target is met."""
        return text.sentences(self)

    def class_rows(self) -> list[tuple[str, ...]]:
        """One line a class, as text: natural and expected share, natural and expected prevalence, log-odds shift."""
        return text.class_rows(self)

    def __str__(self) -> str:
        return "\n".join([*text.aligned(text.HEADER, self.class_rows()), *self.sentences()])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the rows: `from_dict`, then `with_rows`, make the same plan again."""
        return {
            "task": self.task,
            "classes": list(self.classes),
            "method": self.method,
            "draws": self.draws,
            "target": dict(self.target),
            "wanted": plain_numbers(self.wanted),
            "max_repeats": self.max_repeats,
            "reached": self.reached,
            "gap": self.gap,
            "dual": plain_numbers(self.dual),
            "notes": list(self.notes),
            **({} if self.measured_shift is None else {"measured_shift": self.measured_shift.tolist()}),
            **({} if self.stabilised is None else {"stabilised": self.stabilised}),
            **({} if self.least_gap is None else {"least_gap": self.least_gap}),
            **({} if self.whole is None else {"whole": self.whole.to_dict()}),
            "combinations": {
                "labels": self.combination_labels.tolist(),
                "counts": self.combination_counts.tolist(),
                "weights": self.combination_weights.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, stored: Any) -> SamplingPlan:
        """Make the plan again that `to_dict` described, without its rows.

        Raises:
            DataError: it is not such a record.
        """
        return read_plan(cls, stored)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SamplingPlan) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]


def _shares(positives: ClassFloats) -> ClassFloats:
    with np.errstate(invalid="ignore"):
        return np.asarray(positives / positives.sum())
