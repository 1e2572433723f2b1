"""The weighting schemes: from the counts of every class to one raw weight per class, each by its formula.

Notation: n_c positives of class c, m_c its negatives, N = n_c + m_c its known labels, C classes. The two kinds differ
in what a class is weighed against, A_c:

- a ``pos_weight`` multiplies the loss of the positives of a class while its negatives weigh one: A_c = m_c;
- a ``class_weight`` multiplies the loss of the rows of a class in a one-of-many task: A_c = N.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, check_number, check_one_of

POS_WEIGHT = "pos_weight"
CLASS_WEIGHT = "class_weight"
KINDS = (POS_WEIGHT, CLASS_WEIGHT)
KIND_OF_TASK = {
    "binary": POS_WEIGHT,
    "multilabel": POS_WEIGHT,
    "multiclass": CLASS_WEIGHT,
    "ordinal": CLASS_WEIGHT,
}


@dataclass(frozen=True)
class Counts:
    """Positives and negatives of every class as floats, and the kind of weight that is wanted."""

    positives: ClassFloats
    negatives: ClassFloats
    kind: str
    task: str

    @property
    def known(self) -> ClassFloats:
        """Rows whose label is known, per class: N."""
        return self.positives + self.negatives

    @property
    def against(self) -> ClassFloats:
        """What a class is weighed against: its negatives for a pos_weight, all known rows for a class_weight."""
        return self.negatives if self.kind == POS_WEIGHT else self.known


SchemeFunction: TypeAlias = Callable[[Counts, Mapping[str, float]], ClassFloats]


def _none(counts: Counts, parameters: Mapping[str, float]) -> ClassFloats:
    return np.ones_like(counts.positives)


def _power(counts: Counts, parameters: Mapping[str, float]) -> ClassFloats:
    return np.power(counts.against / counts.positives, parameters["power"])


def _fixed_power(power: float, factor: float = 1.0) -> SchemeFunction:
    return lambda counts, parameters: factor * _power(counts, {"power": power})


def _balanced(counts: Counts, parameters: Mapping[str, float]) -> ClassFloats:
    rivals = 2 if counts.kind == POS_WEIGHT else len(counts.positives)
    return counts.known / (rivals * counts.positives)


def _effective_number(counts: Counts, parameters: Mapping[str, float]) -> ClassFloats:
    beta = parameters["beta"]
    if beta == 0.0:
        return np.ones_like(counts.positives)
    # 1 - beta^n without cancellation when beta is close to one.
    log_beta = np.log(beta)
    return np.asarray(np.expm1(counts.against * log_beta) / np.expm1(counts.positives * log_beta))


def _median_frequency(counts: Counts, parameters: Mapping[str, float]) -> ClassFloats:
    frequency = counts.positives / counts.known
    if counts.task == "binary":  # the rivals are the positive and the negative; the median of two is their mean
        return 0.5 / frequency
    return np.asarray(np.median(frequency[counts.positives > 0]) / frequency)


def _smoothed(counts: Counts, parameters: Mapping[str, float]) -> ClassFloats:
    smoothing = parameters["smoothing"]
    return np.power((counts.against + smoothing) / (counts.positives + smoothing), parameters["power"])


def _log(counts: Counts, parameters: Mapping[str, float]) -> ClassFloats:
    offset = parameters["offset"]
    weight = 1.0 / np.log(offset + counts.positives / counts.known)
    if counts.kind == CLASS_WEIGHT:
        return weight
    return np.asarray(weight * np.log(offset + counts.negatives / counts.known))


@dataclass(frozen=True)
class Scheme:
    """One way to weigh classes: its formula in words and in code, and the parameters it reads with their defaults.

    `homogeneous` schemes give the same weights when every count is multiplied by the same number: writing every row
    of the table twice changes nothing.
    """

    name: str
    formula: str
    compute: SchemeFunction
    defaults: Mapping[str, float | None]
    homogeneous: bool = True


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("none", "1", _none, {}),
        Scheme("inverse", "A/n", _fixed_power(1.0), {}),
        Scheme("balanced", "N/(2n) for pos_weight, N/(C n) for class_weight", _balanced, {}),
        Scheme("sqrt", "(A/n)^(1/2)", _fixed_power(0.5), {}),
        Scheme("fourth_root", "(A/n)^(1/4)", _fixed_power(0.25), {}),
        Scheme("power", "(A/n)^power", _power, {"power": None}),
        Scheme(
            "effective_number",
            "(1-beta^A)/(1-beta^n)",
            _effective_number,
            {"beta": 0.9999},
            homogeneous=False,
        ),
        Scheme("median_frequency", "median of n/N over the classes, divided by n/N", _median_frequency, {}),
        Scheme("smoothed", "((A+s)/(n+s))^power", _smoothed, {"smoothing": 1.0, "power": 1.0}, homogeneous=False),
        Scheme("log", "1/ln(offset+n/N), for pos_weight times ln(offset+m/N)", _log, {"offset": 1.02}),
        Scheme("aggressive", "3 A/n", _fixed_power(1.0, 3.0), {}),
        Scheme("very_aggressive", "5 A/n", _fixed_power(1.0, 5.0), {}),
    )
}

# Parameter -> the range that makes sense for it: at least, above, below.
_RANGES: dict[str, dict[str, float]] = {
    "power": {"at_least": 0.0},
    "beta": {"at_least": 0.0},
    "smoothing": {"at_least": 0.0},
    "offset": {"above": 1.0},
}


def scheme_parameters(scheme: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Return the parameters that `scheme` reads, checked, defaults filled in.

    Raises:
        ArgumentError: no such scheme; a parameter is out of range, missing, or not read by this scheme.
    """
    check_one_of(scheme, SCHEMES, argument="scheme", function="class_weights")
    defaults = SCHEMES[scheme].defaults
    chosen: dict[str, float] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name not in defaults:
            readers = " and ".join(f'"{other.name}"' for other in SCHEMES.values() if name in other.defaults)
            raise ArgumentError(
                f"`{name}` of class_weights is read by scheme {readers} only; got it with scheme "
                f'"{scheme}". Leave it out, or choose that scheme.'
            )
        chosen[name] = check_number(value, argument=name, function="class_weights", **_RANGES[name])
    if chosen.get("beta", 0.0) >= 1.0:
        raise ArgumentError(
            f'`beta` of class_weights must be below 1; got {chosen["beta"]}. Use scheme "inverse", which is its limit.'
        )
    for name, default in defaults.items():
        if name not in chosen and default is None:
            raise ArgumentError(
                f'Scheme "{scheme}" of class_weights needs `{name}`; got none. '
                f"Give {name}=0.5 for the square root, 1 for the inverse."
            )
        chosen.setdefault(name, float(default or 0.0))
    return chosen
