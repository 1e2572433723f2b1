"""`Calibration`: from the probabilities that a model gives to those that hold; applied in NumPy alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, listed
from equipoise.decision.calibration._odds import finite_odds, from_odds, log_sigmoids
from equipoise.scores import Scores

# Method -> the map of one class (log-odds z of probability p), or of all classes (log-probabilities l).
METHODS = {
    "temperature": "z / T, one temperature for all classes",
    "class_temperature": "z / T, one temperature per class",
    "platt": "a z + c, one slope and one intercept per class",
    "beta": "a log p - b log(1 - p) + c per class",
    "isotonic": "any rising step function per class",
}
EXCLUSIVE_METHODS = {
    "temperature": "l / T, one temperature",
    "temperature_bias": "l / T + c, one temperature and one offset per class",
    "vector": "a l + c, one slope and one offset per class",
}


@dataclasses.dataclass(frozen=True)
class Steps:
    """A rising function of log-odds by its corners; straight between them, level beyond.

    Args:
        odds: log-odds of the model at the corners, rising strictly.
        calibrated: log-odds that hold there, not falling.
    """

    odds: tuple[float, ...]
    calibrated: tuple[float, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """A map per class from log-odds to log-odds, applied after the shift back to natural prevalence.

    Yes-or-no classes with probability p: ``slopes[c, 0] log p - slopes[c, 1] log(1 - p) + offsets[c]``; with two equal
    slopes that is ``slope * logit(p) + offset``. Where a class has steps, they take the place of the slopes. Exclusive
    classes: softmax of ``slopes[c, 0] log p_c + offsets[c]``.

    Args:
        task: of the scores it is for.
        classes: names, in the order of the scores.
        method: one of `METHODS` (for exclusive classes of `EXCLUSIVE_METHODS`).
        slopes: at least 0, shape (classes, 2).
        offsets: in nats, shape (classes,).
        fitted: for each class whether it was fitted; where not, its probabilities stay as they are.
        steps: for isotonic maps the corners of each class, None where it was not fitted.
        notes: sentences about classes that were left as they are, and why.
    """

    task: str
    classes: tuple[str, ...]
    method: str
    slopes: Floats
    offsets: Floats
    fitted: tuple[bool, ...]
    steps: tuple[Steps | None, ...] | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def apply(self, scores: Scores) -> Scores:
        """Return the scores with calibrated values, of the same kind (logits or probabilities).

        Raises:
            ArgumentError: the scores are of another task or of other classes.
        """
        if (scores.task, scores.classes) != (self.task, self.classes):
            raise ArgumentError(
                f"The calibration is for task {self.task} with classes {listed(self.classes)}; the scores are "
                f"{scores.task} with {listed(scores.classes)}. Fit one on scores of the same classes in the same order."
            )
        return from_odds(scores, self.map_odds(finite_odds(scores)))

    def map_odds(self, odds: Floats) -> Floats:
        """Return calibrated log-odds (exclusive classes: logits) of those of a model, shape (rows, classes)."""
        if self.task in ("multiclass", "ordinal"):
            return odds * self.slopes[:, 0] + self.offsets
        mapped = odds * self.slopes[:, 0]
        bent = self.slopes[:, 0] != self.slopes[:, 1]
        if bent.any():
            mapped[:, bent] += (self.slopes[bent, 0] - self.slopes[bent, 1]) * log_sigmoids(odds[:, bent])[1]
        for index, steps in enumerate(self.steps or ()):
            if steps is not None:
                mapped[:, index] = np.interp(odds[:, index], steps.odds, steps.calibrated)
        return np.asarray(mapped + self.offsets)

    def moved(self, log_odds: Floats) -> Calibration:
        """Return the calibration followed by a shift per class, as to another prevalence.

        Args:
            log_odds: what is added to the calibrated log-odds (exclusive classes: log-probabilities), shape (classes,).
        """
        return dataclasses.replace(self, offsets=self.offsets + log_odds)

    def sentences(self) -> list[str]:
        """Return what the calibration does, one sentence per class, and its notes."""
        lines = []
        for index, name in enumerate(self.classes):
            if self.fitted[index]:
                lines.append(f"{name}: {self._of_class(index)}.")
        return [*lines, *self.notes]

    def _of_class(self, index: int) -> str:
        low, high = self.slopes[index].tolist()
        offset = f", then {self.offsets[index]:+.3g}" if self.offsets[index] else ""
        steps = None if self.steps is None else self.steps[index]
        if steps is not None:
            return f"a rising function with {len(steps.odds)} corners{offset}"
        if low != high:
            return f"log-odds become {low:.3g} log p - {high:.3g} log(1 - p){offset}"
        kind = "log-probabilities" if self.task in ("multiclass", "ordinal") else "log-odds"
        return f"{kind} are multiplied by {low:.3g}{offset}"

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain JSON types, without task and classes, which the rule around it has."""
        steps = self.steps
        return {
            "method": self.method,
            "slopes": self.slopes.tolist(),
            "offsets": self.offsets.tolist(),
            "fitted": list(self.fitted),
            "steps": None
            if steps is None
            else [
                None if one is None else {"odds": list(one.odds), "calibrated": list(one.calibrated)} for one in steps
            ],
            "notes": list(self.notes),
        }
