"""What a threshold is chosen for: one record, written as one string in Python, in commands and in recipes."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, listed, nearest

# Name -> how it is written, and what it is.
OBJECTIVES = {
    "f1": ("f1", "F1 of each class; the mean over classes (macro-F1) is then best as well"),
    "macro_f1": ("macro_f1", "the same as f1: the mean over classes is best where each class is"),
    "micro_f1": ("micro_f1", "F1 of all entries pooled, over all thresholds together"),
    "fbeta": ("fbeta:2", "F-beta, with the weight beta of recall"),
    "balanced_accuracy": ("balanced_accuracy", "(recall + specificity) / 2"),
    "youden": ("youden", "recall + specificity - 1"),
    "mcc": ("mcc", "Matthews' correlation"),
    "cost": ("cost:1:10", "expected cost per row, with what a false positive and a false negative cost"),
    "recall>=": ("recall>=0.9", "the best precision among thresholds with at least this recall"),
    "precision>=": ("precision>=0.5", "the best recall among thresholds with at least this precision"),
    "alarms": ("alarms=0.05", "the largest share of rows predicted positive that is not above this"),
    "accuracy": ("accuracy", "share of rows that are right (exclusive classes)"),
    "argmax": ("argmax", "nothing is fitted: the most likely class (exclusive classes)"),
    "costs": ("costs:0,1/5,0", "expected cost per row, from a cost for each true class (rows) and predicted class"),
    "qwk": ("qwk", "quadratically weighted kappa (ordinal classes)"),
    "mae": ("mae", "mean distance between true and predicted grade (ordinal classes)"),
}
_FOR_EXCLUSIVE = ("f1", "macro_f1", "balanced_accuracy", "youden", "accuracy", "costs", "argmax")
_FOR_ORDINAL = ("qwk", "mae")
_FOR_COUNTS = tuple(name for name in OBJECTIVES if name not in ("accuracy", "costs", "argmax", *_FOR_ORDINAL))
LOWER_IS_BETTER = ("cost", "costs", "mae")
_TARGETS = ("recall>=", "precision>=", "alarms")
_REACHED = 1e-12  # a target that is missed by rounding only is reached


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is maximised (for a cost: minimised), from counts of one class.

    Args:
        name: one of `OBJECTIVES`.
        parameters: beta, the two costs, the target; for ``costs`` the matrix row by row.

    Example:
        >>> str(parse_objective("fbeta: 2.0")), parse_objective("recall>=0.9").parameters
        ('fbeta:2', (0.9,))
    """

    name: str
    parameters: tuple[float, ...] = ()

    def __str__(self) -> str:
        numbers = [f"{value:.12g}" for value in self.parameters]
        if self.name in ("recall>=", "precision>="):
            return self.name + numbers[0]
        if self.name == "alarms":
            return f"alarms={numbers[0]}"
        if self.name == "costs":
            size = math.isqrt(len(numbers))
            return "costs:" + "/".join(
                ",".join(numbers[start : start + size]) for start in range(0, len(numbers), size)
            )
        return ":".join([self.name, *numbers])

    @property
    def is_target(self) -> bool:
        """Whether it asks for something that may be out of reach."""
        return self.name in _TARGETS

    @property
    def lower_is_better(self) -> bool:
        """Whether its figure is a cost or an error."""
        return self.name in LOWER_IS_BETTER

    @property
    def joint(self) -> bool:
        """Whether all classes share one figure, so that their thresholds depend on each other."""
        return self.name == "micro_f1"

    def worth(self, true_positives: Any, false_positives: Any, positives: Any, negatives: Any) -> Floats:
        """Return what is maximised, of any common shape; where a target is missed: by how much, below zero.

        Args:
            true_positives: number (weight) of positives predicted.
            false_positives: number of negatives predicted.
            positives: number of positives.
            negatives: number of negatives.
        """
        hits, alarms = np.asarray(true_positives, dtype=np.float64), np.asarray(false_positives, dtype=np.float64)
        figure = self.figure(hits, alarms, positives, negatives)
        if not self.is_target:
            return -figure if self.lower_is_better else figure
        aim = self.parameters[0]
        if self.name == "alarms":
            return np.where(figure <= aim + _REACHED, figure, aim - figure)
        recall, precision = _share(hits, positives), _share(hits, hits + alarms)
        reached, wanted = (recall, precision) if self.name == "recall>=" else (precision, recall)
        return np.where(reached >= aim - _REACHED, wanted, reached - aim)

    def figure(self, true_positives: Any, false_positives: Any, positives: Any, negatives: Any) -> Floats:
        """Return the figure that is reported: F-beta, a cost, or for a target what was best subject to it."""
        counts = [np.asarray(one, dtype=np.float64) for one in (true_positives, false_positives, positives, negatives)]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(_FIGURES[self.name](*counts, *self.parameters))


def _share(part: Floats, whole: Any) -> Floats:
    whole = np.asarray(whole, dtype=np.float64)
    return np.asarray(
        np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)
    )


def _f_beta(hits: Floats, alarms: Floats, positives: Floats, negatives: Floats, beta: float = 1.0) -> Floats:
    return (1 + beta * beta) * hits / (hits + alarms + beta * beta * positives)


def _youden(hits: Floats, alarms: Floats, positives: Floats, negatives: Floats) -> Floats:
    # One division, so that cuts of exactly equal worth are equal in floating point as well.
    return (hits * negatives - alarms * positives) / (positives * negatives)


def _balanced_accuracy(hits: Floats, alarms: Floats, positives: Floats, negatives: Floats) -> Floats:
    return 0.5 + _youden(hits, alarms, positives, negatives) / 2


def _matthews(hits: Floats, alarms: Floats, positives: Floats, negatives: Floats) -> Floats:
    predicted = hits + alarms
    silent = positives + negatives - predicted
    scale = np.sqrt(predicted * silent) * np.sqrt(positives * negatives)
    return _share(hits * negatives - alarms * positives, scale)


def _cost(hits: Floats, alarms: Floats, positives: Floats, negatives: Floats, alarm: float, miss: float) -> Floats:
    return (alarm * alarms + miss * (positives - hits)) / (positives + negatives)


_FIGURES: dict[str, Any] = {
    "f1": _f_beta,
    "macro_f1": _f_beta,
    "micro_f1": _f_beta,
    "fbeta": _f_beta,
    "balanced_accuracy": _balanced_accuracy,
    "youden": _youden,
    "mcc": _matthews,
    "cost": _cost,
    "recall>=": lambda hits, alarms, positives, negatives, aim: _share(hits, hits + alarms),
    "precision>=": lambda hits, alarms, positives, negatives, aim: hits / positives,
    "alarms": lambda hits, alarms, positives, negatives, aim: (hits + alarms) / (positives + negatives),
}

_NUMBER = r"([-+0-9.eE]+)"
_PATTERNS = {
    "fbeta": re.compile(rf"fbeta:{_NUMBER}"),
    "cost": re.compile(rf"cost:{_NUMBER}:{_NUMBER}"),
    "recall>=": re.compile(rf"recall>=?{_NUMBER}"),
    "precision>=": re.compile(rf"precision>=?{_NUMBER}"),
    "alarms": re.compile(rf"alarms[=:]{_NUMBER}"),
}


def parse_objective(text: str | Objective, *, function: str = "parse_objective") -> Objective:
    """Return the objective that a string names.

    Args:
        text: such as "f1", "fbeta:2", "cost:1:10", "recall>=0.9", "precision>=0.5", "alarms=0.05" or
            "costs:0,1,4/1,0,1/9,4,0"; an `Objective` is returned as it is.
        function: who asks, for the message.

    Raises:
        ArgumentError: there is no such objective (the nearest is named), or its numbers cannot be.

    Example:
        >>> parse_objective("cost:1:10")
        Objective(name='cost', parameters=(1.0, 10.0))
    """
    if isinstance(text, Objective):
        return text
    compact = re.sub(r"\s+", "", text) if isinstance(text, str) else ""
    if compact in OBJECTIVES and OBJECTIVES[compact][0] == compact:
        return Objective(compact)
    if compact.startswith("costs:"):
        return Objective("costs", _matrix(compact, function))
    for name, pattern in _PATTERNS.items():
        found = pattern.fullmatch(compact)
        if found is not None:
            return Objective(name, _checked(name, compact, found.groups(), function))
    forms = [form for form, _ in OBJECTIVES.values()]
    raise ArgumentError(
        f"`maximize` of {function} must be one of {listed(forms, limit=30)} (with numbers of your own); got {text!r}."
        f"{nearest(text, forms)}"
    )


def allowed_objectives(task: str) -> tuple[str, ...]:
    """Return the names of the objectives that make sense for a task.

    Example:
        >>> "qwk" in allowed_objectives("ordinal"), "qwk" in allowed_objectives("binary")
        (True, False)
    """
    if task in ("binary", "multilabel"):
        return _FOR_COUNTS
    return (*_FOR_EXCLUSIVE, *_FOR_ORDINAL) if task == "ordinal" else _FOR_EXCLUSIVE


def check_objective(objective: Objective, task: str, *, function: str) -> None:
    """Raise `ArgumentError` where an objective makes no sense for a task."""
    allowed = allowed_objectives(task)
    if objective.name not in allowed:
        forms = [OBJECTIVES[name][0] for name in allowed]
        if objective.name in _FOR_ORDINAL and task == "multiclass":
            raise ArgumentError(
                f"{objective.name} is for grades, and these classes were read without an order. Where they are grades, "
                'say task="ordinal" (command line: add --task ordinal).'
            )
        raise ArgumentError(
            f'`maximize` of {function} cannot be "{objective}" for task {task}. Use one of {listed(forms, limit=30)}.'
        )


def _checked(name: str, text: str, parts: tuple[str, ...], function: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        numbers = (math.nan,)
    if name == "fbeta":
        fine, needed = 0 < numbers[0] < 1e6, "a beta above 0"
    elif name == "cost":
        fine = all(0 <= value < 1e12 for value in numbers) and sum(numbers) > 0
        needed = "two costs of at least 0, not both 0 (of a false positive and of a false negative)"
    else:
        fine, needed = 0 < numbers[0] <= 1, "a share above 0 and at most 1"
    if not fine:
        raise ArgumentError(f'`maximize` of {function} needs {needed}, as in "{OBJECTIVES[name][0]}"; got {text!r}.')
    return numbers


def _matrix(text: str, function: str) -> tuple[float, ...]:
    rows = [row.split(",") for row in text.removeprefix("costs:").split("/")]
    try:
        numbers = tuple(float(cell) for row in rows for cell in row)
    except ValueError:
        numbers = (math.nan,)
    if len(rows) < 2 or any(len(row) != len(rows) for row in rows) or not all(0 <= one < 1e12 for one in numbers):
        raise ArgumentError(
            f"`maximize` of {function} needs a square matrix of costs of at least 0, one row per true class, as in "
            f'"costs:0,1,4/1,0,1/9,4,0"; got {text!r}.'
        )
    return numbers
