"""Micro-F1: all thresholds together, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equipoise._arrays import Floats


def joint_worths(hits: Sequence[Floats], alarms: Sequence[Floats], positives: float) -> list[Floats]:
    """Return for each class what its cut has to maximise so that the cuts together have the best micro-F1.

    Micro-F1 is 2 TP / (TP + FP + P) with sums over classes. It is at least F for some cuts exactly when the sum over
    classes of (2 - F) TP - F FP, whose terms can be maximised one by one, is at least F P. Starting from F = 0, the
    micro-F1 of the cuts that are best for F is the next F; it rises until it is the largest there is (Dinkelbach,
    Management Science 1967, theorem 1 and the algorithm after it), after four or five steps.

    At the best cuts of calibrated probabilities every class has the same threshold, F / 2: a case more at probability p
    adds 2 p to the numerator and 1 to the denominator.

    Args:
        hits: for each class the true positives at each of its cuts, shape (cuts,).
        alarms: the false positives.
        positives: of all classes.

    Example:
        >>> worths = joint_worths([np.array([0.0, 1.0, 2.0])], [np.array([0.0, 0.0, 2.0])], 2.0)
        >>> worths[0].round(3)  # F = 2/3, from the cuts with 1 and with 2 hits alike
        array([0.   , 1.333, 1.333])
    """
    best = 0.0
    while True:
        worths = [(2.0 - best) * hit - best * alarm for hit, alarm in zip(hits, alarms, strict=True)]
        chosen = [int(np.argmax(worth)) for worth in worths]
        hit = sum(float(one[cut]) for one, cut in zip(hits, chosen, strict=True))
        alarm = sum(float(one[cut]) for one, cut in zip(alarms, chosen, strict=True))
        reached = 2.0 * hit / (hit + alarm + positives) if positives > 0 else 0.0
        if not reached > best * (1 + 1e-12):
            return worths
        best = reached
