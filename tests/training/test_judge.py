"""The test role is judged beside rules that cost nothing, none of which looks at its labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from equipoise.decision import fit_decision, fixed_rule, read_rule
from equipoise.evidence import MetricTable
from equipoise.recipe import make_recipe
from equipoise.scores import Scores, read_scores
from equipoise.training import judge, predict, train


def test_always_the_commonest_is_the_class_that_was_commonest_where_it_was_learned() -> None:
    labels = np.array([0.0] * 3 + [1.0] * 7)
    scores = Scores(
        labels=labels, values=np.eye(2)[labels.astype(int)], kind="logits", ids=np.arange(10), role="test",
        classes=["a", "b"], task="multiclass",
    )  # fmt: skip
    found = judge(scores, fixed_rule(scores, None), commonest=0)
    assert MetricTable.from_dict(found["never"]).value("accuracy") == 0.3
    assert MetricTable.from_dict(found["rule"]).value("accuracy") == 1.0
    assert "half" not in found


def test_always_no_and_the_cut_at_half_stand_beside_a_rule_with_thresholds() -> None:
    labels = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    scores = Scores(
        labels=labels, values=[0.1, 0.2, 0.3, 0.4, 0.6], kind="probabilities", ids=np.arange(5), role="test",
        classes=["ill"],
    )  # fmt: skip
    found = {name: MetricTable.from_dict(table) for name, table in judge(scores, fixed_rule(scores, 0.35)).items()}
    recalls = {name: table.value("recall", "ill") for name, table in found.items()}
    assert recalls == {"rule": 1.0, "half": 0.5, "never": 0.0}


def test_a_run_is_calibrated_when_the_recipe_says_so(tmp_path: Path) -> None:
    made = np.random.default_rng(0)
    x = made.normal(size=(600, 3))
    ill = made.random(600) < 1 / (1 + np.exp(2.0 - 1.5 * x[:, 0]))
    pl.DataFrame({f"x{i}": x[:, i] for i in range(3)} | {"ill": ill.astype(int)}).write_csv(tmp_path / "table.csv")
    small = ["training.members=1", "training.epochs=3", "model.name=linear", "data.groups=none"]
    recipe = make_recipe(tmp_path / "table.csv", ["ill"], overrides=[*small, "decision.calibration=temperature"])
    run = train(recipe, out=tmp_path / "run")
    rule, validation = read_rule(run.file("decision.json")), read_scores(run.scores_file("validation"))
    assert rule.calibration is not None
    assert rule.calibration.method == "temperature"
    again = fit_decision(validation, method="shrunk", calibrate="temperature", empty="never")
    np.testing.assert_allclose(rule.thresholds, again.thresholds)
    temperature = 1 / rule.calibration.slopes[0, 0]
    raw = read_scores(run.scores_file("test"))
    of_test = np.isin(np.arange(600).astype(str), raw.ids.astype(str))
    calibrated = predict(run, tmp_path / "table.csv").probabilities.ravel()[of_test]
    np.testing.assert_allclose(np.sort(calibrated), np.sort(1 / (1 + np.exp(-raw.values / temperature))), atol=1e-5)


def test_the_cut_at_half_is_of_the_calibrated_probabilities() -> None:
    made = np.random.default_rng(0)
    odds = made.normal(size=4000)
    labels = (made.random(4000) < 1 / (1 + np.exp(-odds))).astype(float)
    common = {"kind": "logits", "classes": ["ill"]}
    validation = Scores(labels=labels[:2000], values=odds[:2000] + 2, ids=np.arange(2000), role="validation", **common)
    test = Scores(labels=labels[2000:], values=odds[2000:] + 2, ids=np.arange(2000, 4000), role="test", **common)
    rule = fit_decision(validation, calibrate="platt")
    half = MetricTable.from_dict(judge(test, rule)["half"])
    assert half.value("log_loss", "ill") == MetricTable.from_dict(judge(test, rule)["rule"]).value("log_loss", "ill")
    assert (
        abs(half.value("recall", "ill") - ((odds[2000:] > 0) & (labels[2000:] == 1)).sum() / labels[2000:].sum()) < 0.1
    )
