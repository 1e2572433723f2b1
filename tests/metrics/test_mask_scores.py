"""Scores of masks: counts that equal those of pixels, merge, survive Parquet, and give rules and intervals."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError
from equipoise.decision.masks import MaskRule, fit_least_sizes, fit_mask_rule, fixed_mask_rule
from equipoise.evidence.intervals import score_interval
from equipoise.evidence.mask_table import evaluate_masks, trivial_counts
from equipoise.metrics import (
    Components,
    MaskScorer,
    MaskScores,
    count_masks,
    expected_calibration_error,
    measure_components,
    pixel_calibration_error,
    read_mask_scores,
    write_mask_scores,
)
from equipoise.metrics._mask_kernel import count_cells, default_thresholds

NAMES = ("ground", "vessel", "spot")


def drawn(exclusive: bool, images: int = 12, seed: int = 0, shape: tuple[int, ...] = (20, 24)) -> list:
    """Labels with unknowns, and probabilities that know something of them."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        truth = random.choice(3, p=(0.9, 0.08, 0.02), size=shape).astype(np.uint8)
        each = np.stack([truth == class_ for class_ in range(3)])
        logits = 3 * each + random.normal(size=(3, *shape)) - 2
        if exclusive:
            powers = np.exp(logits)
            said, labels = powers / powers.sum(0), truth
        else:
            said, labels = 1 / (1 + np.exp(-logits)), each.astype(np.uint8)
        labels[random.random(labels.shape) < 0.1] = 255
        found.append((labels, said.astype(np.float32)))
    return found


def score(exclusive: bool, role: str = "validation", offset: int = 0, **given) -> MaskScores:
    scorer = MaskScorer(NAMES, exclusive=exclusive, role=role)
    for number, (labels, said) in enumerate(drawn(exclusive, **given)):
        scorer.add(f"i{number + offset}", labels, said, group=f"p{(number + offset) // 2}")
    return scorer.scores()


def test_the_kernel_counts_what_comparisons_count():
    random = np.random.default_rng(0)
    grid = default_thresholds()
    assert 0.5 in grid.tolist()
    assert (np.diff(grid) > 0).all()
    p = np.concatenate([random.random(5000, np.float32) ** 5, grid, np.nextafter(grid, np.float32(0)), [0, -0.0, 1]])
    p = p.astype(np.float32)
    labels = random.choice([0, 1, 255], size=len(p)).astype(np.uint8)
    counts, sums = count_cells(labels, p, 1, grid)
    for threshold, reached in zip(grid, np.cumsum(counts[:, ::-1], axis=1)[:, ::-1].T[1:], strict=True):
        assert reached.tolist() == [((p >= threshold) & (labels == side)).sum() for side in (0, 1)]
    assert counts.sum() == (labels != 255).sum()
    np.testing.assert_allclose(sums.sum(), p[labels != 255].astype(float).sum())
    for bad in (np.nan, -0.1, 1.5, np.inf):
        with pytest.raises(ValueError, match="1 probabilities"):
            count_cells(np.zeros(2, np.uint8), np.array([0.5, bad], np.float32), 1, grid)
        count_cells(np.full(2, 255, np.uint8), np.array([0.5, bad], np.float32), 1, grid)  # unknown: not looked at


@pytest.mark.parametrize("exclusive", [False, True])
def test_counts_at_a_decision_are_those_of_the_pixels(exclusive):
    scores, images = score(exclusive), drawn(exclusive)
    if exclusive:
        counts = scores.counts("argmax")
        for row, (labels, said) in enumerate(images):
            wanted = count_masks(labels, said.argmax(0).astype(np.uint8), classes=3, ignore_index=255)
            assert counts.overlap[row].tolist() == wanted.overlap.tolist()
            assert counts.predicted[row].tolist() == wanted.predicted.tolist()
            assert counts.actual[row].tolist() == wanted.actual.tolist()
        stack = count_masks(
            np.stack([one for one, _ in images]), np.stack([said.argmax(0) for _, said in images]), classes=3,
            ignore_index=255,
        )  # fmt: skip
        for name in dataclasses.fields(stack):
            np.testing.assert_allclose(getattr(counts.total(), name.name), getattr(stack, name.name), err_msg=name.name)
        return
    thresholds = scores.thresholds[[80, 90, 100]]
    for given in (thresholds, [0.0, 0.0, 0.0], [np.inf, 0.5, 0.999]):
        counts = scores.counts(given)
        limits = np.where(np.asarray(given) > scores.thresholds[-1], np.inf, given)
        for row, (labels, said) in enumerate(images):
            mask = said >= limits[:, None, None]
            for class_ in range(3):
                known = labels[class_] != 255
                assert counts.predicted[row, class_] == (mask[class_] & known).sum()
                assert counts.overlap[row, class_] == (mask[class_] & (labels[class_] == 1)).sum()


def test_two_exclusive_classes_are_parted_by_one_threshold():
    scorer = MaskScorer(("ground", "lesion"), exclusive=True, role="test")
    random = np.random.default_rng(0)
    p = random.random((8, 9)).astype(np.float32)
    labels = (random.random((8, 9)) < p).astype(np.uint8)
    scorer.add("a", labels, np.stack([1 - p, p]))
    limit = float(default_thresholds()[80])
    counts = scorer.scores().counts([0.9, limit])
    wanted = count_masks(labels, (p >= limit).astype(np.uint8), classes=2)
    assert counts.predicted[0].tolist() == wanted.predicted.tolist()
    assert counts.overlap[0].tolist() == wanted.overlap.tolist()
    with pytest.raises(ArgumentError, match="no argmax"):
        score(False).counts("argmax")


@pytest.mark.parametrize("exclusive", [False, True])
def test_scores_merge_and_survive_parquet_and_parts_add_up(exclusive, tmp_path):
    whole = score(exclusive)
    half = whole.select(np.arange(12) < 5) + whole.select(np.arange(12) >= 5)
    write_mask_scores(whole, tmp_path / "scores.parquet")
    stored = read_mask_scores(tmp_path / "scores.parquet")
    parts = MaskScorer(NAMES, exclusive=exclusive, role="validation")
    for number, (labels, said) in enumerate(drawn(exclusive)):
        for rows in (slice(0, 7), slice(7, None)):
            parts.add(f"i{number}", labels[..., rows, :], said[:, rows], group=f"p{number // 2}")
    for other in (half, stored, parts.scores()):
        assert (other.classes, other.role, other.exclusive) == (whole.classes, whole.role, whole.exclusive)
        for name in ("ids", "groups", "thresholds", "negatives", "positives", "chosen"):
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name), err_msg=name)
        np.testing.assert_allclose(other.sums, whole.sums)
    np.testing.assert_array_equal(stored.sums, whole.sums)
    assert stored.hash == whole.hash
    with pytest.raises(DataError, match="more than once"):
        whole + whole
    with pytest.raises(ArgumentError, match="cannot be joined"):
        whole + score(exclusive, role="test", offset=50)
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no scores of masks"):
        read_mask_scores(tmp_path / "bad.parquet")


def test_a_probability_that_is_none_is_named():
    scorer = MaskScorer(NAMES, exclusive=False, role="test")
    said = np.full((3, 4, 4), 0.5, np.float32)
    said[1, 0, 0] = np.nan
    with pytest.raises(DataError, match='Image "a", class "vessel": 1 probabilities'):
        scorer.add("a", np.zeros((3, 4, 4), np.uint8), said)
    with pytest.raises(ArgumentError, match="same shape"):
        scorer.add("a", np.zeros((4, 4), np.uint8), said)


def test_the_fitted_threshold_is_the_best_of_the_grid_and_its_interval_holds_it():
    scores = score(False, images=20)
    for objective in ("dice", "iou", "image_dice", "image_iou"):
        rule = fit_mask_rule(scores, maximize=objective, replicates=100)
        assert rule.thresholds is not None
        for class_ in range(3):
            worth = []
            for threshold in scores.thresholds.tolist():
                counts = scores.counts([threshold] * 3).total()
                worth.append(getattr(counts, objective)()[class_])
            assert rule.values[class_] == pytest.approx(max(worth))
            assert rule.low[class_] <= rule.thresholds[class_] <= rule.high[class_]
    again = MaskRule.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert again.to_dict() == rule.to_dict()
    assert again.describe() == rule.describe()
    assert fit_mask_rule(scores.select(np.arange(20)[::-1]), maximize="image_iou", replicates=100).low == rule.low


def test_a_rule_is_fitted_on_validation_and_never_judged_on_it():
    scores, test = score(False), score(False, role="test", offset=100, seed=5)
    rule = fit_mask_rule(scores, replicates=20)
    assert evaluate_masks(test, rule, replicates=50).value("dice", "vessel") > 0.3
    for seen in (scores, score(False, role="test")):
        with pytest.raises(ArgumentError, match="was fitted on 12 of these 12"):
            evaluate_masks(seen, rule)
    with pytest.raises(ArgumentError, match="validation role"):
        fit_mask_rule(test)


def painted(said: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The mask of exclusive classes, said pixel by pixel."""
    mask = np.zeros(said.shape[1:], np.uint8)
    for at in np.ndindex(*mask.shape):
        p = said[(slice(None), *at)]
        best = 1 + int(np.argmax(p[1:]))
        if np.float32(1) - p[0] >= limits[best]:
            mask[at] = best
    return mask


def test_three_exclusive_classes_have_a_threshold_each_and_counts_are_those_of_the_pixels():
    scores, images = score(True), drawn(True)
    grid = scores.thresholds
    for given in (grid[[0, 80, 100]], grid[[0, 110, 40]], [0.3, 0.0, np.inf], [0.3, 0.999, 0.5]):
        limits = np.where(np.asarray(given) > grid[-1], np.inf, grid[np.searchsorted(grid, given, side="right") - 1])
        limits = np.where(np.asarray(given) < grid[0], 0.0, limits)
        rule, counts = fixed_mask_rule(scores, limits.tolist()), scores.counts(given)
        for row, (labels, said) in enumerate(images):
            mask = painted(said, limits)
            assert np.array_equal(rule.apply(said), mask)
            wanted = count_masks(labels, mask, classes=3, ignore_index=255)
            assert counts.overlap[row].tolist() == wanted.overlap.tolist()
            assert counts.predicted[row].tolist() == wanted.predicted.tolist()
            assert counts.actual[row].tolist() == wanted.actual.tolist()


def test_thresholds_of_exclusive_classes_are_the_best_of_the_grid_and_find_what_the_likeliest_class_never_is():
    scores, images = score(True, images=30), drawn(True, images=30)
    faint = MaskScorer(NAMES, exclusive=True, role="validation")
    for number, (labels, said) in enumerate(images):  # as plain training of rare classes
        faded = said * np.array([1.0, 0.002, 0.002], np.float32)[:, None, None]
        faint.add(f"i{number}", labels, faded / faded.sum(0), group=f"p{number // 2}")
    for one in (scores, faint.scores()):
        rule = fit_mask_rule(one, replicates=30)
        for class_ in (1, 2):
            tried = [
                one.counts([0.0, *[threshold] * 2]).total().dice()[class_] for threshold in one.thresholds.tolist()
            ]
            assert rule.values[class_] == pytest.approx(max(tried))
            assert one.counts(rule.decision).total().dice()[class_] == pytest.approx(max(tried))
            assert rule.low[class_] <= rule.thresholds[class_] <= rule.high[class_]
        assert MaskRule.from_dict(json.loads(json.dumps(rule.to_dict()))).to_dict() == rule.to_dict()
        assert "A pixel is vessel from" in rule.describe()
    silent = one.counts("argmax").total().dice()
    assert silent[1] < 0.2 < one.counts(rule.decision).total().dice()[1]


def test_a_class_without_a_case_is_said_and_not_fitted():
    scores = score(False)
    empty = dataclasses.replace(scores, positives=scores.positives * np.array([1, 1, 0])[None, :, None])
    rule = fit_mask_rule(empty, replicates=10)
    assert "No validation image holds spot" in rule.notes[0]
    table = evaluate_masks(dataclasses.replace(empty, role="test"), fixed_mask_rule(empty, 0.5), replicates=20)
    assert table.row("dice", "spot").note == "no image holds the class"
    assert table.row("macro_dice").evaluable == "2 of 3"


def test_the_table_has_the_figures_of_the_counts_and_intervals_by_patient():
    scores = score(False, role="test", images=30)
    rule = fixed_mask_rule(scores, 0.5)
    table = evaluate_masks(scores, rule, replicates=200)
    total = scores.counts(rule.decision).total()
    figures = {"dice": total.dice(), "image_dice": total.image_dice(), "iou": total.iou()}
    figures |= {"recall": total.outcomes().recall(), "precision": total.outcomes().precision()}
    for name, wanted in figures.items():
        for class_, named in enumerate(NAMES):
            row = table.row(name, named)
            assert row.value == pytest.approx(wanted[class_])
            assert row.low < row.value < row.high
    assert table.clusters == 15
    assert table.clustered
    single = dataclasses.replace(scores, groups=None)
    order = np.random.default_rng(1).permutation(30)
    assert (
        evaluate_masks(single.select(order), rule, replicates=50).to_dict()
        == evaluate_masks(single, rule, replicates=50).to_dict()
    )
    distance = np.random.default_rng(0).random((30, 3)) * 10
    far = evaluate_masks(scores, rule, distances={"hd95": distance}, replicates=50)
    assert far.row("hd95", "spot").low < far.row("hd95", "spot").value < far.row("hd95", "spot").high


def held_by(number: int, images: int = 14) -> MaskScores:
    """One class in every image, one in the first `number` of them that is predicted nowhere, one found in all."""
    scorer, random = MaskScorer(("EX", "MA", "HE"), exclusive=False, role="test"), np.random.default_rng(0)
    for image in range(images):
        truth = np.zeros((3, 8, 8), np.uint8)
        truth[0, :4], truth[2, :2] = image < images - 2, 1
        truth[1, 0, 0] = image < number
        said = np.where(random.random(truth.shape) < 0.15, 1.0 - truth, truth)
        said[1] = 0.0
        scorer.add(f"i{image}", truth, said.astype(np.float32))
    return scorer.scores()


def test_a_figure_rests_on_the_images_that_it_is_over():
    table = evaluate_masks(held_by(2), [0.5] * 3, replicates=200)
    supports = {
        name: [table.row(name, one).support for one in ("EX", "MA", "HE")]
        for name in ("dice", "false_alarm_rate", "predicted_share", "actual_share", "pixel_calibration_error")
    }
    assert supports["dice"] == [12, 2, 14]
    assert supports["false_alarm_rate"] == [2, 12, 0]
    assert all(supports[name] == [14] * 3 for name in ("predicted_share", "actual_share", "pixel_calibration_error"))
    alarms, never = table.row("false_alarm_rate", "EX"), table.row("false_alarm_rate", "MA")
    assert (alarms.low, alarms.high) == score_interval(1.0, 0.0, 2)
    assert alarms.note == "rests on 2 images"
    assert (never.low, never.high) == score_interval(0.0, 0.0, 12)
    share = table.row("predicted_share", "MA")
    assert (share.low, share.high) == score_interval(0.0, 0.0, 14)
    assert not share.note


def test_a_class_that_no_replicate_moves_widens_the_mean_over_classes():
    scores = held_by(2)
    table = evaluate_masks(scores, [0.5] * 3, replicates=400)
    macro, still = table.row("macro_dice"), table.row("dice", "MA")
    assert still.value == 0.0
    assert macro.high - macro.value >= (still.high - still.value) / 3
    assert macro.low < macro.value
    assert "widened by the interval of MA" in macro.note


def test_what_follows_from_an_answer_without_a_model_has_no_width():
    scores = held_by(2)
    answers = trivial_counts(scores)
    empty, full = (
        evaluate_masks(scores, [0.5] * 3, counts=answers[name], trivial=True, replicates=100)
        for name in ("empty", "full")
    )
    for name, table, value in (("dice", empty, 0.0), ("empty_rate", empty, 1.0), ("recall", full, 1.0)):
        for row in (table.row(name, "MA"), table.row(f"macro_{name}")):
            assert (row.low, row.value, row.high) == (value, value, value)
            assert "widened" not in row.note
    assert full.row("dice", "EX").low < full.row("dice", "EX").value < full.row("dice", "EX").high
    said = evaluate_masks(scores, [0.5] * 3, counts=answers["empty"], replicates=100).row("dice", "MA")
    assert said.high > 0.5  # a model that said nothing might have said something of other images


def test_intervals_of_dice_cover_the_truth():
    """Dice of new images, four in five times within an interval of 80 %: images vary, not only pixels."""
    random = np.random.default_rng(0)

    def make(images: int) -> MaskScores:
        scorer = MaskScorer(("x",), exclusive=False, role="test")
        for number in range(images):
            quality = random.normal(2.0, 1.0)
            truth = (random.random((1, 12, 12)) < 0.2).astype(np.uint8)
            scorer.add(f"{number}", truth, (1 / (1 + np.exp(-(truth - 0.5) * quality * 2))).astype(np.float32))
        return scorer.scores()

    rule = [0.5]
    true = make(1000).counts(rule).total().dice()[0]
    rows = [evaluate_masks(make(25), rule, replicates=60, level=0.8).row("dice", "x") for _ in range(40)]
    covered = np.mean([row.low <= true <= row.high for row in rows])
    assert 0.62 <= covered <= 0.95, covered


def test_calibration_of_pixels_is_that_of_the_pixels():
    scores, images = score(False), drawn(False)
    for class_ in range(3):
        truth = np.concatenate([labels[class_].ravel() for labels, _ in images]).astype(float)
        truth[truth == 255] = np.nan
        said = np.concatenate([one[class_].ravel() for _, one in images])
        exact = expected_calibration_error(truth, said, bins=10)
        assert pixel_calibration_error(scores, class_, bins=10) == pytest.approx(exact, abs=0.01)


def spotted(images: int) -> tuple[MaskScores, Components, list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Images with a large lesion that is found, and specks that are none."""
    random = np.random.default_rng(2)
    scorer = MaskScorer(("lesion",), exclusive=False, role="validation")
    parts, masks, truths = [], [], []
    for number in range(images):
        truth = np.zeros((1, 40, 40), np.uint8)
        truth[0, 5:15, 5:15] = 1
        said = truth * 0.8
        specks = random.random((1, 40, 40)) < 0.01
        said[:, 20:] = np.where(specks[:, 20:], 0.8, said[:, 20:])
        said = said.astype(np.float32)
        scorer.add(f"i{number}", truth, said)
        mask = (said >= 0.5).astype(np.uint8)
        parts.append(measure_components(f"i{number}", mask, truth, exclusive=False, classes=1))
        masks.append(mask)
        truths.append(truth)
    together = parts[0]
    for one in parts[1:]:
        together = together + one
    return scorer.scores(), together, masks, truths


def test_small_parts_are_removed_where_that_helps_on_validation():
    scores, parts, masks, truths = spotted(10)
    rule = fixed_mask_rule(scores, 0.5)
    fitted = fit_least_sizes(rule, scores, parts)
    assert 1 < fitted.least_sizes[0] <= 100
    assert "connected parts of lesion below" in fitted.describe()
    counts = fitted.counts(scores, parts)
    assert counts.total().dice()[0] == 1.0
    for row, (mask, truth) in enumerate(zip(masks, truths, strict=True)):
        cleaned = fitted.clean(mask)
        assert counts.predicted[row, 0] == cleaned.sum()
        assert counts.overlap[row, 0] == (cleaned & truth).sum()
    with pytest.raises(ArgumentError, match="give the components"):
        fitted.counts(scores)
    helpless = dataclasses.replace(parts, overlaps=parts.sizes)  # every part is right
    swapped = dataclasses.replace(scores, positives=scores.positives + scores.negatives, negatives=scores.negatives * 0)
    assert fit_least_sizes(rule, swapped, helpless).least_sizes == (0,)
