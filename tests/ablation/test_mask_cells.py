"""Cells of masks of several folds: each image once, each by the rules of its own fold."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.ablation._mask_cells import MaskCell, MaskCells
from equipoise.balance import ClassWeights, Ledger
from equipoise.decision import fit_mask_rule
from equipoise.evidence import CountedMasks, compare
from equipoise.metrics.mask_scores import MaskScorer, MaskScores

NAMES = ("spot", "vein")


def scored(images: range, role: str, *, seed: int = 0) -> MaskScores:
    scorer = MaskScorer(NAMES, exclusive=False, role=role)
    for number in images:
        random = np.random.default_rng((number, seed))
        mask = (random.uniform(size=(2, 10, 10)) < 0.2).astype(np.uint8)
        said = 1 / (1 + np.exp(-(2.0 * mask - 1.5 + random.normal(0, 1, mask.shape))))
        scorer.add(f"i{number}", mask, said.astype(np.float32))
    return scorer.scores()


def cell(images: range, role: str, weights: float) -> MaskCell:
    """A fold whose ledger has one weight for both classes, and whose rule was fitted on other images."""
    scores = scored(images, role)
    rule = fit_mask_rule(scored(range(100, 110), "validation", seed=int(weights)), replicates=0)
    ledger = Ledger([ClassWeights(NAMES, np.full(2, weights), "inverse", {}, "pos_weight")])
    counts = CountedMasks(scores.ids, rule.counts(scores), rule) if role == "test" else None
    return MaskCell(f"plain/{weights}", "0", scores, ledger, rule, counts)


@pytest.mark.parametrize("role", ["validation", "test"])
def test_each_image_is_taken_once_and_judged_by_the_rules_of_its_fold(role: str) -> None:
    folds = [cell(range(6), role, 1.0), cell(range(4, 12), role, 4.0)]  # two images are in both
    scores, raw, fixed = MaskCells().arm(folds, "macro_dice", test=role == "test")
    assert sorted(scores.ids) == sorted(f"i{number}" for number in range(12))
    found = raw.counts(scores)
    for place, name in enumerate(scores.ids):
        own = folds[0] if int(name[1:]) < 6 else folds[1]
        cut = 0.5 if own is folds[0] else 0.2  # odds of one under a weight of four are odds of a quarter
        row = own.scores.select(own.scores.ids == name)
        assert (found.predicted[place] == row.counts([cut, cut]).predicted[0]).all()
        if role == "test":
            assert (fixed.counts(scores).overlap[place] == own.rule.counts(row).overlap[0]).all()
    fixed.check_unseen(scores)
    assert compare(scores, scores, "macro_dice", rule_a=fixed, rule_b=raw, replicates=100).cases == 12


def test_one_fold_is_judged_by_its_own_rules_alone() -> None:
    only = cell(range(8), "test", 1.0)
    scores, _, fixed = MaskCells().arm([only], "macro_dice", test=True)
    assert scores is only.scores
    assert fixed.rule is only.rule
    assert MaskCells().has_threshold("macro_dice")
