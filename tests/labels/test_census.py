from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise._checks import ArgumentError, DataError
from equipoise.labels import Census, Labels, count_file, count_labels, read_labels
from equipoise.labels import census as census_module
from equipoise.labels._groups import GroupTally, hash_texts

# beartype, which checks the annotations at run time, draws from `random` when a record is built inside a strategy.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
TASKS = ("binary", "multiclass", "ordinal", "multilabel")


@st.composite
def labels(draw, classes: int | None = None, task: str | None = None, grouped: bool | None = None) -> Labels:
    task = draw(st.sampled_from(TASKS)) if task is None else task
    count = 1 if task == "binary" else (draw(st.integers(1, 70)) if classes is None else classes)
    rows = draw(st.integers(0, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (rows, count) if task == "multilabel" else (rows,)
    top = count if task in ("multiclass", "ordinal") else 2
    values = rng.integers(0, top, shape).astype(np.float32)
    values[rng.random(shape) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    grouped = draw(st.booleans()) if grouped is None else grouped
    groups = np.array([f"p{n}" for n in rng.integers(0, 8, rows)], dtype=object) if grouped else None
    return Labels(task, tuple(f"c{n}" for n in range(count)), values, np.arange(rows), groups)


@given(labels(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_changes_nothing(found, random):
    order = list(range(len(found)))
    random.shuffle(order)
    assert count_labels(found.select(np.array(order, int))) == count_labels(found)


@given(labels(), st.integers(0, 25))
@settings(max_examples=100, deadline=None)
def test_a_sum_equals_counting_both_at_once(found, cut):
    first, second = found.select(slice(0, cut)), found.select(slice(cut, None))
    assert count_labels(first) + count_labels(second) == count_labels(found)


@given(labels())
@settings(max_examples=40, deadline=None)
def test_duplicated_rows_count_twice_but_their_groups_once(found):
    once, twice = count_labels(found), count_labels(found.select(np.tile(np.arange(len(found)), 2)))
    assert twice.positives.tolist() == (2 * once.positives).tolist()
    assert twice.rows == 2 * once.rows
    assert twice.groups == once.groups
    assert once + once == twice


@given(labels())
@settings(max_examples=60, deadline=None)
def test_json_round_trip(found):
    census = count_labels(found)
    again = Census.from_dict(json.loads(json.dumps(census.to_dict(), allow_nan=False)))
    assert again == census
    assert again.to_dict() == census.to_dict()


@given(labels(task="multilabel", classes=5), st.permutations(range(5)))
@settings(max_examples=40, deadline=None)
def test_permuting_classes_permutes_counts(found, order):
    moved = Labels(found.task, tuple(found.classes[n] for n in order), found.values[:, order], found.ids, found.groups)
    one, other = count_labels(found), count_labels(moved)
    assert other.positives.tolist() == one.positives[order].tolist()
    assert other.cooccurrence.tolist() == one.cooccurrence[np.ix_(order, order)].tolist()
    assert {frozenset(k): v for k, v in other.combinations.items()} == {
        frozenset(k): v for k, v in one.combinations.items()
    }
    if one.groups is not None:
        assert other.groups_per_class.tolist() == one.groups_per_class[order].tolist()


@given(labels(task="multilabel", classes=3))
@settings(max_examples=60, deadline=None)
def test_counts_agree_with_counting_one_by_one(found):
    census = count_labels(found)
    table = found.values
    for c in range(3):
        column = table[:, c]
        assert census.positives[c] == (column == 1).sum()
        assert census.negatives[c] == (column == 0).sum()
        assert census.unknowns[c] == np.isnan(column).sum()
        if found.groups is not None:
            assert census.groups_per_class[c] == len(set(found.groups[column == 1].tolist()))
    whole = Counter(tuple(f"c{c}" for c in range(3) if row[c] == 1) for row in table if not np.isnan(row).any())
    part = Counter(tuple(f"c{c}" for c in range(3) if row[c] == 1) for row in table if np.isnan(row).any())
    assert (census.combinations, census.partial_combinations) == (whole, part)


def test_streaming_a_file_in_many_batches_equals_counting_its_labels(tmp_path):
    rng, rows = np.random.default_rng(0), 150_000
    found, cells = rng.random((rows, 3)) < 0.3, rng.choice(["0", "1", ""], (rows, 2), p=[0.8, 0.1, 0.1]).tolist()
    grades, patients = rng.integers(0, 5, rows).tolist(), rng.integers(0, 20_000, rows).tolist()
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wt", compresslevel=1, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "joined", "a", "b", "grade", "patient"])
        for row, there in enumerate(found.tolist()):
            joined = "|".join(itertools.compress(("Mass", "Edema", f"F{row % 70}"), there)) or "No Finding"
            writer.writerow([f"r{row}", joined, *cells[row], grades[row], f"p{patients[row]:06d}"])
    for columns, separator in (("joined", "|"), (["a", "b"], None), ("grade", None)):
        for unknown in ("unknown", "drop"):
            kept = dict(separator=separator, groups="patient", unknown=unknown)
            assert count_file(path, columns, ids="id", **kept) == count_labels(read_labels(path, columns, **kept))


def test_groups_are_counted_in_constant_memory_across_merges():
    tally = GroupTally()
    for start in range(0, 3_000_000, 250_000):
        names = np.arange(start, start + 500_000) % 1_000_000
        tally.add(hash_texts(names[:1000]), np.full((1000, 1), 1, np.uint64))
    sets = tally.sets(1)
    assert len(sets) == 4_000
    assert sets.per_class().tolist() == [4_000]


def test_integer_and_text_groups_are_the_same_groups():
    assert hash_texts(np.array([12, -3])).tolist() == hash_texts(["12", "-3"]).tolist()
    many = [f"group {n} {'x' * (n % 90)}" for n in range(5_000)]
    hashes = hash_texts(many)
    assert len(set(hashes.tolist())) == 5_000
    assert hashes[3:5].tolist() == hash_texts(many[3:5]).tolist()  # no hash depends on its neighbours
    assert hash_texts(["", "a", "a\0"]).tolist() == [hash_texts([text])[0] for text in ("", "a", "a\0")]
    assert len(set(hash_texts(["", "a", "a\0", "\0a"]).tolist())) == 4


def test_the_hash_of_a_group_never_changes():
    # Stored censuses are merged with later ones, so these numbers are part of the file format.
    assert hash_texts(["patient-1", "12"]).tolist() == [12137157829844970917, 12407383930166438550]


def test_nih_figures(shared_data):
    path = shared_data("nih-chestxray14-labels") / "Data_Entry_2017_v2020.csv.gz"
    census = count_file(path, "Finding Labels", separator="|", groups="Patient ID")
    counts = dict(zip(census.classes, census.positives.tolist(), strict=True))
    assert len(counts) == 14
    assert (counts["Hernia"], counts["Infiltration"]) == (227, 19_894)
    assert (census.rows, census.groups) == (112_120, 30_805)
    assert len([names for names in census.combinations if names]) == 800
    assert census.combinations[()] == 60_361
    assert census.groups_per_class[census.classes.index("Hernia")] == 134
    text = str(census)
    assert "Rarest: Hernia, 227 of 112,120 in 134 groups (0.202 %): 493 negatives to one positive" in text
    assert "99.79 % accurate" in text
    assert Census.from_dict(json.loads(json.dumps(census.to_dict()))) == census


def test_pixels_of_masks():
    census = Census.from_counts({"foreground": 941_694_609, "background": 680_714_607}, unit="pixels")
    assert census.rows == 1_622_409_216
    np.testing.assert_allclose(1.0 / census.prevalence, [1.7229, 2.3834], atol=1e-4)
    pair = Census.from_counts({"Hernia": (111, 28_042)}, task="multilabel")
    np.testing.assert_allclose(pair.imbalance_ratio, [252.6], atol=0.05)
    assert (pair + pair).positives.tolist() == [222]


@pytest.mark.parametrize(
    ("counts", "task"),
    [({}, "multiclass"), ({"a": -1}, "multiclass"), ({"a": 1.5}, "multiclass"), ({"a": 1}, "binary")],
)
def test_impossible_counts(counts, task):
    with pytest.raises(ArgumentError, match="`counts` of from_counts"):
        Census.from_counts(counts, task=task)


def test_an_empty_class_names_the_three_ways_out():
    census = Census.from_counts({"Hernia": (0, 10), "Mass": (3, 7)}, task="multilabel", source="labels.csv")
    with pytest.raises(DataError) as error:
        census.require_positives("class_weights")
    assert str(error.value) == (
        'labels.csv: the class "Hernia" has no positive among 10 rows, so class_weights would divide by zero. Drop the '
        "class, add data that has it, or give its weight by hand."
    )
    assert "No positive at all: Hernia" in str(census)
    Census.from_counts({"Mass": (3, 7)}, task="multilabel").require_positives()


def test_a_class_in_one_group_is_said():
    found = Labels("binary", ("x",), np.array([1, 1, 0], np.float32), np.arange(3), np.array([4, 4, 5]))
    assert "All positives of x are in one group" in str(count_labels(found))


def test_only_like_censuses_add():
    one = Census.from_counts({"a": 1, "b": 2})
    for other, what in (
        (Census.from_counts({"a": 1, "c": 2}), "classes"),
        (Census.from_counts({"a": 1, "b": 2}, task="ordinal"), "task"),
        (Census.from_counts({"a": 1, "b": 2}, unit="pixels"), "unit"),
    ):
        with pytest.raises(ArgumentError, match=f"when their {what} is the same"):
            one + other
    found = Labels("binary", ("x",), np.array([1.0], np.float32), np.arange(1))
    grouped = Labels("binary", ("x",), np.array([1.0], np.float32), np.arange(1), np.arange(1))
    with pytest.raises(ArgumentError, match="Only one of the two censuses counts groups"):
        count_labels(found) + count_labels(grouped)


def test_combinations_beyond_the_limit_are_dropped_the_same_way_however_counted(monkeypatch):
    monkeypatch.setattr(census_module, "MAX_COMBINATIONS", 3)
    monkeypatch.setattr("equipoise.labels._tally.MAX_COMBINATIONS", 3)
    table = np.array([[0, 0], [0, 1], [1, 0], [1, np.nan]], np.float32)
    found = Labels("multilabel", ("a", "b"), table, np.arange(4))
    whole = count_labels(found)
    assert whole.combinations is None
    assert count_labels(found.select(slice(0, 2))).combinations is not None
    assert count_labels(found.select(slice(0, 2))) + count_labels(found.select(slice(2, 4))) == whole
    assert Census.from_dict(whole.to_dict()) == whole


def test_hostile_json():
    good = count_labels(
        Labels("multilabel", ("a", "b"), np.array([[1, 0], [1, 1]], np.float32), np.arange(2), np.array([1, 2]))
    ).to_dict()
    assert Census.from_dict(good)
    changes = [
        ("version", None), ("version", True), ("version", 2), ("task", "x"), ("task", ["binary"]), ("unit", {}),
        ("rows", -1), ("rows", 1.0), ("rows", 2**70), ("classes", ["a", "a"]), ("classes", "ab"), ("classes", []),
        ("positives", [1]), ("positives", [2.0, 1]), ("positives", [True, 1]), ("positives", [-2, 1]),
        ("positives", None),
        ("negatives", [5, 5]), ("unknowns", [[0, 0]]), ("combinations", [[[0], 1]]), ("combinations", [[[1, 0], 2]]),
        ("combinations", [[[7], 2]]), ("combinations", {"a": 1}), ("combinations", [[[0], 1], [[0], 1]]),
        ("cooccurrence", [[2, 1]]), ("cooccurrence", [[2, 1], [0, 1]]), ("cooccurrence", [[9, 1], [1, 1]]),
        ("group_sets", {}), ("group_sets", []), ("notes", 3),
        ("group_sets", good["group_sets"] | {"count": 3}), ("group_sets", good["group_sets"] | {"hashes": "!"}),
        ("group_sets", good["group_sets"] | {"positive_bits": "AAA="}),
        ("group_sets", good["group_sets"] | {"count": True}),
    ]  # fmt: skip
    for key, value in changes:
        with pytest.raises(DataError):
            Census.from_dict(good | {key: value})
    for value in (None, [], "x", 3):
        with pytest.raises(DataError, match="is not a census"):
            Census.from_dict(value)
    with pytest.raises(DataError, match="Update Equipoise"):
        Census.from_dict(good | {"version": 2})
