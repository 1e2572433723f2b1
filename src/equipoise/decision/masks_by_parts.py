"""A rule of masks that judges every image without having seen it: fitted on the other parts of the same images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, check_number
from equipoise.balance import Ledger
from equipoise.decision.by_parts import PARTS, deal_groups
from equipoise.decision.masks import MaskRule, fit_mask_rule, fixed_mask_rule
from equipoise.decision.resampling import Groups
from equipoise.metrics.mask_scores import ImageCounts, MaskScores
from equipoise.scores.ids import hash_ids
from equipoise.scores.record import sigmoid


@dataclasses.dataclass(frozen=True, eq=False)
class MaskRuleByParts:
    """Several rules, each for some images: no image is judged by a rule that was fitted on it.

    Args:
        parts: number of the rule of each image, by its id.
        rules: by number.
    """

    parts: dict[str, int]
    rules: tuple[MaskRule, ...]

    @classmethod
    def of(cls, scores: MaskScores, parts: NDArray[np.int64], rules: Sequence[MaskRule]) -> MaskRuleByParts:
        """Return it for the images of some scores: `parts` has the number of the rule of each, shape (images,)."""
        return cls(dict(zip(scores.ids.astype(str).tolist(), parts.tolist(), strict=True)), tuple(rules))

    def counts(self, scores: MaskScores) -> ImageCounts:
        """Return the counts of each image by the rule of its part; small parts are not looked at.

        Raises:
            ArgumentError: an image that belongs to no part.
        """
        own = self._part_of(scores)
        shape = (len(scores), len(scores.classes))
        found = ImageCounts(*(np.zeros(shape, np.int64) for _ in range(4)))
        for number, rule in enumerate(self.rules):
            rows = np.flatnonzero(own == number)
            made = scores.select(rows).counts(rule.decision)
            for name in ("overlap", "actual", "predicted", "known"):
                getattr(found, name)[rows] = getattr(made, name)
        return found

    def check_unseen(self, scores: MaskScores) -> None:
        """Raise `ArgumentError` when an image would be judged by a rule that was fitted on it."""
        own = self._part_of(scores)
        for number, rule in enumerate(self.rules):
            rows = np.flatnonzero(own == number)
            if len(rows):
                rule.check_unseen(scores.select(rows))

    def _part_of(self, scores: MaskScores) -> NDArray[np.int64]:
        try:
            return np.array([self.parts[str(name)] for name in scores.ids], np.int64)
        except KeyError as error:
            raise ArgumentError(
                f"A rule by parts is for the images that it was made for; {error} is another. Fit it on these images."
            ) from error


def fit_masks_by_parts(scores: MaskScores, *, maximize: str = "dice", parts: int = PARTS) -> MaskRuleByParts:
    """Return a rule that may be judged on the very images it was fitted on: each part by what the other parts say.

    Patients (images where there are none) are dealt to parts, whole, those with the rarest class first, and each part
    gets the thresholds that `fit_mask_rule` fits on the others.

    Args:
        scores: of the validation role.
        maximize: as in `fit_mask_rule`.
        parts: how many, at least 2; fewer where there are fewer patients.

    Raises:
        ArgumentError: as `fit_mask_rule`, or fewer than two parts.
        DataError: all images are of one patient.
    """
    check_number(parts, argument="parts", function="fit_masks_by_parts", at_least=2)
    groups = Groups.of(hash_ids(scores.ids if scores.groups is None else scores.groups))
    if groups.count < 2:
        raise DataError(
            "All images are of one patient, so no thresholds can be fitted on others. Judge them on the test role."
        )
    own = deal_groups(groups, scores.actual() > 0, int(parts))
    rules = [
        fit_mask_rule(scores.select(own != number), maximize=maximize, replicates=0)
        for number in range(int(own.max()) + 1)
    ]
    return MaskRuleByParts.of(scores, own, rules)


def raw_mask_rule(scores: MaskScores, ledger: Ledger) -> MaskRule:
    """Return the rule of a model alone: its own output cut at 0.5, or the class of its highest probability.

    Stored probabilities are at the natural shares of the pixels. So the threshold is where the ledger maps an output of
    0.5 to. Three exclusive classes and more are stored at their own natural argmax only, which is taken.

    Args:
        scores: of the classes.
        ledger: of the run that they are from.
    """
    if scores.exclusive and len(scores.classes) > 2:
        return fixed_mask_rule(scores)
    natural: Floats = np.asarray(ledger.to_natural(np.zeros((1, len(scores.classes)))), np.float64)[0]
    if scores.exclusive:
        second = float(sigmoid(np.array([natural[1] - natural[0]]))[0])
        return fixed_mask_rule(scores, [1.0 - second, second])
    return fixed_mask_rule(scores, sigmoid(natural).tolist())
