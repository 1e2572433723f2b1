"""The test role is judged beside rules that cost nothing, none of which looks at its labels."""

from __future__ import annotations

import numpy as np

from equipoise.decision import fixed_rule
from equipoise.evidence import MetricTable
from equipoise.scores import Scores
from equipoise.training import judge


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
