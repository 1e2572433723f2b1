"""`evaluate`: values, intervals, support, and plain words where something cannot be evaluated."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics as sk

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import fixed_rule
from equipoise.evidence import MetricTable, Resampling, evaluate, resample_figures
from equipoise.evidence.resampling import draw_counts, number_clusters
from equipoise.metrics import measure
from equipoise.metrics.figures import evaluable_classes
from equipoise.scores import Scores


def make(rows=200, seed=0, grouped=True, decimals=1, **changes):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, 3)) < [0.1, 0.3, 0.6]).astype(float)
    labels[0], labels[1] = 0, 1
    values = np.round(random.normal(size=(rows, 3)) + labels, decimals)
    labels[random.random((rows, 3)) < 0.05] = np.nan
    arguments = {
        "labels": labels,
        "values": values,
        "kind": "logits",
        "ids": np.arange(rows),
        "role": "test",
        "classes": ["Mass", "Hernia", "Effusion"],
        "groups": random.integers(0, 40, rows) if grouped else None,
    }
    return Scores(**(arguments | changes))


def make_ordinal(rows=150, **changes):
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, rows).astype(float)
    values = random.normal(size=(rows, 4)) + 2 * np.eye(4)[labels.astype(int)]
    labels[:5] = np.nan
    arguments = {
        "labels": labels,
        "values": values,
        "kind": "logits",
        "ids": np.arange(rows),
        "role": "test",
        "classes": list("0123"),
        "task": "ordinal",
        "groups": random.integers(0, 30, rows),
    }
    return Scores(**(arguments | changes))


def make_binary(rows=80):
    random = np.random.default_rng(4)
    labels = (random.random(rows) < 0.2).astype(float)
    values = random.random(rows) * 0.5 + 0.4 * labels
    return Scores(
        labels=labels, values=values, kind="probabilities", ids=np.arange(rows), role="test", classes=["Stroke"]
    )


def _repeated(scores, counts):
    """The rows of a replicate written out: row i as often as its cluster was drawn."""
    clusters, _ = number_clusters(scores)
    rows = np.repeat(np.arange(len(scores)), counts[clusters])
    return Scores(
        labels=scores.labels[rows],
        values=scores.values[rows],
        kind=scores.kind,
        ids=None,
        role=scores.role,
        classes=scores.classes,
        task=scores.task,
    )


@pytest.mark.parametrize("decimals", [1, 12], ids=["ties", "no ties"])
@pytest.mark.parametrize("make_scores", [make, make_ordinal, make_binary])
@pytest.mark.parametrize("decided", [True, False])
def test_replicates_equal_metrics_of_the_rows_written_out(make_scores, decided, decimals):
    scores = make_scores()
    if make_scores is make:
        scores = make(decimals=decimals)
    rule = fixed_rule(scores, None if scores.exclusive else 0.4)
    point = measure(scores, rule.apply(scores) if decided else None)
    resampling = Resampling(5, seed=7)
    drawn = resample_figures(scores, rule.apply(scores) if decided else None, evaluable_classes(point), resampling)
    counts = np.concatenate(list(draw_counts(number_clusters(scores)[1], resampling)), axis=1)
    for replicate in range(5):
        written = _repeated(scores, counts[:, replicate])
        expected = measure(written, rule.apply(written) if decided else None)
        for name, values in expected.per_class.items():
            np.testing.assert_allclose(drawn.per_class[name][replicate], values, rtol=1e-12, atol=1e-12, err_msg=name)
        assert drawn.overall.keys() == expected.overall.keys()
        for name, value in expected.overall.items():
            np.testing.assert_allclose(drawn.overall[name][replicate], value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_draws_are_clusters_with_replacement_and_do_not_depend_on_the_batch(monkeypatch):
    whole = np.concatenate(list(draw_counts(50, Resampling(130, 1))), axis=1)
    assert (whole.sum(axis=0) == 50).all()
    monkeypatch.setattr("equipoise.evidence.resampling._BATCH_ENTRIES", 350)
    np.testing.assert_array_equal(np.concatenate(list(draw_counts(50, Resampling(130, 1))), axis=1), whole)
    assert not np.array_equal(next(draw_counts(50, Resampling(10, 2))), whole[:, :10])


def test_chunks_of_classes_and_of_memory_change_nothing(monkeypatch):
    scores = make()
    whole = evaluate(scores, fixed_rule(scores, 0.5), replicates=50)
    monkeypatch.setattr("equipoise.evidence.resampling._CHUNK_ENTRIES", 250)
    assert evaluate(scores, fixed_rule(scores, 0.5), replicates=50).to_dict() == whole.to_dict()


def test_point_values_equal_scikit_learn_on_known_rows():
    scores = make()
    table = evaluate(scores, fixed_rule(scores, 0.5), replicates=0)
    known = ~np.isnan(scores.labels[:, 1])
    truth, values = scores.labels[known, 1], scores.values[known, 1]
    assert table.value("auc", "Hernia") == pytest.approx(sk.roc_auc_score(truth, values), abs=1e-12)
    assert table.value("f1", "Hernia") == pytest.approx(sk.f1_score(truth, values >= 0), abs=1e-12)
    assert table.row("f1", "Hernia").support == truth.sum()
    assert np.isnan(table.row("f1", "Hernia").low)


def test_empty_class_is_skipped_named_and_null():
    labels = make().labels.copy()
    labels[:, 1] = np.where(np.isnan(labels[:, 1]), np.nan, 0)
    scores = make(labels=labels)
    table = evaluate(scores, fixed_rule(scores, 0.5), replicates=20)
    row = table.row("auc", "Hernia")
    assert np.isnan(row.value)
    assert row.note.startswith("no positive among")
    assert row.evaluable == "no"
    macro = table.row("macro_auc")
    assert macro.evaluable == "2 of 3"
    assert macro.note == "without Hernia"
    assert macro.value == pytest.approx((table.value("auc", "Mass") + table.value("auc", "Effusion")) / 2)
    plain = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert [one["value"] for one in plain["rows"] if one["class_name"] == "Hernia" and one["metric"] == "auc"] == [None]
    assert np.isnan(MetricTable.from_dict(plain).value("auc", "Hernia"))


def test_never_predicted_class_says_so():
    scores = make()
    table = evaluate(scores, fixed_rule(scores, [np.inf, 0.5, 0.5]), replicates=0)
    assert table.row("f1", "Mass").value == 0.0
    assert table.row("f1", "Mass").note == "never predicted"
    assert table.row("auc", "Mass").note == ""


def test_one_answer_for_every_row_has_no_interval_where_it_cannot_move():
    scores = make()
    table = evaluate(scores, fixed_rule(scores, np.inf), replicates=50)
    still = ("precision", "recall", "specificity", "f1", "balanced_accuracy", "mcc")
    names = [*still, "macro_f1", "macro_balanced_accuracy", "weighted_f1", "micro_recall", "samples_f1"]
    for row in [table.row(name, "Mass") for name in still] + [table.row(name) for name in names[len(still) :]]:
        assert not np.isnan(row.value)
        assert np.isnan(row.low), row.name
    for row in (table.row("accuracy", "Mass"), table.row("hamming"), table.row("macro_auc")):
        assert row.low < row.value < row.high
    always = evaluate(scores, fixed_rule(scores, 0.0), replicates=50)
    assert np.isnan(always.row("recall", "Mass").low)
    assert always.row("precision", "Mass").low < always.value("precision", "Mass") < always.row("f1", "Mass").high


def test_a_threshold_that_no_row_of_these_reaches_keeps_the_interval_of_its_counts():
    scores = make()
    table = evaluate(scores, fixed_rule(scores, 0.999999), replicates=50)
    recall = table.row("recall", "Mass")
    assert (recall.value, recall.low) == (0.0, 0.0)
    assert 0 < recall.high < 0.5
    assert np.isnan(table.row("balanced_accuracy", "Mass").low)


def test_replicates_without_positives_are_left_out_and_counted():
    labels = np.zeros((100, 2))
    labels[:3, 0] = 1
    labels[:50, 1] = 1
    random = np.random.default_rng(0)
    scores = Scores(
        labels=labels,
        values=random.normal(size=(100, 2)),
        kind="logits",
        ids=np.arange(100),
        role="test",
        classes=["a", "b"],
    )
    table = evaluate(scores, replicates=1000)
    skipped = int(table.row("auc", "a").note.split()[0])
    assert 20 < skipped < 90  # (1 - 3 / 100)^100 = 0.0476
    assert (
        table.row("macro_auc").note == f"in {skipped} of 1,000 replicates a class had no case and counts with its mean"
    )
    assert not np.isnan(table.row("macro_auc").low)
    assert table.row("auc", "b").note == ""


def test_single_positive_cluster_has_no_interval_only_when_most_replicates_fail():
    labels = np.zeros(50)
    labels[0] = 1
    scores = Scores(
        labels=labels,
        values=np.arange(50.0),
        kind="logits",
        ids=np.arange(50),
        role="test",
        classes=["a"],
        groups=["p"] + ["q"] * 49,
    )
    row = evaluate(scores, replicates=400).row("auc", "a")
    assert np.isnan(row.low)
    assert row.note.startswith("no interval:")


def test_one_group_has_no_intervals():
    scores = make(groups=["one"] * 200)
    table = evaluate(scores, replicates=10)
    assert table.replicates == 0
    assert any("one group" in note for note in table.notes)


def test_clustering_widens_the_interval_where_rows_repeat():
    scores = make(rows=100, grouped=False)
    five = {name: np.repeat(getattr(scores, name), 5, axis=0) for name in ("labels", "values")}
    common = {"ids": np.arange(500), "kind": "logits", "role": "test", "classes": scores.classes}
    alone = evaluate(Scores(**five, **common), replicates=400).row("macro_auc")
    kept = evaluate(Scores(**five, **common, groups=np.repeat(np.arange(100), 5)), replicates=400).row("macro_auc")
    assert (kept.high - kept.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(5), rel=0.25)


def test_same_seed_same_table_other_seed_other_intervals():
    scores = make()
    first, second = evaluate(scores, replicates=50), evaluate(scores, replicates=50)
    assert first.to_dict() == second.to_dict()
    assert evaluate(scores, replicates=50, seed=1).row("macro_auc").low != first.row("macro_auc").low


def test_without_a_rule_nothing_is_said_about_predictions():
    table = evaluate(make(), replicates=0)
    with pytest.raises(ArgumentError, match='has no "macro_f1"'):
        table.value("macro_f1")
    assert any("No rule was given" in note for note in table.notes)


def test_one_class_answers_to_macro_names():
    scores = make_binary()
    table = evaluate(scores, fixed_rule(scores, 0.5), replicates=10)
    assert table.value("macro_f1") == table.value("f1", "Stroke") == table.value("f1")


def test_unknown_names_are_answered_with_the_nearest():
    table = evaluate(make(), replicates=0)
    with pytest.raises(ArgumentError, match='Did you mean "macro_auc"'):
        table.value("macro_acu")
    with pytest.raises(ArgumentError, match='Did you mean "Hernia"'):
        table.value("auc", "hernia")


@pytest.mark.parametrize("arguments", [{"replicates": -1}, {"replicates": True}, {"level": 1.0}, {"level": 0.0}])
def test_arguments_out_of_range(arguments):
    with pytest.raises((ArgumentError, Exception), match=r"must be|Type-check"):
        evaluate(make(), **arguments)


def test_round_trip_and_text():
    scores = make()
    table = evaluate(scores, fixed_rule(scores, 0.5), replicates=20)
    again = MetricTable.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again == table
    assert "macro_f1" in str(table)
    assert "Hernia" in str(table)
    frame = table.to_polars()
    assert frame.height == len(table.rows)
    for damaged in ({}, {"format": "equipoise metric table", "version": 2}, table.to_dict() | {"extra": 1}):
        with pytest.raises(DataError):
            MetricTable.from_dict(damaged)


def test_interval_of_auc_covers_the_truth_in_simulation():
    # Scores of positives one standard deviation higher: the true area is 0.7602. Patients with two rows each.
    random = np.random.default_rng(1)
    covered = []
    for _ in range(150):
        labels = np.repeat((random.random(150) < 0.3).astype(float), 2)
        patient = np.repeat(random.normal(size=150), 2)
        values = (patient + random.normal(size=300)) / np.sqrt(2) + labels
        scores = Scores(
            labels=labels,
            values=values,
            kind="logits",
            ids=np.arange(300),
            role="test",
            classes=["a"],
            groups=np.repeat(np.arange(150), 2),
        )
        row = evaluate(scores, replicates=200).row("auc")
        covered.append(row.low <= 0.7602 <= row.high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_figures_that_are_asked_for_are_the_same_alone():
    scores = make()
    decisions = fixed_rule(scores, 0.4).apply(scores)
    averaged = evaluable_classes(measure(scores, decisions))
    whole = resample_figures(scores, decisions, averaged, Resampling(100))
    for metrics in (["macro_ap"], ["macro_f1"], ["micro_auc"], ["auc", "f1"]):
        some = resample_figures(scores, decisions, averaged, Resampling(100), metrics=metrics)
        for name in metrics:
            of = "overall" if "_" in name else "per_class"
            np.testing.assert_array_equal(getattr(some, of)[name], getattr(whole, of)[name])
    assert np.isnan(some.overall["micro_auc"]).all()


def test_many_negatives_between_and_tied_with_few_positives():
    # More entries than one bin of 16 bits holds: between two positives, and at the score of one.
    random = np.random.default_rng(0)
    labels, values = np.zeros(9000), np.concatenate([np.zeros(3000), random.random(6000)])
    labels[[0, 1, 5000, 8999]] = 1
    values[[5000, 8999]] = [0.001, 0.7]
    scores = Scores(
        labels=labels, values=values, kind="probabilities", ids=np.arange(9000), role="test", classes=["a"],
        groups=random.integers(0, 3, 9000),
    )  # fmt: skip
    drawn = resample_figures(scores, None, {"auc": np.ones(1, bool), "ap": np.ones(1, bool)}, Resampling(5))
    counts = np.concatenate(list(draw_counts(3, Resampling(5))), axis=1)
    for replicate in range(5):
        expected = measure(_repeated(scores, counts[:, replicate])).per_class
        for name in ("auc", "ap"):
            np.testing.assert_allclose(drawn.per_class[name][replicate], expected[name], rtol=1e-12)


def test_the_note_on_few_cases_counts_what_the_figure_rests_on():
    random = np.random.default_rng(0)
    labels = np.zeros(100)
    labels[:2] = 1.0
    scores = Scores(
        labels=labels, values=random.random(100), kind="probabilities", ids=[str(row) for row in range(100)],
        role="test", classes=["a"],
    )  # fmt: skip
    table = evaluate(scores, fixed_rule(scores, 0.5), replicates=200)
    for metric in ("specificity", "brier", "log_loss"):
        assert "rests on" not in table.row(metric, "a").note, metric
    for metric in ("recall", "auc", "f1"):
        assert "rests on 2 cases: fewer than 10" in table.row(metric, "a").note, metric
    labels[1] = 0.0
    alone = evaluate(dataclasses.replace(scores, labels=labels), replicates=200)
    assert "rests on 1 case: fewer than 10" in alone.row("auc", "a").note
