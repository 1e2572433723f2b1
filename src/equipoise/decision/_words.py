"""What a rule does, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equipoise._checks import listed
from equipoise.decision.thresholds import ALWAYS, NEVER

if TYPE_CHECKING:
    from equipoise.decision.rule import DecisionRule


def figure_word(maximize: str) -> str:
    """Return what the figure of an objective is: for a target what was best subject to it.

    Example:
        >>> figure_word("recall>=0.9"), figure_word("precision>=0.5"), figure_word("alarms=0.05"), figure_word("f1")
        ('precision', 'recall', 'share predicted', 'f1')
    """
    targets = {"recall>=": "precision", "precision>=": "recall", "alarms": "share predicted"}
    return next((word for start, word in targets.items() if maximize.startswith(start)), maximize)


def threshold_text(threshold: float) -> str:
    """Return a threshold in a few characters.

    Example:
        >>> threshold_text(0.12345), threshold_text(float("inf")), threshold_text(0.0)
        ('0.1235', 'never', 'always')
    """
    return {ALWAYS: "always", NEVER: "never"}.get(threshold, f"{threshold:.4g}")


def interval_text(rule: DecisionRule, index: int) -> str:
    """Return the interval of a threshold, offset or cut point in brackets; empty where there is none."""
    if rule.interval_low is None or rule.interval_high is None:
        return ""
    low, high = float(rule.interval_low[index]), float(rule.interval_high[index])
    if rule.thresholds is None:
        return f"[{low:.3g}, {high:.3g}]"
    if np.isnan(low) or (low == NEVER and rule.thresholds[index] != NEVER):
        return ""
    return f"[{threshold_text(low)}, {threshold_text(high)}]"


def overall_sentences(rule: DecisionRule) -> list[str]:
    """Return what the objective came to where it is one number for all classes; no sentence where it is not."""
    if rule.fitted_overall is None:
        return []
    text = f"{rule.maximize} of all classes together is {rule.fitted_overall:.3f} on the rows fitted on"
    if rule.corrected_overall is not None:
        text += f", {rule.corrected_overall:.3f} on rows left out of the fit"
    return [f"{text}."]


def sentences(rule: DecisionRule) -> list[str]:
    """Return what the rule does, one sentence per class, and its notes."""
    if rule.cut_points is not None:
        pairs = zip(rule.classes[1:], rule.cut_points.tolist(), strict=True)
        cuts = listed(
            [f"{name} from {cut:.3g} {interval_text(rule, index)}".rstrip() for index, (name, cut) in enumerate(pairs)],
            limit=30,
        ).replace('"', "")
        return [f"The grade follows from the expected grade: {cuts}.", *overall_sentences(rule), *rule.notes]
    if rule.class_offsets is not None:
        pairs = zip(rule.classes, np.exp(rule.class_offsets - rule.class_offsets.min()).tolist(), strict=True)
        leaning = listed([f"{name} x {factor:.3g}" for name, factor in pairs], limit=30).replace('"', "")
        said = f"The class with the largest probability times its factor is predicted: {leaning}."
        return [said, *overall_sentences(rule), *rule.notes]
    if rule.thresholds is None:
        return [f"The most likely of {len(rule.classes)} classes is predicted.", *rule.notes]
    lines = [_class_sentence(rule, index, name) for index, name in enumerate(rule.classes)]
    return [*lines, *overall_sentences(rule), *rule.notes]


def _class_sentence(rule: DecisionRule, index: int, name: str) -> str:
    threshold = float(rule.thresholds[index]) if rule.thresholds is not None else NEVER
    text = threshold_text(threshold)
    if text not in ("always", "never"):
        text = f"from a probability of {text} {interval_text(rule, index)}".rstrip()
    behind = "" if rule.positives is None else f", which rests on {rule.positives[index]:,} positives"
    worth = ""
    if rule.fitted_values is not None and np.isfinite(rule.fitted_values[index]):
        worth = f"; {figure_word(rule.maximize)} is {rule.fitted_values[index]:.3f} on them"
        if rule.corrected_values is not None and np.isfinite(rule.corrected_values[index]):
            worth += f", {rule.corrected_values[index]:.3f} on rows left out of the fit"
    return f"{name} is predicted {text}{behind}{worth}."
