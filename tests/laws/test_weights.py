"""Laws that every weighting scheme keeps, over all of `SCHEMES`: a new scheme is held to them by being in the list."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.balance import SCHEMES, ClassWeights, class_weights
from equipoise.labels import Census

NEEDED = {"power": {"power": 0.7}}
TASKS = ("multilabel", "multiclass")

brief = settings(deadline=None, max_examples=25)


def drawn_census(data: st.DataObject, task: str) -> Census:
    """Classes of one table without unknowns: every class has positives and negatives."""
    counts = data.draw(st.lists(st.integers(1, 10**7), min_size=2, max_size=8))
    names = [f"class {number}" for number in range(len(counts))]
    if task == "multiclass":
        return Census.from_counts(dict(zip(names, counts, strict=True)), task=task)
    rows = max(counts) + data.draw(st.integers(1, 10**7))
    return Census.from_counts({name: (n, rows - n) for name, n in zip(names, counts, strict=True)}, task=task)


def rebuilt(census: Census, order: list[int], times: int = 1) -> Census:
    names = [census.classes[place] for place in order]
    if census.task == "multiclass":
        return Census.from_counts({n: times * int(census.positives[p]) for n, p in zip(names, order, strict=True)})
    pairs = {
        n: (times * int(census.positives[p]), times * int(census.negatives[p]))
        for n, p in zip(names, order, strict=True)
    }
    return Census.from_counts(pairs, task=census.task)


def weigh(census: Census, scheme: str, **given_: object) -> ClassWeights:
    return class_weights(census, scheme, **NEEDED.get(scheme, {}), **given_)


each_scheme = pytest.mark.parametrize("scheme", SCHEMES)
each_task = pytest.mark.parametrize("task", TASKS)


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_permuting_classes_permutes_weights(scheme, task, data):
    census = drawn_census(data, task)
    order = data.draw(st.permutations(range(len(census.classes))))
    expected = weigh(census, scheme).values[order]
    np.testing.assert_allclose(weigh(rebuilt(census, order), scheme).values, expected, rtol=1e-12)


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_writing_the_table_several_times_changes_nothing(scheme, task, data):
    """Only `effective_number` and `smoothed` look at absolute counts, and say so."""
    census = drawn_census(data, task)
    times = data.draw(st.integers(2, 9))
    again = weigh(rebuilt(census, list(range(len(census.classes))), times), scheme).values
    if SCHEMES[scheme].homogeneous:
        np.testing.assert_allclose(again, weigh(census, scheme).values, rtol=1e-12)
    else:  # more of everything: smoothing matters less, and every class is covered more fully
        limit = weigh(census, {"smoothed": "inverse", "effective_number": "none"}[scheme]).values
        once = weigh(census, scheme).values
        assert np.all(np.abs(np.log(again / limit)) <= np.abs(np.log(once / limit)) + 1e-9)


def test_the_schemes_that_look_at_absolute_counts():
    assert {name for name, scheme in SCHEMES.items() if not scheme.homogeneous} == {"effective_number", "smoothed"}


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_rarer_never_weighs_less(scheme, task, data):
    census = drawn_census(data, task)
    order = np.argsort(census.positives)
    values = weigh(census, scheme).values[order]
    assert np.all(values[:-1] >= values[1:] * (1 - 1e-12))


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_floor_and_cap_hold(scheme, task, data):
    census = drawn_census(data, task)
    floor = data.draw(st.floats(0.01, 10.0))
    cap = floor + data.draw(st.floats(0.0, 10.0))
    values = weigh(census, scheme, floor=floor, cap=cap, multiplier=data.draw(st.floats(0.1, 10.0))).values
    assert np.all((values >= floor) & (values <= cap))


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_normalising_keeps_ratios(scheme, task, data):
    census = drawn_census(data, task)
    plain = weigh(census, scheme).values
    for normalise, total in (("sum", 1.0), ("mean", len(plain))):
        scaled = weigh(census, scheme, normalise=normalise).values
        assert scaled.sum() == pytest.approx(total)
        np.testing.assert_allclose(scaled / scaled[0], plain / plain[0], rtol=1e-12)


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_multiplier_multiplies(scheme, task, data):
    census = drawn_census(data, task)
    factor = data.draw(st.floats(0.01, 100.0))
    np.testing.assert_allclose(
        weigh(census, scheme, multiplier=factor).values, factor * weigh(census, scheme).values, rtol=1e-12
    )


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_weights_by_hand_do_not_move_the_others(scheme, task, data):
    census = drawn_census(data, task)
    by_hand = weigh(census, scheme, values={census.classes[0]: 7.0}).values
    assert by_hand[0] == 7.0
    np.testing.assert_array_equal(by_hand[1:], weigh(census, scheme).values[1:])


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_equal_classes_weigh_the_same(scheme, task, data):
    count = data.draw(st.integers(1, 10**6))
    classes = data.draw(st.integers(2, 6))
    counts = {f"class {n}": count if task == "multiclass" else (count, count) for n in range(classes)}
    values = weigh(Census.from_counts(counts, task=task), scheme).values
    np.testing.assert_allclose(values, values[0], rtol=1e-12)


@each_scheme
@each_task
@brief
@given(data=st.data())
def test_round_trip_through_json(scheme, task, data):
    weights = weigh(drawn_census(data, task), scheme, cap=data.draw(st.floats(1.0, 100.0)))
    again = ClassWeights.from_dict(json.loads(json.dumps(weights.to_dict(), allow_nan=False)))
    assert again == weights
    np.testing.assert_array_equal(again.values, weights.values)


@each_task
@brief
@given(data=st.data())
def test_schemes_stand_in_the_order_of_their_strength(task, data):
    census = drawn_census(data, task)
    by = {name: np.log(weigh(census, name).values) for name in ("none", "fourth_root", "sqrt", "inverse")}
    sign = np.sign(by["inverse"])
    strengths = np.array([by[name] * sign for name in ("none", "fourth_root", "sqrt", "inverse")])
    assert np.all(np.diff(strengths, axis=0) >= -1e-12)
    np.testing.assert_allclose(weigh(census, "aggressive").values, 3 * weigh(census, "inverse").values, rtol=1e-12)
    np.testing.assert_allclose(weigh(census, "very_aggressive").values, 5 * weigh(census, "inverse").values, rtol=1e-12)
