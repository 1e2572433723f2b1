"""The ledger: every correction in force, the prior they imply together, and the way back to natural prevalence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from equipoise._arrays import ClassFloats, Floats, RowOrTableFloats
from equipoise._checks import ArgumentError, DataError, check_one_of, listed, nearest
from equipoise.balance._focal_correction import FocalCorrection
from equipoise.balance._plan_text import hardly_drawn, stabilising_sentence
from equipoise.balance._regression import RegressionCorrection
from equipoise.balance._schemes import KIND_OF_TASK, KINDS, POS_WEIGHT
from equipoise.balance._starting import bent
from equipoise.balance._words import counted, one_in
from equipoise.balance.corrections import (
    AsymmetricCorrection,
    Bending,
    CornCorrection,
    Deferred,
    DistributionBalancedCorrection,
    LogitAdjustment,
    LossCorrection,
    MarginCorrection,
    Reshaping,
    SmoothingCorrection,
)
from equipoise.balance.plan import SamplingPlan
from equipoise.balance.weights import ClassWeights, Counted

# Corrections this much apart from no correction are worth a word.
_NOTABLE = np.log(1.5)


@runtime_checkable
class Shifting(Protocol):
    """A correction that moves the class log-odds a model is trained towards by a constant per class."""

    @property
    def log_odds_shift(self) -> ClassFloats: ...  # noqa: D102
    def to_dict(self) -> dict[str, Any]: ...  # noqa: D102


Correction: TypeAlias = ClassWeights | SamplingPlan | FocalCorrection | LossCorrection | Deferred | Shifting


@dataclass(frozen=True, eq=False)
class Ledger:
    r"""Every correction that a model was trained under, and the way back to the natural prevalence.

    Weights and alpha multiply the odds that a model is trained towards; together they add `log_odds_shift`, which is
    taken off again exactly. Focal loss bends the scores besides; its exact inverse is applied first. With p the
    probability of a trained score, w the weight, a alpha and phi as in `balance._focal`:

    - sigmoid: logit(eta) = logit(p) + ln phi(1-p) - ln phi(p) - ln w - ln(a / (1-a));
    - softmax: eta_c proportional to p_c / (phi(p_c) w_c a_c).

    Both hold where the model reaches the minimum of its expected loss; a model that does not is off by as much as it
    was before. Source: Charoenphakdee et al., CVPR 2021, eq. 9; for the shift Elkan, IJCAI 2001, theorem 2.

    Attributes:
        corrections: `ClassWeights`, `SamplingPlan`, `FocalCorrection`, the entries in `balance.corrections`, and
            whatever else has a ``log_odds_shift``; any of them inside `Deferred`; may be empty.
        classes: class names; taken from the weights or the census when not given.
        kind: ``"pos_weight"`` for sigmoid outputs, ``"class_weight"`` for softmax; taken likewise.
        prevalence: (classes,) natural shares of positives; taken likewise. Without it the ledger still goes back to
            natural, but cannot say what prior the model was trained under.
        census: a census to take classes, kind and prevalence from.

    Raises:
        ArgumentError: the corrections are of different kinds or classes, or nothing says what the classes are.

    Example:
        A positive of weight 3 makes a coin look like three in four; the ledger takes it back.

        >>> weights = ClassWeights(("heads",), np.array([3.0]), "inverse", {}, "pos_weight")
        >>> ledger = Ledger([weights])
        >>> ledger.to_natural(np.log([3.0])).round(6)
        array([0.])
    """

    corrections: Sequence[Correction] = ()
    classes: tuple[str, ...] = ()
    kind: str = ""
    prevalence: ClassFloats | None = None
    census: InitVar[Counted | None] = None

    def __post_init__(self, census: Counted | None) -> None:
        object.__setattr__(self, "corrections", tuple(self.corrections))
        weights = [entry for entry in self.in_force if isinstance(entry, ClassWeights | SamplingPlan)]
        classes = self.classes or (weights[0].classes if weights else census.classes if census is not None else ())
        kind = self.kind or (weights[0].kind if weights else KIND_OF_TASK[census.task] if census is not None else "")
        if not classes or not kind:
            raise ArgumentError(
                "Ledger cannot know the classes and the kind of outputs without weights. "
                'Give census=, or classes= and kind="pos_weight" (sigmoid) or "class_weight" (softmax).'
            )
        check_one_of(kind, KINDS, argument="kind", function="Ledger")
        for entry in weights:
            entry.require(kind, classes=classes, function="Ledger")
        if sum(isinstance(entry, Bending) for entry in self.in_force) > 1:
            raise ArgumentError("Ledger can undo one focal loss; got more than one. Enter the loss that is trained.")
        if sum(isinstance(entry, SamplingPlan) for entry in self.in_force) > 1:
            raise ArgumentError(
                "Ledger takes one SamplingPlan; got more than one. Enter the plan that rows are drawn by."
            )
        for entry in self.in_force:
            if isinstance(entry, LossCorrection) and entry.kind not in {None, kind}:
                raise ArgumentError(f"A {type(entry).__name__} is not for a {kind}. Enter the loss that is trained.")
        object.__setattr__(self, "classes", tuple(classes))
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "prevalence", self._natural(weights, census))
        self.log_odds_shift  # noqa: B018  # a shift of the wrong length is an error now, not at prediction

    def _natural(self, weights: Sequence[ClassWeights | SamplingPlan], census: Counted | None) -> ClassFloats | None:
        prevalence = self.prevalence
        if prevalence is None and census is not None:
            with np.errstate(invalid="ignore"):
                prevalence = np.asarray(census.positives / (census.positives + census.negatives), dtype=np.float64)
        if prevalence is None:
            prevalence = next((entry.prevalence for entry in weights if entry.prevalence is not None), None)
        if prevalence is not None:
            prevalence = np.array(prevalence, dtype=np.float64)
            if prevalence.shape != (len(self.classes),) or np.any((prevalence < 0) | (prevalence > 1)):
                raise ArgumentError(
                    f"`prevalence` of Ledger must hold a share in [0, 1] for each of the {len(self.classes)} classes; "
                    f"got {prevalence.tolist()}. Give positives divided by known labels."
                )
            prevalence.setflags(write=False)
        return prevalence

    @property
    def in_force(self) -> tuple[Any, ...]:
        """The corrections without their schedules: a model is kept only from epochs in which all are in force."""
        return tuple(entry.correction if isinstance(entry, Deferred) else entry for entry in self.corrections)

    def at_epoch(self, epoch: int) -> Ledger:
        """Return the ledger of what is in force in an epoch, from 1."""
        begun = [e for e in self.corrections if not isinstance(e, Deferred) or e.from_epoch <= epoch]
        return Ledger(begun, classes=self.classes, kind=self.kind, prevalence=self.prevalence)

    @property
    def gamma(self) -> float:
        """Exponent of the focal loss in force; 0 when there is none."""
        return next((float(entry.gamma) for entry in self.in_force if isinstance(entry, FocalCorrection)), 0.0)

    @property
    def _reshaping(self) -> Reshaping | None:
        return next((entry for entry in self.in_force if isinstance(entry, Reshaping)), None)

    @property
    def one_a_class(self) -> bool:
        """Whether each output is the score of a class; not of `CornCorrection` and `RegressionCorrection`."""
        return self._reshaping is None

    @property
    def outputs(self) -> int:
        """How many outputs a model has: one a class, one a step between grades, or one in all."""
        entry = self._reshaping
        return len(self.classes) if entry is None else entry.outputs_for(len(self.classes))

    @property
    def log_odds_shift(self) -> ClassFloats:
        """(classes,) what all corrections together add to the log-odds that the model is trained towards."""
        total = np.zeros(len(self.classes))
        for entry in self.in_force:
            shift = self.shift_of(entry)
            if shift.shape not in {(1,), total.shape}:
                raise ArgumentError(
                    f"A {type(entry).__name__} of Ledger has {len(shift)} values for {len(self.classes)} classes. "
                    "Give one a class, in the order of the classes."
                )
            total += shift
        return total

    def shift_of(self, entry: Any) -> ClassFloats:
        """Return what one correction in force adds to the log-odds, (classes,) or (1,) where it is the same for all."""
        if isinstance(entry, FocalCorrection | LossCorrection):
            return entry.log_odds_shift_for(self.kind)
        return np.asarray(entry.log_odds_shift, dtype=np.float64)

    def to_natural(self, logits: RowOrTableFloats) -> Floats:
        """Return the scores at natural prevalence, finite for finite scores of any size.

        They have one column a class: the shape of the scores, unless these are not `one_a_class`.

        Args:
            logits: trained scores, (rows,) for a binary task, else (rows, outputs). Sigmoid scores come back as
                log-odds; softmax scores as log-probabilities up to a constant of the row.

        Raises:
            ArgumentError: the shape does not fit the classes.
        """
        scores = np.asarray(logits, dtype=np.float64)
        wide: RowOrTableFloats = scores[:, None] if scores.ndim == 1 and self.outputs == 1 else scores
        if wide.ndim != 2 or wide.shape[1] != self.outputs:
            raise ArgumentError(
                f"Ledger.to_natural needs one score a row for each of {listed(self.classes)}; "
                f"got an array of shape {scores.shape}. Check the number of outputs of the model."
            )
        for entry in self.in_force:
            if isinstance(entry, Bending):
                wide = entry.unbend(wide, self.kind)
        natural = wide - self.log_odds_shift
        return np.asarray(natural.reshape(scores.shape) if natural.size == scores.size else natural)

    def starting_scores(self, log_odds: ClassFloats) -> Floats:
        """Return the scores at which a model under this loss says the given log-odds, shifts included: a first bias."""
        if (reshaping := self._reshaping) is not None:
            return reshaping.starting_scores(log_odds)
        for entry in self.in_force:
            if isinstance(entry, Bending):
                return bent(entry, log_odds, self.kind)
        return log_odds

    def to_prevalence(self, logits: RowOrTableFloats, prevalence: Floats) -> Floats:
        """Return the scores at a stated prevalence: those at the natural one, moved by the ratio of the priors.

        Right where only the prevalence differs, and what the classes look like does not (label shift).

        Args:
            logits: trained scores, as for `to_natural`.
            prevalence: (classes,) share of each class where the scores will be used, in (0, 1); of a softmax, sum 1.

        Raises:
            ArgumentError: shapes or shares do not fit, or the ledger does not know the natural prevalence.

        References:
            Saerens, Latinne & Decaestecker, Neural Computation 14 (2002), eq. 2.4.

        Example:
            An even chance where one in ten has it is nine to one where half have it.

            >>> ledger = Ledger((), ("a",), "pos_weight", np.array([0.1]))
            >>> np.exp(ledger.to_prevalence(np.array([0.0]), np.array([0.5]))).round(6)
            array([9.])
        """
        stated = np.asarray(prevalence, dtype=np.float64)
        fits = stated.shape == (len(self.classes),) and bool(np.all((stated > 0) & (stated < 1)))
        if not fits or (self.kind != POS_WEIGHT and abs(stated.sum() - 1.0) > 1e-6):
            raise ArgumentError(
                f"`prevalence` of Ledger.to_prevalence must hold a share in (0, 1) for each of {listed(self.classes)}"
                f"{'' if self.kind == POS_WEIGHT else ', with sum 1'}; got {stated.tolist()}. Give it where it is used."
            )
        if self.prevalence is None or not np.all((self.prevalence > 0) & (self.prevalence < 1)):
            raise ArgumentError(
                "Ledger.to_prevalence needs a natural prevalence in (0, 1) for every class. Give the ledger census=, "
                "and leave classes out that never or always occur."
            )
        step = np.log(stated / self.prevalence)
        if self.kind == POS_WEIGHT:
            step = step - np.log((1.0 - stated) / (1.0 - self.prevalence))
        natural = self.to_natural(logits)
        return np.asarray(natural + step)

    @property
    def trained_prevalence(self) -> ClassFloats | None:
        """(classes,) the prior that weights and alpha imply together, or None when the natural one is not known."""
        if self.prevalence is None:
            return None
        plan = self._plan
        # What is drawn is known exactly; a plan's shift is the best constant, and misses what labels do together.
        drawn = self.prevalence if plan is None else np.asarray(plan.expected_prevalence)
        weight = np.exp(self.log_odds_shift - (0.0 if plan is None else plan.log_odds_shift))
        if self.kind == POS_WEIGHT:
            positive = drawn * weight
            return np.asarray(positive / (positive + 1.0 - drawn))
        return np.asarray(drawn * weight / np.sum(drawn * weight))

    @property
    def _plan(self) -> SamplingPlan | None:
        return next((entry for entry in self.in_force if isinstance(entry, SamplingPlan)), None)

    def sentences(self) -> tuple[str, ...]:
        """Say in plain words what the model was told, one sentence a class, and what is done about it."""
        said = []
        trained = self.trained_prevalence
        for position, (name, shift) in enumerate(zip(self.classes, self.log_odds_shift, strict=True)):
            if trained is not None and self.prevalence is not None:
                there, here = one_in(float(self.prevalence[position])), one_in(float(trained[position]))
                same = np.isclose(trained[position], self.prevalence[position], rtol=1e-9, equal_nan=True)
                said.append(
                    f"{name}: the model is trained at the natural prevalence, {there}."
                    if same
                    else f"{name}: the model is trained as if {here} had it; in the data it is {there}."
                )
            elif shift != 0.0:
                factor = (
                    f"multiplied by {counted(np.exp(shift))}" if shift > 0 else f"divided by {counted(np.exp(-shift))}"
                )
                said.append(f"{name}: the odds that the model is trained towards are {factor}.")
        if self.gamma > 0.0:
            said.append(f"Focal loss (gamma {self.gamma:g}) draws every probability towards the middle.")
        plan = self._plan
        if plan is not None and plan.stabilised is not None:
            said.append(stabilising_sentence(plan))
        elif plan is not None and plan.shift_quality < 1.0 - 1e-9:
            said.append(
                "Sampling moves labels together, so one shift a class undoes it approximately: it explains "
                f"{100 * plan.shift_quality:.1f} % of the variance of the log weights."
            )
        late = [entry for entry in self.corrections if isinstance(entry, Deferred)]
        said += [f"From epoch {entry.from_epoch} on: {_called(entry.correction)}." for entry in late]
        bent = [line for entry in self.in_force if isinstance(entry, LossCorrection) for line in entry.sentences()]
        said += bent
        if bent or self.gamma > 0.0 or np.any(self.log_odds_shift != 0.0):
            said.append("Prediction undoes this: probabilities are given at the natural prevalence.")
        else:
            said.append("No correction is in force: probabilities are at the natural prevalence already.")
        return tuple(said)

    def warnings(self) -> tuple[str, ...]:
        """Name the classes that are corrected beyond full balance, and corrections that work against each other.

        Also a stabilised plan that hardly draws many of the rows.
        """
        found = [] if self._plan is None else [said for said in [hardly_drawn(self._plan)] if said is not None]
        trained = self.trained_prevalence
        if trained is not None and self.prevalence is not None:
            found += [_beyond(name, *pair) for name, pair in self._overshot(trained).items()]
        shifts = [(_called(entry), np.broadcast_to(self.shift_of(entry), len(self.classes))) for entry in self.in_force]
        for position, name in enumerate(self.classes if self.kind == POS_WEIGHT else ()):
            up = [label for label, shift in shifts if shift[position] > _NOTABLE]
            down = [label for label, shift in shifts if shift[position] < -_NOTABLE]
            if up and down:
                found.append(
                    f"{name}: its odds are raised by {' and '.join(up)} and lowered by {' and '.join(down)}. Keep one."
                )
        return tuple(found)

    def overshot(self) -> dict[str, float]:
        """Return by what factor classes are trained beyond full balance, so that the common side is now the rare one.

        Only those that are are named: rare classes, and with sigmoid outputs also those that more than half have.
        """
        trained = self.trained_prevalence
        return {} if trained is None else {name: factor for name, (factor, _) in self._overshot(trained).items()}

    def _overshot(self, trained: ClassFloats) -> dict[str, tuple[float, int]]:
        """Class -> how far beyond full balance it is trained, and by how many corrections."""
        assert self.prevalence is not None
        natural = self.prevalence
        if self.kind == POS_WEIGHT:
            odds = trained / np.maximum(1.0 - trained, np.finfo(float).tiny)
            with np.errstate(divide="ignore"):
                rare, beyond = natural != 0.5, np.where(natural < 0.5, odds, 1.0 / odds)
        else:
            rare, beyond = natural < 1.0 / len(natural), trained / trained[np.nanargmax(natural)]
        active = sum(bool(np.any(self.shift_of(entry) != 0.0)) for entry in self.in_force)
        return {
            name: (float(factor), active)
            for name, is_rare, factor in zip(self.classes, rare, beyond, strict=True)
            if is_rare and factor > 1.05
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` makes the same ledger again."""
        natural = self.prevalence
        return {
            "classes": list(self.classes),
            "kind": self.kind,
            "prevalence": None if natural is None else [None if np.isnan(p) else p for p in natural.tolist()],
            "corrections": [_stored(entry) for entry in self.corrections],
        }

    @classmethod
    def from_dict(cls, stored: Any) -> Ledger:
        """Make the ledger again that `to_dict` described.

        Raises:
            DataError: it is not such a record, or holds a correction that this version does not know.
        """
        keys = {"classes", "kind", "prevalence", "corrections"}
        if not isinstance(stored, Mapping) or set(stored) != keys or not isinstance(stored["corrections"], list):
            raise DataError(f"A stored ledger must be an object with {listed(sorted(keys))}. Write the run again.")
        natural = stored["prevalence"]
        try:
            if natural is not None:
                natural = np.array([np.nan if share is None else share for share in natural], dtype=np.float64)
            check_one_of(stored["kind"], KINDS, argument="kind", function="Ledger")
            return cls(
                corrections=tuple(_correction(entry) for entry in stored["corrections"]),
                classes=tuple(str(name) for name in stored["classes"]),
                kind=stored["kind"],
                prevalence=natural,
            )
        except (ArgumentError, TypeError, ValueError) as error:
            raise DataError(f"The stored ledger cannot be used: {error}") from error

    def __str__(self) -> str:
        return "\n".join([*self.sentences(), *self.warnings()])


# Name in a stored ledger -> the record it is read into. A new kind of correction is one line here.
CORRECTIONS: dict[str, Any] = {
    "class_weights": ClassWeights,
    "sampling": SamplingPlan,
    "focal": FocalCorrection,
    "asymmetric": AsymmetricCorrection,
    "logit_adjustment": LogitAdjustment,
    "margin": MarginCorrection,
    "distribution_balanced": DistributionBalancedCorrection,
    "label_smoothing": SmoothingCorrection,
    "corn": CornCorrection,
    "regression": RegressionCorrection,
}


def _stored(entry: Correction) -> dict[str, Any]:
    if isinstance(entry, Deferred):
        return {**_stored(entry.correction), "from_epoch": entry.from_epoch}
    return {"type": _type_of(entry), **entry.to_dict()}


def _type_of(entry: Correction) -> str:
    for name, record in CORRECTIONS.items():
        if isinstance(entry, record):
            return name
    raise ArgumentError(f"A {type(entry).__name__} cannot be stored in a ledger. Enter one of {listed(CORRECTIONS)}.")


def _called(entry: Correction) -> str:
    if isinstance(entry, ClassWeights):
        return f"{entry.name} {entry.kind}"
    if isinstance(entry, SamplingPlan):
        return f"sampling by {entry.method.replace('_', ' ')}"
    names = {FocalCorrection: "alpha of focal", LogitAdjustment: "logit adjustment"}
    return names.get(type(entry), type(entry).__name__)


def _correction(entry: Any) -> Correction:
    if not isinstance(entry, Mapping) or entry.get("type") not in CORRECTIONS:
        found = entry.get("type") if isinstance(entry, Mapping) else entry
        raise DataError(
            f"A stored ledger names the correction {found!r}, which this version does not know."
            f"{nearest(found, CORRECTIONS)} Use the version of Equipoise that wrote it, or a newer one."
        )
    about = {key: entry[key] for key in entry if key not in {"type", "from_epoch"}}
    read: Correction = CORRECTIONS[entry["type"]].from_dict(about)
    return Deferred(read, entry["from_epoch"]) if "from_epoch" in entry else read


def _beyond(name: str, factor: float, active: int) -> str:
    how = f"{active} corrections together go" if active > 1 else "the correction goes"
    remedy = "Keep one of them, or soften them." if active > 1 else "Soften it, or cap it."
    return f"{name}: {how} {counted(factor)}x beyond full balance, so the rare side is now the common one. {remedy}"
