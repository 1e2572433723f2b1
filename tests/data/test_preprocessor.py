"""Filling, scaling and codes: fitted on the training rows, stored, applied to tables not seen before."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtri

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise.data import NUMERIC_METHODS, Preprocessor, fit_preprocessor, read_features
from equipoise.labels.table import read_table


def table(n: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    age = [f"{value:.2f}" if i % 9 else "NA" for i, value in enumerate(rng.normal(60, 12, n))]
    return pl.DataFrame({
        "age": age,
        "dose": [str(value) for value in rng.poisson(0.5, n)],
        "sex": [["F", "M"][i % 2] for i in range(n)],
        "stage": [["I", "II", "III", ""][i % 4] for i in range(n)],
        "site": ["rare" if i == 5 else "ABC"[i % 3] for i in range(n)],
    })  # fmt: skip


@pytest.mark.parametrize("method", NUMERIC_METHODS)
def test_arrays_names_and_state(method):
    features = read_features(table())
    fitted = fit_preprocessor(features, np.arange(40), numeric=method)
    arrays = fitted.apply(features)
    assert arrays.numeric.shape == (60, len(fitted.numeric_names))
    assert arrays.numeric.dtype == np.float32
    assert np.isfinite(arrays.numeric).all()
    assert (arrays.categorical < np.array(fitted.cardinalities)).all()
    again = Preprocessor.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again == fitted
    np.testing.assert_array_equal(again.apply(features).numeric, arrays.numeric)


def test_standard_scores_by_hand():
    cells = ["1", "3", "", "", "", "5", "7"]
    features = read_features(pl.DataFrame({"x": cells}))
    arrays = fit_preprocessor(features).apply(features)
    expected = (np.array([1, 3, 4, 4, 4, 5, 7]) - 4) / np.sqrt(5)  # mean 4, variance 5, median 4
    np.testing.assert_allclose(arrays.numeric[:, 0], expected, rtol=1e-6)
    assert arrays.numeric[:, 1].tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_bins_come_with_enough_rows():
    features = read_features(pl.DataFrame({"x": [str(i % 97) for i in range(1000)]}))
    assert fit_preprocessor(features, np.arange(799)).method == "standard"
    fitted = fit_preprocessor(features)
    assert fitted.numeric_names == ("x", *(f"x bin {b}" for b in range(1, 9)))
    np.testing.assert_allclose(fitted.apply(features).numeric.mean(0), 0, atol=1e-6)


def test_quantile_scores_by_hand():
    features = read_features(pl.DataFrame({"x": ["1", "2", "2", "30"]}))
    arrays = fit_preprocessor(features, numeric="quantile_normal").apply(features)
    np.testing.assert_allclose(arrays.numeric[:, 0], ndtri([0.125, 0.5, 0.5, 0.875]), rtol=1e-6)


def test_rare_unknown_and_missing_words():
    features = read_features(table())
    fitted = fit_preprocessor(features)
    site = fitted.categories[1]
    assert (site.name, site.levels, site.folded, site.cardinality) == ("site", ("A", "B", "C"), 1, 4)
    assert "words too rare" in fitted.notes()[0]
    new = pl.DataFrame(
        {"age": ["50", "?"], "dose": ["", "1"], "sex": ["X", "F"], "stage": ["IV", ""], "site": ["A", "Z"]}
    )
    arrays = fitted.apply(fitted.read(new))
    assert arrays.categorical.tolist() == [[0, 1], [4, 0]]
    assert arrays.unknown == {"sex": 1, "stage": 1, "site": 1}
    assert arrays.filled == {"dose": 1, "sex": 1}
    assert len(arrays.notes()) == 5


def test_a_new_table_is_read_as_the_old_one_was():
    features = read_features(table(), numeric=["dose"], categories=[], missing=["-9"])
    fitted = fit_preprocessor(features)
    new = table().select("site", "stage", "sex", "dose", "age", pl.lit("x").alias("more")).head(1)
    again = fitted.apply(fitted.read(new))
    np.testing.assert_array_equal(again.numeric, fitted.apply(features).numeric[:1])
    assert np.isnan(fitted.read(new.with_columns(pl.lit("-9").alias("age"))).numeric[0, 0])


def test_numbers_as_words_survive_a_change_of_type():
    codes = [str(i % 5) for i in range(50)]
    fitted = fit_preprocessor(read_features(pl.DataFrame({"code": codes}), categories=["code"]))
    typed = fitted.apply(fitted.read(pl.DataFrame({"code": [0.0, 4.0]})))
    words = fitted.apply(fitted.read(pl.DataFrame({"code": ["0.0", "4.0"]})))
    assert typed.categorical.tolist() == words.categorical.tolist() == [[1], [5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename({"age": "Age "}), 'new.csv has no column "age", which the model was trained on.'),
        (lambda t: t.with_columns(pl.lit("old").alias("dose")), 'row 1, column "dose": "old" (and 59 more) is'),
        (lambda t: t.with_columns(pl.lit("inf").alias("dose")), 'new.csv row 1, column "dose": inf is infinite'),
    ],
)  # fmt: skip
def test_new_tables_that_cannot_be_right(change, message):
    fitted = fit_preprocessor(read_features(table()))
    with pytest.raises(DataError) as error:
        fitted.read(change(table()), source="new.csv")
    assert message in str(error.value)


def test_features_typed_otherwise_are_refused():
    fitted = fit_preprocessor(read_features(table()))
    with pytest.raises(DataError, match='column "dose" was numeric in training and is not now'):
        fitted.apply(read_features(table(), categories=["dose"]))


def test_columns_that_say_nothing_in_the_training_rows():
    cells = pl.DataFrame(
        {"x": ["1"] * 10 + ["2"], "z": [""] * 10 + ["5"], "w": [*"aaaaaaaaaa", "b"], "v": [*"abababab", "", "a", "c"]}
    )
    fitted = fit_preprocessor(read_features(cells), np.arange(10))
    assert [name for name, _ in fitted.dropped] == ["z", "x", "w"]
    assert fitted.apply(fitted.read(pl.DataFrame({"v": ["a"]}))).numeric.shape == (1, 0)


def test_nothing_to_use_and_nothing_to_fit_on():
    nothing = read_features(pl.DataFrame({"y": ["0", "1"]}), targets=["y"])
    arrays = fit_preprocessor(nothing).apply(nothing)
    assert (arrays.numeric.shape, arrays.categorical.shape) == ((2, 0), (2, 0))
    with pytest.raises(ArgumentError, match="no training row"):
        fit_preprocessor(nothing, np.array([], dtype=np.int64))
    with pytest.raises(ArgumentError, match='Did you mean "standard"'):
        fit_preprocessor(nothing, numeric="standrd")


def test_gaps_shared_by_columns_are_told_once():
    gap = [i % 5 == 0 for i in range(50)]
    cells = {name: ["" if g else str(i * k) for i, g in enumerate(gap)] for name, k in (("a", 1), ("b", 2))}
    fitted = fit_preprocessor(read_features(pl.DataFrame(cells), numeric=["a", "b"]))
    assert fitted.numeric_names == ("a", "b", "a is missing")


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("method"), lambda d: d.update(extra=1), lambda d: d.update(version=99),
        lambda d: d.update(method="magic"), lambda d: d["numeric"][0].pop("fill"),
        lambda d: d["columns"].append({"x": 1}),
        lambda d: d.update(numeric=3),
    ],
)  # fmt: skip
def test_damaged_state_is_refused(damage):
    state = json.loads(json.dumps(fit_preprocessor(read_features(table())).to_dict()))
    damage(state)
    with pytest.raises(RunError):
        Preprocessor.from_dict(state)


def test_real_tables_have_no_gap_left(shared_data):
    for name in ("hypothyroid.csv", "cleveland-0_vs_4.csv", "abalone19.csv"):
        read = read_table(shared_data("keel-imbalanced") / name)
        features = read_features(read, targets=["target"])
        for method in NUMERIC_METHODS:
            arrays = fit_preprocessor(features, np.arange(len(features) // 2), numeric=method).apply(features)
            assert np.isfinite(arrays.numeric).all()


def test_medical_words(shared_data):
    read = read_table(shared_data("mulan-multilabel") / "medical.csv.gz")
    features = read_features(read, targets=[name for name in read.columns if name.startswith("y_")])
    fitted = fit_preprocessor(features, numeric="standard")
    assert fitted.apply(features).numeric.shape == (978, 1449 - len(fitted.dropped) - len(features.notes()))


def test_knots_that_differ_by_a_denormal_number_give_finite_scores():
    table = pl.DataFrame({"n0": ["", "0.0", "2.2250738585e-313"]})
    features = read_features(table)
    arrays = fit_preprocessor(features, numeric="quantile_normal", min_count=1).apply(features)
    assert np.isfinite(arrays.numeric).all()
    assert abs(arrays.numeric[:, 0]).max() < 1
