"""A feature that knows the answer is named, and nothing else is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from equipoise._checks import ArgumentError
from equipoise.data import find_leaks, read_features
from equipoise.data.tabular import _leaks
from equipoise.data.tabular._leaks import forgotten_targets
from equipoise.labels.table import read_table


@pytest.fixture
def planted():
    rng = np.random.default_rng(0)
    n = 2000
    y = (rng.random(n) < 0.03).astype(float)
    slips = y.copy()
    slips[np.flatnonzero(y)[:1]] = 0
    cells = {
        "noise": rng.normal(size=n),
        "copy": y,
        "inverse": 1 - y,
        "slips": slips,
        "marker": y * 5 + rng.normal(size=n) * 0.5,
        "dose": np.where(y == 1, rng.normal(size=n), np.nan),
        "code": np.where(y == 1, 2.0, rng.choice([1.0, 3.0, 4.0], n)),
        "word": np.where(y == 1, rng.choice(["C1", "C2"], n), rng.choice(["A", "B", "D"], n)),
        "many": [f"w{i % 300}" for i in range(n)],
    }
    return read_features(pl.DataFrame(cells)), y[:, None]


def test_planted_leaks_are_found_and_named(planted):
    features, y = planted
    found = {leak.feature: leak.kind for leak in find_leaks(features, y, ["stroke"])}
    assert found == {
        "copy": "copy", "inverse": "copy", "slips": "near copy", "marker": "values", "dose": "missing",
        "code": "categories", "word": "categories",
    }  # fmt: skip
    first = find_leaks(features, y, ["stroke"])[0]
    assert first.sentence.startswith(
        'Probable leak: "copy" is an exact copy of "stroke" (AUC 1.000 on 2,000 training rows'
    )
    assert first.to_dict()["positives"] == int(y.sum())


def test_only_the_training_rows_are_looked_at(planted):
    features, y = planted
    shuffled = y.copy()
    rows = np.arange(1000)
    shuffled[1000:] = 1 - shuffled[1000:]
    assert find_leaks(features, y, ["s"], rows) == find_leaks(features, shuffled, ["s"], rows)


def test_few_positives_tell_nothing(planted):
    features, _ = planted
    y = np.zeros((2000, 1))
    y[:4] = 1
    assert not find_leaks(features, y, ["s"])


def test_many_small_categories_are_no_leak():
    rng = np.random.default_rng(1)
    n = 100_000
    y = np.zeros((n, 1))
    y[rng.choice(n, 100, replace=False)] = 1
    features = read_features(pl.DataFrame({"city": [f"c{i % 20_000}" for i in range(n)]}))
    assert features.names == ("city",)
    assert not find_leaks(features, y, ["s"])


def test_unknown_labels_are_left_out(planted):
    features, y = planted
    both = np.concatenate([y, y], axis=1)
    both[::2, 1] = np.nan
    found = find_leaks(features, both, ["a", "b"])
    assert {leak.feature for leak in found if leak.target == "b"} == {
        leak.feature for leak in found if leak.target == "a"
    }
    assert {leak.rows for leak in found if leak.target == "b"} <= set(range(1001))


def test_auc_is_that_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(_leaks, "LEAST_AUC", 0.0)
    rng = np.random.default_rng(2)
    x = rng.integers(0, 40, 300).astype(float)
    x[::7] = np.nan
    y = (rng.random((300, 2)) < 0.3).astype(float)
    features = read_features(pl.DataFrame({"x": x}))
    found = {leak.target: leak for leak in _leaks._number_leaks(features, y, ["a", "b"]) if leak.kind == "values"}
    known = ~np.isnan(x)
    for j, name in enumerate("ab"):
        auc = roc_auc_score(y[known, j], x[known])
        assert found[name].auc == pytest.approx(max(auc, 1 - auc), abs=1e-12)
        assert found[name].rows == known.sum()


def test_shapes_are_checked(planted):
    with pytest.raises(ArgumentError, match="must have shape"):
        find_leaks(planted[0], planted[1], ["a", "b"])


def test_no_features_no_leak():
    features = read_features(pl.DataFrame({"y": ["0", "1"]}), targets=["y"])
    assert find_leaks(features, np.array([[0.0], [1.0]]), ["y"]) == ()


def test_real_tables(shared_data):
    read = read_table(shared_data("keel-imbalanced") / "hypothyroid.csv")
    y = read["target"].cast(pl.Float64).to_numpy()[:, None]
    assert find_leaks(read_features(read, targets=["target"]), y, ["target"]) == ()
    # A classifier of these families was made from these very motifs, so that many are copies of one another.
    genbase = read_table(shared_data("mulan-multilabel") / "genbase.csv.gz")
    targets = [name for name in genbase.columns if name.startswith("y_")]
    labels = genbase.select(pl.col(targets).cast(pl.Float64)).to_numpy()
    found = find_leaks(read_features(genbase, targets=targets), labels, targets)
    assert ("PS00018", "y_PDOC00018", "copy") in {(leak.feature, leak.target, leak.kind) for leak in found}


def test_one_target_names_the_others_only_where_its_name_begins_as_those_of_targets_do():
    columns = ("age", "age_group", "Label_a", "Label_b", "labelled")
    table = pl.DataFrame({name: ["1", "2"] for name in columns})
    assert forgotten_targets(read_features(table, targets=["age_group"]), ["age_group"]) is None
    assert forgotten_targets(read_features(table, targets=["age"]), ["age"]) is None
    said = forgotten_targets(read_features(table, targets=["Label_a"]), ["Label_a"])
    assert said is not None
    assert said.startswith('Column "Label_b" is named like the target ("Label_…")')
