"""What is allowed in scores and looks odd, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equipoise._checks import listed

if TYPE_CHECKING:
    from equipoise.scores.record import Scores


def doubts_of(scores: Scores) -> tuple[str, ...]:
    """Return sentences; see `Scores.doubts`."""
    return (*_of_values(scores), *_of_labels(scores))


def _of_values(scores: Scores) -> list[str]:
    table = scores.value_table()
    low, high = table.min(axis=0), table.max(axis=0)
    found = []
    if scores.kind == "logits" and low.min() >= 0 and high.max() <= 1:
        found.append('All logits lie in [0, 1]. If they are probabilities, say so: kind="probabilities".')
    constant = [name for name, same in zip(scores.classes, low == high, strict=True) if same]
    if constant and len(scores) > 1:
        found.append(
            f"The scores of {listed(constant)} are the same in every row: they tell no row from another, and no "
            "threshold can."
        )
    return found


def _of_labels(scores: Scores) -> list[str]:
    labels, classes = scores.labels, np.arange(len(scores.classes))
    known = np.broadcast_to((~np.isnan(labels)).sum(axis=0), classes.shape)
    if scores.exclusive:
        positives = np.bincount(labels[~np.isnan(labels)].astype(np.int64), minlength=len(classes))
    else:
        positives = np.broadcast_to((labels == 1).sum(axis=0), classes.shape)
    never = [scores.classes[index] for index in np.flatnonzero((positives == 0) & (known > 0))]
    always = [scores.classes[index] for index in np.flatnonzero((positives == known) & (known > 0))]
    unknown = [scores.classes[index] for index in np.flatnonzero(known == 0)]
    found = []
    if never:
        found.append(f"No row is positive for {listed(never)}: nothing can be fitted or judged there.")
    if always:
        found.append(f"Every row is positive for {listed(always)}: nothing can be fitted or judged there.")
    if unknown and len(unknown) < len(classes):
        found.append(f"No label is known for {listed(unknown)}.")
    return found
