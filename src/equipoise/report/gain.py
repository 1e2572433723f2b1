"""What fitted thresholds gained over a cut at 0.5: a paired difference on the same rows, with an interval."""

from __future__ import annotations

import dataclasses

import numpy as np

from equipoise.decision import fixed_rule
from equipoise.evidence import Resampling, resample_figures
from equipoise.metrics import measure
from equipoise.report.view import RunView

_REPLICATES = 200


@dataclasses.dataclass(frozen=True)
class Gain:
    """A difference in what the rule was fitted for, the mean over classes, on the test role.

    Above zero the fitted rule is better.
    """

    value: float
    low: float
    high: float

    @property
    def sentence(self) -> str:
        """Return the difference in words."""
        text = f"On the same rows the difference is {self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        if self.low > 0:
            return f"{text}: the thresholds made it, for the model is the same."
        if self.high < 0:
            return f"{text}: here 0.5 is better, so the roles differ or too few positives fitted the thresholds."
        return f"{text}, which may be chance."


def threshold_gain(view: RunView) -> Gain | None:
    """Return what the fitted thresholds gained over 0.5 on the test role; None where there is nothing to compare.

    Both rules are judged on the same bootstrap replicates of groups (or rows), so the noise that they share cancels:
    intervals of the two that overlap do not mean that the difference may be chance.
    """
    scores = view.natural("test")
    if scores is None or view.rule is None or view.rule.thresholds is None or "half" not in view.metrics:
        return None
    table, aim = view.metrics["rule"], view.aim
    decisions = [view.rule.apply(view.scores["test"]), fixed_rule(scores, 0.5).apply(scores)]
    judged = [measure(scores, decision) for decision in decisions]
    evaluable = {name: ~np.isnan(values) for name, values in judged[0].per_class.items()}
    if not evaluable[aim].any():
        return None
    plan = Resampling(min(_REPLICATES, table.replicates), table.seed)
    if plan.replicates == 0:
        return None
    drawn = [resample_figures(scores, decision, evaluable, plan) for decision in decisions]
    fitted, half = (figures.per_class[aim][:, evaluable[aim]].mean(axis=1) for figures in drawn)
    differences = (fitted - half)[~np.isnan(fitted - half)]
    if len(differences) < plan.replicates / 2:
        return None
    values = [float(figures.per_class[aim][evaluable[aim]].mean()) for figures in judged]
    low, high = np.quantile(differences, [(1 - table.level) / 2, (1 + table.level) / 2]).tolist()
    return Gain(values[0] - values[1], low, high)
