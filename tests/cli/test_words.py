"""Words that a newcomer stumbled over: what a column holds, what a message suggests."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.decision import fit_decision
from equipoise.decision._words import figure_word
from equipoise.evidence import compare, evaluate
from equipoise.scores import Scores, read_scores


def made(seed=0, role="validation"):
    rng = np.random.default_rng(seed)
    truth = (np.arange(300) % 5 == 0).astype(float)
    values = 1 / (1 + np.exp(-(2 * truth - 1.5 + rng.normal(size=300))))
    return Scores(
        labels=truth, values=values, kind="probabilities", ids=range(300), role=role, classes=["Mass"]
    )  # fmt: skip


def test_a_wanted_recall_reports_the_precision_and_calls_it_so():
    rule = fit_decision(made(), "recall>=0.9")
    assert "precision is" in str(rule)
    assert "recall>=0.9 is" not in str(rule)
    assert figure_word("precision>=0.5") == "recall"


def test_a_table_without_a_rule_says_so_and_lists_what_it_has():
    with pytest.raises(ArgumentError, match=r"it has .*auc.*needs a rule"):
        evaluate(made(role="test"), replicates=0).row("recall")


def test_one_class_has_no_average_and_a_clear_difference_no_power_sentence():
    good, noise = made(role="test"), made(1, role="test")
    noise = noise.with_values(np.random.default_rng(3).uniform(size=300))
    found = compare(good, noise, "macro_ap", replicates=100)
    assert "changes AP by" in found.sentence
    assert found.low > 0
    assert found.needed_sentence == ""


def test_no_label_is_suggested_as_the_positive_one(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("outcome,risk\nhealthy,0.1\nill,0.9\n")
    with pytest.raises(DataError, match="healthy or ill"):
        read_scores(
            path, labels="outcome", values="risk", kind="probabilities", role="test", ids="none", groups="none"
        )  # fmt: skip


def test_grades_by_number_are_told_the_names_to_give(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("grade,prob0,prob1\n0,0.4,0.6\n1,0.5,0.5\n")
    with pytest.raises(DataError, match="--classes 0,1"):
        read_scores(
            path, labels="grade", values=["prob0", "prob1"], kind="probabilities", role="test", ids="none",
            groups="none", task="ordinal",
        )  # fmt: skip
