"""Masks compared and judged as arms: planted differences are found, equal arms are not told apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from equipoise._checks import ArgumentError, DataError
from equipoise.balance import ClassWeights, Ledger
from equipoise.decision import fit_mask_rule, fixed_mask_rule
from equipoise.decision.masks_by_parts import fit_masks_by_parts, raw_mask_rule
from equipoise.evidence import ArmScores, Comparison, CountedMasks, Verdicts, compare, judge_arms
from equipoise.metrics.mask_scores import MaskScorer, MaskScores
from equipoise.scores import Scores


def scored(
    quality: float, *, images: int = 40, role: str = "test", seed: int = 0, classes: tuple[str, ...] = ("spot", "vein"),
    noise: int = 0, per_patient: int = 1, shift: float = 0.0,
) -> MaskScores:  # fmt: skip
    """Scores of masks whose truth hangs on `seed` alone; a pixel's log-odds are `quality` in favour of its truth.

    Args:
        quality: how well pixels are told apart. images: how many. role: theirs. seed: of the truth.
        classes: overlapping. noise: seed of the model's own errors. per_patient: images of each patient.
        shift: added to every log-odds.
    """
    scorer = MaskScorer(classes, exclusive=False, role=role)
    truth, errors = np.random.default_rng(seed), np.random.default_rng((seed, 7, noise))
    for number in range(images):
        rates = truth.uniform(0.05, 0.3, (len(classes), 1, 1))
        mask = (truth.uniform(size=(len(classes), 12, 12)) < rates).astype(np.uint8)
        hardness = truth.normal(0, 0.5)
        odds = (quality + hardness) * (2.0 * mask - 1) + errors.normal(0, 1.5, mask.shape) + shift
        group = f"p{number // per_patient}"
        scorer.add(f"i{number}", mask, (1 / (1 + np.exp(-odds))).astype(np.float32), group=group)
    return scorer.scores()


def half(scores: MaskScores) -> object:
    return fixed_mask_rule(scores, 0.5)


def test_a_better_model_is_called_better_and_the_difference_is_that_of_the_images() -> None:
    good, poor = scored(2.0), scored(1.2, noise=1)
    found = compare(good, poor, "macro_image_dice", rule_a=half(good), rule_b=half(poor), names=("good", "poor"))
    assert found.verdict == "better"
    assert found.unit == "images"
    each = [np.nanmean(one.counts([0.5, 0.5]).dice(), axis=0) for one in (good, poor)]
    assert found.difference == pytest.approx(float((each[0] - each[1]).mean()), abs=1e-12)
    assert [one.value for one in found.classes] == pytest.approx((each[0] - each[1]).tolist(), abs=1e-12)
    assert Comparison.from_dict(found.to_dict()) == found
    assert "macro-image-Dice" in found.sentence


def test_the_interval_of_one_class_is_that_of_a_paired_t_test() -> None:
    good, poor = scored(1.6, classes=("spot",)), scored(1.5, classes=("spot",), noise=1)
    found = compare(good, poor, "image_dice", rule_a=half(good), rule_b=half(poor), replicates=4000)
    each = (good.counts([0.5]).dice() - poor.counts([0.5]).dice())[:, 0]
    assert (good.actual() > 0).all()
    low, high = stats.ttest_1samp(each, 0.0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06 * (high - low))
    pooled = compare(good, poor, "dice", rule_a=half(good), rule_b=half(poor))
    totals = [one.counts([0.5]).total().dice()[0] for one in (good, poor)]
    assert pooled.difference == pytest.approx(totals[0] - totals[1], abs=1e-12)


def test_equal_models_are_hardly_ever_told_apart() -> None:
    told = 0
    for seed in range(40):
        one, other = (scored(1.5, seed=seed, noise=noise, images=24, classes=("spot",)) for noise in (1, 2))
        found = compare(one, other, "image_dice", rule_a=half(one), rule_b=half(other), replicates=200)
        told += found.verdict != "unclear"
    assert told <= 6  # of 40 at 5 %: more has a chance of 0.3 %
    same = compare(one, one, "image_dice", rule_a=half(one), rule_b=half(one))
    assert (same.difference, same.verdict) == (0.0, "unclear")


def test_images_of_one_patient_count_as_one() -> None:
    single = [scored(1.5, noise=noise, classes=("spot",)) for noise in (1, 2)]
    twice = []
    for one in single:
        copies = dataclasses.replace(one, ids=np.array([f"{name}-b" for name in one.ids], dtype=object))
        twice.append(one + copies)
    alone = compare(*single, "image_dice", rule_a=half(single[0]), rule_b=half(single[1]))
    doubled = compare(*twice, "image_dice", rule_a=half(twice[0]), rule_b=half(twice[1]))
    assert (doubled.low, doubled.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    assert (doubled.clusters, doubled.cases, alone.clusters) == (40, 80, 40)


def test_what_cannot_be_compared_is_refused() -> None:
    one = scored(1.5)
    with pytest.raises(DataError, match="other masks in 40 rows"):
        compare(one, scored(1.5, seed=1), "macro_dice", rule_a=half(one), rule_b=half(one))
    with pytest.raises(DataError, match="i39"):
        compare(one, one.select(np.arange(39)), "macro_dice", rule_a=half(one), rule_b=half(one))
    with pytest.raises(ArgumentError, match="rule_a"):
        compare(one, one, "macro_dice")
    with pytest.raises(ArgumentError, match="macro_image_dice"):
        compare(one, one, "image_dice", rule_a=half(one), rule_b=half(one))
    validation = scored(1.5, role="validation")
    with pytest.raises(ArgumentError, match="fitted on 40"):
        compare(validation, validation, "macro_dice", rule_a=fit_mask_rule(validation), rule_b=half(validation))
    rows = Scores(labels=[0, 1], values=[0.1, 0.9], kind="probabilities", ids=["a", "b"], role="test", classes=["a"])
    with pytest.raises(ArgumentError, match="Only A is of masks"):
        compare(one, rows, "macro_dice")
    known = CountedMasks(one.ids[::-1], one.counts([0.5, 0.5]).select(np.arange(40)[::-1]), half(one))
    assert (known.counts(one).overlap == one.counts([0.5, 0.5]).overlap).all()
    with pytest.raises(DataError, match="No counts are stored"):
        CountedMasks(one.ids[:5], one.counts([0.5, 0.5]).select(np.arange(5)), half(one)).counts(one)


def arm(*scores: MaskScores) -> ArmScores:
    by_seed = dict(enumerate(scores))
    return ArmScores(
        by_seed, {seed: half(one) for seed, one in by_seed.items()},
        {seed: fit_masks_by_parts(one) for seed, one in by_seed.items()},
    )  # fmt: skip


def test_verdicts_know_a_better_arm_an_equal_one_and_one_that_only_moves_the_threshold() -> None:
    def models(quality: float, noise: int, shift: float = -3.5) -> ArmScores:
        return arm(*(
            scored(quality, role="validation", noise=noise + seed, shift=shift, per_patient=2) for seed in range(3)
        ))  # fmt: skip

    arms = {"plain": models(1.5, 10), "better": models(2.2, 20), "equal": models(1.5, 30),
            "moved": models(1.5, 40, shift=0.0)}  # fmt: skip
    found = judge_arms(arms, metric="macro_image_dice", replicates=300)
    words = {one.name: one.verdict for one in found.arms}
    assert words == {"better": "helps", "equal": "cannot tell", "moved": "cannot tell"}
    moved = found.of_arm("moved")
    assert moved.against_plain.verdict == "better"  # at 0.5; the free fix gains the same
    assert "the free fix gains too" in moved.sentence
    assert found.free_fix.against_plain.verdict == "better"
    assert [one.name for one in found.arms[0].classes] == ["spot", "vein"]
    assert found.class_metric == "image_dice"
    assert "40 validation images, 3 training seeds" in found.arms[0].sentence
    assert Verdicts.from_dict(found.to_dict()).to_dict() == found.to_dict()


def test_by_parts_no_image_is_judged_by_a_rule_that_saw_it_or_its_patient() -> None:
    scores = scored(1.5, role="validation", per_patient=3)
    rule = fit_masks_by_parts(scores)
    rule.check_unseen(scores)
    assert scores.groups is not None
    for patient in np.unique(scores.groups):
        assert len({rule.parts[name] for name in scores.ids[scores.groups == patient]}) == 1
    own = np.array([rule.parts[name] for name in scores.ids])
    for number, one in enumerate(rule.rules):
        rows = np.flatnonzero(own == number)
        wanted = fit_mask_rule(scores.select(own != number), replicates=0)
        assert one.thresholds == wanted.thresholds
        assert (rule.counts(scores).overlap[rows] == scores.select(rows).counts(one.decision).overlap).all()
    with pytest.raises(ArgumentError, match="is another"):
        rule.counts(scored(1.5, role="validation", images=50))


def test_the_raw_rule_is_where_the_training_said_a_half() -> None:
    scores = scored(1.5, classes=("spot",))
    weights = ClassWeights(("spot",), np.array([9.0]), "inverse", {}, "pos_weight")
    rule = raw_mask_rule(scores, Ledger([weights]))
    assert rule.thresholds == pytest.approx((0.1,))  # odds of one in the training are odds of 1/9 in the data
