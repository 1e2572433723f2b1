"""Figures that cannot move: of a predictor that gives every row the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.outcomes import Outcomes
from equipoise.scores import Scores

Still: TypeAlias = Mapping[str, NDArray[np.bool_]]

_OF_EITHER = ("recall", "specificity", "balanced_accuracy", "mcc")  # one value for "never", one for "always"
_OF_NEVER = ("precision", "f1")  # 0; of "always" both follow the prevalence
_LIKE_MCC = ("qwk", "linear_kappa")  # 0 for any one answer


def still_figures(rule: Any, scores: Scores, outcomes: Outcomes | None) -> Still:
    """Return for each metric which classes it cannot move of: on any rows it would be the same, so it has no interval.

    A rule that has thresholds and happens to predict none of these rows could predict others: its recall is a count of
    0 among the positives and keeps the interval of one. Only its balanced accuracy and MCC have nothing to rest on.

    Args:
        rule: may say by ``constant``, one truth value or one a class, that it answers the same whatever the score.
        scores: at natural prevalence; a class whose scores are all the same is answered the same as well.
        outcomes: of each class, or None without a rule.

    Returns:
        (classes,) by metric; nothing without a rule.

    Example:
        >>> from types import SimpleNamespace
        >>> scores = Scores(labels=[0, 1], values=[0.4, 0.6], kind="probabilities", ids=list("ab"), role="test",
        ...                 classes=["Mass"])
        >>> outcomes = Outcomes(*(np.array([count]) for count in (0.0, 0.0, 1.0, 1.0)))
        >>> found = still_figures(SimpleNamespace(constant=True), scores, outcomes)
        >>> found["f1"].tolist(), found["recall"].tolist(), "accuracy" in found
        ([True], [True], False)
    """
    if outcomes is None:
        return {}
    never = outcomes.true_positives + outcomes.false_positives == 0
    always = outcomes.true_negatives + outcomes.false_negatives == 0
    alike = np.broadcast_to(np.asarray(getattr(rule, "constant", False), dtype=np.bool_), never.shape)
    if not scores.exclusive:
        alike = alike | (np.ptp(scores.value_table(), axis=0) == 0)
    found = dict.fromkeys(_OF_EITHER, alike & (never | always))
    found |= dict.fromkeys(_OF_NEVER, alike & never)
    return found | dict.fromkeys(("balanced_accuracy", "mcc"), never | always)


def is_still(still: Still, metric: str, chosen: NDArray[np.bool_] | slice) -> bool:
    """Return whether a figure over some classes cannot move: it cannot of any of them."""
    classes = still.get("mcc" if metric in _LIKE_MCC else metric)
    return classes is not None and bool(classes[chosen].all())
