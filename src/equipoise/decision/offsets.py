"""One offset per class for one-of-many tasks: how far to lean towards rare classes, fitted on the validation role."""

from __future__ import annotations

import numpy as np

from equipoise._arrays import Floats

# How far to lean: 0 takes the most likely class, 1 treats all classes as if they were equally common.
LEANINGS = np.linspace(0.0, 1.0, 11)
_AS_GOOD = 0.005


def fit_leaning(labels: Floats, logits: Floats, maximize: str) -> tuple[float, Floats]:
    """Return how far to lean towards rare classes, and the offsets that do so.

    A case is given the class with the largest ``log p_c - tau log n_c/n``: post-hoc logit adjustment, Menon et al.,
    ICLR 2021, equation 9. Of the candidates 0, 0.1, ..., 1 for tau, the mean of those whose worth is within 0.005 of
    the best is taken: with few cases of a class the worth is a step function of tau, and its single best step is luck.

    Yes-or-no classes need no such offsets: there logit adjustment adds a constant to the one score that is compared
    with a threshold, and the threshold is fitted on the same rows (`fit_threshold`), over all constants and not eleven.

    Args:
        labels: (rows,) class index, NaN for unknown; unknown rows are left out.
        logits: (rows, classes) softmax logits or log-probabilities at the natural prevalence.
        maximize: "f1" (macro-F1) or "balanced_accuracy" or "youden" (mean recall), over the classes that occur.

    Returns:
        tau, and the offsets (classes,) to add to the logits; 0 for a class that does not occur.

    Example:
        Two of ten rows are of the rarer class, and the model says so only faintly.

        >>> labels = np.array([0.0] * 8 + [1.0] * 2)
        >>> logits = np.log(np.array([[0.9, 0.1]] * 8 + [[0.6, 0.4]] * 2))
        >>> tau, offsets = fit_leaning(labels, logits, "f1")
        >>> round(tau, 2), (logits + offsets).argmax(axis=1).tolist()
        (0.65, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    """
    known = ~np.isnan(labels)
    truth, values = labels[known].astype(np.int64), logits[known]
    counts = np.bincount(truth, minlength=logits.shape[1]).astype(np.float64)
    log_prior = np.log(np.maximum(counts, 1.0) / max(counts.sum(), 1.0))
    log_prior[counts == 0] = 0.0
    worth = np.array([_worth(truth, (values - tau * log_prior).argmax(axis=1), counts, maximize) for tau in LEANINGS])
    tau = float(LEANINGS[worth >= worth.max() - _AS_GOOD].mean())
    return tau, -tau * log_prior


def _worth(truth: np.ndarray, predicted: np.ndarray, counts: Floats, maximize: str) -> float:
    hits = np.bincount(truth[truth == predicted], minlength=len(counts))
    present = counts > 0
    said = np.bincount(predicted, minlength=len(counts))
    below = (counts + said) / 2 if maximize == "f1" else counts
    return float((hits[present] / below[present]).mean())
