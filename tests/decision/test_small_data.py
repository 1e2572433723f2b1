"""Fitted thresholds never make small data worse: real tables of 13 to 559 positives, a fixed model, repeated folds."""

from __future__ import annotations

import numpy as np

from equipoise.decision import fit_decision
from equipoise.metrics import f1_score
from equipoise.scores import Scores

TABLES = (
    "abalone19", "cleveland-0_vs_4", "ecoli4", "haberman", "hypothyroid", "new_thyroid1", "page-blocks0",
    "winequality-red-4", "yeast4",
)  # fmt: skip


def _read(path):
    import polars as pl

    table = pl.read_csv(path, null_values=[""], infer_schema_length=None)
    labels = table["target"].to_numpy().astype(float)
    columns = []
    for name in table.columns:
        if name != "target":
            column = table[name]
            flags = column.dtype == pl.String
            columns.append((column.is_in(["t", "y", "M"]) if flags else column).cast(pl.Float64).to_numpy())
    return np.column_stack(columns), labels


def _fitted(labels, probabilities, method):
    scores = Scores(
        labels=labels, values=probabilities, kind="probabilities", ids=np.arange(len(labels)), role="validation",
        classes=["rare"],
    )  # fmt: skip
    return float(fit_decision(scores, "f1", method=method).thresholds[0])


def _judge(features, labels, seed):
    """Return the test F1 of each way over five folds."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    found = []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(features, labels):
        x, y = features[train], labels[train]
        inner, held = train_test_split(np.arange(len(y)), test_size=0.25, stratify=y, random_state=seed)
        held_out = model.fit(x[inner], y[inner]).predict_proba(x[held])[:, 1]
        tried = [f1_score(y[held], held_out >= one) for one in held_out]
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        crossed = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
        ways = {
            "half": 0.5,
            "one inner split": float(held_out[int(np.argmax(tried))]),
            "exact": _fitted(y, crossed, "exact"),
            "shrunk": _fitted(y, crossed, "shrunk"),
            "shrunk on the inner split": _fitted(y[held], held_out, "shrunk"),
        }
        judged = model.fit(x, y).predict_proba(features[test])[:, 1]
        found.append([f1_score(labels[test], judged >= cut) for cut in ways.values()])
    return dict(zip(ways, np.mean(found, axis=0).tolist(), strict=True))


def test_fitted_thresholds_are_on_average_no_worse_than_half_or_one_inner_split(shared_data):
    found = []
    for name in TABLES:
        features, labels = _read(shared_data(f"keel-imbalanced/{name}.csv"))
        found.append(_judge(features, labels, seed=0))
    mean = {way: float(np.mean([one[way] for one in found])) for way in found[0]}
    for way in ("exact", "shrunk", "shrunk on the inner split"):
        assert mean[way] > mean["half"] + 0.03, (way, mean)
        assert mean[way] > mean["one inner split"], (way, mean)
    worst = min(one["shrunk"] - max(one["half"], one["one inner split"]) for one in found)
    assert worst > -0.05, found
