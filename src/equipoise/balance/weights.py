"""One weight per class: computed from a census, checked, stored with where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassCounts, ClassFloats
from equipoise._checks import ArgumentError, DataError, check_number, check_one_of, listed, nearest
from equipoise.balance._schemes import (
    CLASS_WEIGHT,
    KIND_OF_TASK,
    KINDS,
    POS_WEIGHT,
    SCHEMES,
    Counts,
    scheme_parameters,
)
from equipoise.balance._words import counted, each, weight_sentence, weights_name

_NORMALISE = ("none", "mean", "sum")
LARGE_WEIGHT = 10.0


@runtime_checkable
class Counted(Protocol):
    """What weights need of a census: the task, the class names, and how often each class was seen and not seen."""

    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def positives(self) -> ClassCounts: ...  # noqa: D102
    @property
    def negatives(self) -> ClassCounts: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class ClassWeights:
    """One weight per class, the scheme that made it, and what kind of weight it is.

    Attributes:
        classes: class names, in the order of the values.
        values: (classes,) float64, above zero, read-only.
        scheme: name of the scheme, one of `equipoise.balance.SCHEMES`.
        parameters: everything that shaped the values besides the counts.
        kind: ``"pos_weight"`` (multiplies the positives of a class; negatives weigh one) or ``"class_weight"``
            (multiplies every row of a class in a one-of-many task). Each refuses the other's slot.
        prevalence: (classes,) share of positives among the known labels that were counted, or None when the weights
            were made by hand. NaN for a class without any known label.
    """

    classes: tuple[str, ...]
    values: ClassFloats
    scheme: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kind: str = POS_WEIGHT
    prevalence: ClassFloats | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", _checked_classes(self.classes))
        check_one_of(self.kind, KINDS, argument="kind", function="ClassWeights")
        check_one_of(self.scheme, SCHEMES, argument="scheme", function="ClassWeights")
        values = _class_floats(self.values, self.classes, argument="values")
        for name, value in zip(self.classes, values, strict=True):
            if not (np.isfinite(value) and value > 0):
                raise ArgumentError(
                    f'The weight of "{name}" must be a finite number above 0; got {value}. '
                    "To leave a class out, drop its column instead of weighing it 0."
                )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        if self.prevalence is not None:
            prevalence = _class_floats(self.prevalence, self.classes, argument="prevalence")
            if np.any((prevalence < 0) | (prevalence > 1)):
                raise ArgumentError("`prevalence` of ClassWeights must lie in [0, 1]. Give shares, not per cent.")
            object.__setattr__(self, "prevalence", prevalence)

    @property
    def name(self) -> str:
        """What these weights are called: their scheme, or that they were given by hand."""
        return weights_name(self.scheme, self.parameters.get("values"), self.parameters.get("made_by"))

    @property
    def log_odds_shift(self) -> ClassFloats:
        """(classes,) what the weights add to the log-odds that a model is trained towards: ln(values), exactly."""
        return np.asarray(np.log(self.values))

    @property
    def expected_weight(self) -> float:
        """Mean weight of one label entry over the counted data; losses divide by it to keep the learning rate's scale.

        For a pos_weight the mean over classes of p w + (1 - p), for a class_weight the sum over classes of p w, where
        p is the prevalence. 1.0 when the prevalence is not known.
        """
        if self.prevalence is None:
            return 1.0
        prevalence = np.nan_to_num(self.prevalence)
        if self.kind == CLASS_WEIGHT:
            return float(np.sum(prevalence * self.values))
        return float(np.mean(prevalence * self.values + 1.0 - prevalence))

    def require(self, kind: str, *, classes: Sequence[str] | None = None, function: str = "This place") -> ClassWeights:
        """Return these weights if they are of `kind` (and for exactly `classes`, in that order).

        Raises:
            ArgumentError: the weights are of the other kind, or for other classes.
        """
        check_one_of(kind, KINDS, argument="kind", function="ClassWeights.require")
        if self.kind != kind:
            use = {
                POS_WEIGHT: "multiplies the positives of each class and belongs to sigmoid losses (binary, multilabel)",
                CLASS_WEIGHT: "multiplies whole rows and belongs to softmax losses (multiclass, ordinal)",
            }
            raise ArgumentError(
                f"{function} takes a {kind}; got a {self.kind}, which {use[self.kind]}. "
                f'Make the weights with class_weights(census, kind="{kind}"), or choose the other loss.'
            )
        if classes is not None and tuple(classes) != self.classes:
            raise ArgumentError(
                f"{function} has the classes {listed(classes)}, but the weights are for {listed(self.classes)}. "
                "Make the weights from the same labels, in the same order."
            )
        return self

    def sentences(self, unit: str = "rows") -> tuple[str, ...]:
        """Say in words what each weight does, one sentence a class; `unit` is what was counted, rows or pixels."""
        lightest = int(np.argmin(self.values))
        return tuple(
            weight_sentence(
                name, value, kind=self.kind, than=(self.classes[lightest], self.values[lightest]), unit=unit
            )
            for name, value in zip(self.classes, self.values, strict=True)
        )

    def warnings(self, unit: str = "rows") -> tuple[str, ...]:
        """Say which weights are so large, or so turned round, that training with them is known to go wrong.

        Args:
            unit: what was counted, rows or pixels.
        """
        found = []
        scale = 1.0 if self.kind == POS_WEIGHT else float(self.values.min())
        large = {
            name: value for name, value in zip(self.classes, self.values / scale, strict=True) if value > LARGE_WEIGHT
        }
        if large:
            first = sorted(large, key=lambda name: -large[name])
            shown = ", ".join(f"{counted(large[name])}x for {name}" for name in first[:4])
            more = f" and {len(first) - 4} more" if len(first) > 4 else ""
            found.append(
                f"{shown}{more}: a weight this large lets a few {unit} decide every step, and the model says yes far "
                "too often. Soften it (sqrt, or a cap of 8); the ledger takes it back at prediction."
            )
        below = [
            name
            for name, value, share in zip(self.classes, self.values, self._shares(), strict=True)
            if self.kind == POS_WEIGHT and value < 1.0 and share < 0.5
        ]
        if below:
            found.append(
                f"Below 1 for {listed(below)}: the rare positives count less than the negatives, the opposite of "
                'balancing. Use normalise="none" with pos_weight, or floor=1.'
            )
        return tuple(found)

    def _shares(self) -> ClassFloats:
        return np.zeros(len(self.classes)) if self.prevalence is None else self.prevalence

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` makes the same weights again."""
        return {
            "classes": list(self.classes),
            "values": self.values.tolist(),
            "scheme": self.scheme,
            "parameters": {
                key: dict(value) if isinstance(value, Mapping) else value for key, value in self.parameters.items()
            },
            "kind": self.kind,
            "prevalence": None
            if self.prevalence is None
            else [None if np.isnan(share) else share for share in self.prevalence.tolist()],
        }

    @classmethod
    def from_dict(cls, stored: Any) -> ClassWeights:
        """Make the weights again that `to_dict` described.

        Raises:
            DataError: a key is missing or unknown, or a value cannot be a weight. Nothing is guessed.
        """
        keys = ("classes", "values", "scheme", "parameters", "kind", "prevalence")
        remedy = "Write the weights again with `equipoise weights TABLE --out weights.json`."
        if not isinstance(stored, Mapping):
            raise DataError(f"Stored weights must be a JSON object; got {type(stored).__name__}. {remedy}")
        for key in stored:
            if key not in keys:
                raise DataError(f'Stored weights have no key "{key}".{nearest(key, keys)} {remedy}')
        missing = [key for key in keys[:5] if key not in stored]
        if missing:
            raise DataError(f"Stored weights lack {listed(missing)}. {remedy}")
        if not isinstance(stored["parameters"], Mapping):
            raise DataError(f'"parameters" of stored weights must be an object. {remedy}')
        shares = stored.get("prevalence")
        if isinstance(shares, list):
            shares = [np.nan if share is None else share for share in shares]
        try:
            classes = _checked_classes(stored["classes"])
            check_one_of(stored["kind"], KINDS, argument="kind", function="ClassWeights")
            check_one_of(stored["scheme"], SCHEMES, argument="scheme", function="ClassWeights")
            return cls(
                classes=classes,
                values=_class_floats(stored["values"], classes, argument="values"),
                scheme=stored["scheme"],
                parameters=stored["parameters"],
                kind=stored["kind"],
                prevalence=None if shares is None else _class_floats(shares, classes, argument="prevalence"),
            )
        except ArgumentError as error:
            raise DataError(f"Stored weights cannot be used: {error} {remedy}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassWeights) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        shaped = ", ".join(f"{key} {value}" for key, value in self.parameters.items())
        head = f"{self.kind}, {self.name}" if "values" in self.parameters else f"{self.kind} by {self.scheme}"
        head += f" ({shaped})" if shaped else ""
        width = max(len(name) for name in self.classes)
        lines = [f"  {name:<{width}}  {each(value)}" for name, value in zip(self.classes, self.values, strict=True)]
        return "\n".join([head, *lines, *self.warnings()])


def class_weights(
    census: Counted,
    scheme: str = "sqrt",
    *,
    floor: float | None = None,
    cap: float | None = None,
    multiplier: float = 1.0,
    normalise: str = "none",
    kind: str | None = None,
    power: float | None = None,
    beta: float | None = None,
    smoothing: float | None = None,
    offset: float | None = None,
    values: Mapping[str, float] | None = None,
) -> ClassWeights:
    r"""Return one weight per class, larger for rarer classes.

    With n positives, m negatives and N = n + m known labels of a class, C classes, and A = m for ``pos_weight``,
    A = N for ``class_weight``:

    ====================  ==========================================================================================
    ``none``              1
    ``inverse``           A / n: m/n for pos_weight (full balance), N/n for class_weight
    ``balanced``          N / (C n) for class_weight [1], N / (2 n) for pos_weight
    ``sqrt``              (A / n)^(1/2)
    ``fourth_root``       (A / n)^(1/4)
    ``power``             (A / n)^power: 0 is none, 1 is inverse
    ``effective_number``  (1 - beta^A) / (1 - beta^n), 0 <= beta < 1: beta 0 is none, beta -> 1 is inverse [2]
    ``median_frequency``  median over the classes of n/N, divided by n/N [3]; 1/(2 n/N) for a binary task
    ``smoothed``          ((A + smoothing) / (n + smoothing))^power
    ``log``               1 / ln(offset + n/N) for class_weight [4]; times ln(offset + m/N) for pos_weight
    ``aggressive``        3 A / n
    ``very_aggressive``   5 A / n
    ====================  ==========================================================================================

    A pos_weight is the weight of a positive over that of a negative in the two-class problem of its class; the two
    schemes without a two-class meaning (``balanced``, ``median_frequency``) give the weight of the positive alone.
    ``effective_number`` and ``smoothed`` are the published 1/E_n and 1/(n+s)^power times one factor common to all
    classes, such that a class which filled the whole table would weigh one; `normalise` removes any such factor.

    The order is: scheme, then `multiplier`, then `floor` and `cap`, then `normalise`. Weights given by hand in
    `values` take the place of the scheme's after `floor` and `cap`, and are touched by `normalise` only.

    Args:
        census: counts per class, from `count_labels` or `Census.from_counts`.
        scheme: one of the names above.
        floor: smallest weight, at least 0. With ``floor=1.0`` no positive counts less than a negative.
        cap: largest weight, at least `floor`.
        multiplier: factor on every weight, above 0.
        normalise: ``"none"``; ``"mean"``: the weights have mean one; ``"sum"``: they sum to one.
        kind: ``"pos_weight"`` or ``"class_weight"``. By default that of the task: pos_weight for binary and multilabel,
            class_weight for multiclass and ordinal.
        power: exponent, at least 0, of ``power`` (required) and ``smoothed`` (1). Larger is harsher.
        beta: in [0, 1), of ``effective_number`` (0.9999). Larger is harsher.
        smoothing: at least 0, of ``smoothed`` (1). Larger is gentler.
        offset: above 1, of ``log`` (1.02). Larger is gentler.
        values: weights by hand for some classes, such as ``{"Hernia": 8.0}``: the only way to weigh an empty class.

    Raises:
        ArgumentError: an argument is out of range, or not read by this scheme.
        DataError: a class has no positive (or, for pos_weight, no negative) and no weight by hand.

    References:
        [1] scikit-learn, ``compute_class_weight("balanced")``; King & Zeng, Political Analysis 9 (2001).
        [2] Cui et al., CVPR 2019, eq. 2 and 4. [3] Eigen & Fergus, ICCV 2015, section 6.3.2, with rows in the place of
        the pixels of the images that hold the class. [4] Paszke et al., ENet, 2016, section 5.1: c = 1.02.

    Example:
        >>> from equipoise.labels import Census
        >>> census = Census.from_counts({"shock": (111, 28_042)}, task="binary")
        >>> class_weights(census, "inverse").values.round(1)
        array([252.6])
        >>> class_weights(census, "sqrt").values.round(1)
        array([15.9])
        >>> class_weights(census, "sqrt", floor=1.0, cap=8.0).values
        array([8.])
    """
    kind = _checked_kind(kind, census.task)
    parameters: dict[str, Any] = dict(
        scheme_parameters(scheme, {"power": power, "beta": beta, "smoothing": smoothing, "offset": offset})
    )
    multiplier = check_number(multiplier, argument="multiplier", function="class_weights", above=0.0)
    floor, cap = _checked_limits(floor, cap)
    check_one_of(normalise, _NORMALISE, argument="normalise", function="class_weights")
    by_hand = _checked_by_hand(values, census.classes)
    counts = Counts(
        np.asarray(census.positives, dtype=np.float64),
        np.asarray(census.negatives, dtype=np.float64),
        kind,
        census.task,
    )
    if scheme != "none":
        _refuse_one_sided(census, kind, by_hand)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # classes weighed by hand may be empty
        raw = multiplier * SCHEMES[scheme].compute(counts, parameters)
        prevalence = counts.positives / counts.known
    raw = np.clip(raw, -np.inf if floor is None else floor, np.inf if cap is None else cap)
    for name, value in by_hand.items():
        raw[census.classes.index(name)] = value
    if normalise != "none":
        raw = raw / (raw.mean() if normalise == "mean" else raw.sum())
    asked = {"multiplier": (multiplier, 1.0), "floor": (floor, None), "cap": (cap, None)}
    parameters |= {name: value for name, (value, default) in asked.items() if value != default}
    parameters |= {"normalise": normalise} if normalise != "none" else {}
    parameters |= {"values": by_hand} if by_hand else {}
    return ClassWeights(tuple(census.classes), raw, scheme, parameters, kind, prevalence)


def _checked_kind(kind: str | None, task: str) -> str:
    check_one_of(task, KIND_OF_TASK, argument="task", function="class_weights")
    if kind is None:
        return KIND_OF_TASK[task]
    check_one_of(kind, KINDS, argument="kind", function="class_weights")
    if kind == CLASS_WEIGHT and KIND_OF_TASK[task] == POS_WEIGHT:
        raise ArgumentError(
            f"`kind` of class_weights must be pos_weight for a {task} task, where each class is its own yes or no; "
            "got class_weight. Leave `kind` out."
        )
    return kind


def _checked_limits(floor: float | None, cap: float | None) -> tuple[float | None, float | None]:
    if floor is not None:
        floor = check_number(floor, argument="floor", function="class_weights", at_least=0.0)
    if cap is not None:
        cap = check_number(cap, argument="cap", function="class_weights", above=0.0)
    if floor is not None and cap is not None and cap < floor:
        raise ArgumentError(f"`cap` of class_weights must be at least `floor` ({floor}); got {cap}.")
    return floor, cap


def _checked_by_hand(values: Mapping[str, float] | None, classes: Sequence[str]) -> dict[str, float]:
    by_hand = {}
    if values is not None and not isinstance(values, Mapping):
        raise ArgumentError(
            f"`values` of class_weights must map class names to weights; got {type(values).__name__}. "
            f'Write {{"{classes[0]}": 8.0}}.'
        )
    for name, value in (values or {}).items():
        if name not in classes:
            raise ArgumentError(
                f'`values` of class_weights names "{name}", which is no class.{nearest(name, classes)} '
                f"The classes are {listed(classes)}."
            )
        by_hand[name] = check_number(value, argument=f"values[{name!r}]", function="class_weights", above=0.0)
    return by_hand


def weighable(census: Counted, kind: str | None = None) -> NDArray[np.bool_]:
    """Return, per class, whether it was counted on both sides that its weight is made from."""
    kind = _checked_kind(kind, census.task)
    both = np.asarray(census.positives) > 0
    return np.asarray(both & (np.asarray(census.negatives) > 0) if kind == POS_WEIGHT else both)


def _refuse_one_sided(census: Counted, kind: str, by_hand: Mapping[str, float]) -> None:
    fine = weighable(census, kind)
    for name, positives, can in zip(census.classes, census.positives, fine, strict=True):
        if not can and name not in by_hand:
            side = "positive" if positives <= 0 else "negative"
            place = getattr(census, "source", "labels")
            raise DataError(
                f'{place}: class "{name}" has no {side}, so class_weights would divide by '
                f"zero. Drop the class, add data that has a {side}, or give its weight by hand: "
                f'values={{"{name}": 1.0}}.'
            )


def _checked_classes(classes: Any) -> tuple[str, ...]:
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise ArgumentError(f"`classes` of ClassWeights must be class names; got {classes!r}. Give a list of names.")
    if not all(isinstance(name, str) for name in classes) or len(set(classes)) != len(classes):
        raise ArgumentError(f"`classes` of ClassWeights must be distinct names; got {listed(classes)}. Rename one.")
    return tuple(classes)


def _class_floats(given: Any, classes: Sequence[str], *, argument: str) -> ClassFloats:
    try:
        array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"`{argument}` of ClassWeights must be numbers; got {given!r}. Give one a class."
        ) from error
    if array.shape != (len(classes),):
        raise ArgumentError(
            f"`{argument}` of ClassWeights must hold one number for each of the {len(classes)} classes; "
            f"got an array of shape {array.shape}. Give them in the order of the classes."
        )
    array.setflags(write=False)
    return array
