"""Laws that hold for every way of preparing a table, over tables made at random."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.data import NUMERIC_METHODS, Features, Preprocessor, fit_preprocessor, read_features

numbers = st.one_of(
    st.sampled_from(["", "NA", "?"]),
    st.floats(-1e30, 1e30, allow_nan=False).map(repr),
    st.integers(-5, 5).map(str),
)
words = st.sampled_from(["", "a", "b", "c", "d e", "é", "null"])


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(2, 30))
    columns = {f"n{j}": st.lists(numbers, min_size=rows, max_size=rows) for j in range(draw(st.integers(0, 3)))}
    columns |= {f"w{j}": st.lists(words, min_size=rows, max_size=rows) for j in range(draw(st.integers(0, 3)))}
    return pl.DataFrame({name: draw(cells) for name, cells in columns.items()} or {"y": ["0"] * rows})


def read(table: pl.DataFrame) -> Features:
    return read_features(table, targets=["y"] if "y" in table.columns else [])


@pytest.mark.parametrize("method", NUMERIC_METHODS)
@given(table=tables())
@settings(max_examples=40, deadline=None)
def test_no_gap_is_left_and_the_state_returns(method, table):
    features = read(table)
    fitted = fit_preprocessor(features, numeric=method, min_count=1)
    arrays = fitted.apply(features)
    assert np.isfinite(arrays.numeric).all()
    assert (arrays.categorical >= 0).all()
    assert (arrays.categorical < np.array(fitted.cardinalities)).all()
    assert not arrays.unknown
    again = Preprocessor.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    from_file = again.apply(again.read(table))
    np.testing.assert_array_equal(from_file.numeric, arrays.numeric)
    np.testing.assert_array_equal(from_file.categorical, arrays.categorical)


@pytest.mark.parametrize("method", NUMERIC_METHODS)
@given(table=tables(), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_permuting_rows_permutes_rows(method, table, seed):
    features = read(table)
    order = np.random.default_rng(seed).permutation(len(features))
    fitted = fit_preprocessor(features, numeric=method)
    shuffled = fit_preprocessor(features.select(order), numeric=method)
    np.testing.assert_allclose(
        shuffled.apply(features.select(order)).numeric, fitted.apply(features).numeric[order], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(
        fitted.apply(features.select(order)).categorical, fitted.apply(features).categorical[order]
    )


@pytest.mark.parametrize("method", NUMERIC_METHODS)
@given(table=tables(), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_permuting_columns_permutes_columns(method, table, seed):
    names = list(np.random.default_rng(seed).permutation(table.columns))
    first, second = (fit_preprocessor(read(t), numeric=method) for t in (table, table.select(names)))
    a, b = first.apply(read(table)), second.apply(read(table.select(names)))
    values = {name: a.numeric[:, j] for j, name in enumerate(first.numeric_names)}
    for j, name in enumerate(second.numeric_names):
        if not name.endswith(" is missing"):  # equal gaps are told under the name of the first column
            np.testing.assert_array_equal(b.numeric[:, j], values[name])
    codes = {step.name: a.categorical[:, j] for j, step in enumerate(first.categories)}
    for j, step in enumerate(second.categories):
        np.testing.assert_array_equal(b.categorical[:, j], codes[step.name])


@pytest.mark.parametrize("method", NUMERIC_METHODS)
@given(table=tables(), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_other_rows_teach_nothing(method, table, seed):
    features = read(table)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(features))[: len(features) // 2])
    numeric, codes = features.numeric.copy(), features.codes.copy()
    others = np.setdiff1d(np.arange(len(features)), rows)
    numeric[others] = rng.normal(size=(len(others), numeric.shape[1]))
    codes[others] = -1
    changed = Features(
        features.columns, features.numeric_names, numeric, features.category_names, codes, features.levels
    )
    assert fit_preprocessor(features, rows, numeric=method) == fit_preprocessor(changed, rows, numeric=method)
