"""`evaluate_by`: the order of subgroups, all rows beside them, and one sentence on what is too small."""

from __future__ import annotations

import numpy as np

from equipoise.evidence import evaluate_by
from equipoise.scores import Scores


def make(rows=120):
    random = np.random.default_rng(0)
    labels = (random.random((rows, 2)) < 0.5).astype(float)
    return Scores(
        labels=labels, values=random.normal(size=(rows, 2)) + labels, kind="logits", ids=np.arange(rows), role="test",
        classes=["Mass", "Hernia"],
    )  # fmt: skip


def test_numbers_stand_by_size_then_words_then_unknown():
    names = ["10", "9", "", "old", "1.5"] * 24
    found = evaluate_by(make(), names, replicates=0)
    assert list(found.tables) == ["1.5", "9", "10", "old", "(unknown)"]
    assert found.whole is not None
    assert found.whole.cases == 120
    assert list(found.to_dict()["subgroups"]) == list(found.tables)


def test_small_subgroups_are_named_in_one_sentence():
    names = ["young" if row < 12 else "old" if row < 24 else "rest" for row in range(120)]
    found = evaluate_by(make(), names, by="age", replicates=0)
    (note,) = found.notes
    assert 'Mass in "old", "young"; Hernia in "old", "young"' in note
    text = str(found)
    assert text.splitlines()[0] == "age: 3 subgroups."
    assert "  young, 12 rows: macro_auc 0." in text
    assert "  all, 120 rows: macro_auc 0." in text


def test_where_nothing_can_be_judged_nothing_is_said_of_intervals():
    scores = make()
    scores = Scores(
        labels=np.where(np.arange(120)[:, None] < 40, 0.0, scores.labels), values=scores.values, kind="logits",
        ids=scores.ids, role="test", classes=scores.classes,
    )  # fmt: skip
    assert evaluate_by(scores, ["none"] * 40 + ["some"] * 80, replicates=0).notes == ()
