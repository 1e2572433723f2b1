"""`Scores`: what it accepts, what it refuses and how, and that nothing is lost on the way through a file."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.scores import Scores, read_scores, write_scores
from equipoise.scores.ids import hash_ids
from equipoise.scores.record import softmax


def make(**changes):
    arguments = {
        "labels": [[0, 1], [1, np.nan], [0, 0]],
        "values": [[0.1, 0.9], [0.7, 0.2], [1 / 3, 0.0]],
        "kind": "probabilities",
        "ids": ["a", "b", "c"],
        "groups": ["p", "p", "q"],
        "role": "validation",
        "classes": ["Mass", "Hernia"],
    }
    return Scores(**(arguments | changes))


def make_multiclass(**changes):
    values = softmax(np.array([[1.0, 2, 3], [0, 0, 1], [5, 1, 1]]))
    arguments = {
        "labels": [2, np.nan, 0],
        "values": values,
        "kind": "probabilities",
        "ids": [1, 2, 3],
        "role": "test",
        "classes": ["none", "mild", "severe"],
    }
    return Scores(**(arguments | changes))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    "scores",
    [
        make(),
        make(groups=None),
        make(ids=None, groups=[7, 7, 8]),
        make(kind="logits", values=[[-800.0, 3e-17], [0.1 + 0.2, 40], [1, 2]]),
        make(labels=[0, 1, np.nan], values=[0.1, 0.2, 0.3], classes=['Mass, "quoted"']),
        make_multiclass(),
        make_multiclass(task="ordinal", kind="logits", role="train"),
    ],
    ids=["multilabel", "no groups", "no ids", "logits", "binary", "multiclass", "ordinal"],
)
def test_round_trip_loses_nothing(tmp_path, scores, suffix):
    path = tmp_path / f"scores.{suffix}"
    write_scores(scores, path)
    again = read_scores(path, ids="none" if scores.numbered else None)
    np.testing.assert_array_equal(again.values, scores.values)
    np.testing.assert_array_equal(again.labels, scores.labels)
    for name in ("task", "kind", "role", "classes", "hash", "numbered"):
        assert getattr(again, name) == getattr(scores, name), name
    if scores.groups is None:
        assert again.groups is None
    else:
        assert [str(one) for one in again.groups] == [str(one) for one in scores.groups]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": [[0.1, np.nan], [0, 0], [0, 0]]}, 'row 0 (id "a"), class "Hernia": the score is NaN'),
        ({"values": [[0.1, 0.2], [0, np.inf], [0, 0]], "kind": "logits"}, 'row 1 (id "b"), class "Hernia"'),
        (
            {"values": [[0.1, 2.5], [0, 0], [0, 0]]},
            '2.5 is not a probability. If these are logits, say so: kind="logits"',
        ),
        ({"labels": [[0, 1], [2, 0], [0, 0]]}, 'row 1 (id "b"), class "Mass": label 2 is not 0, 1 or NaN'),
        ({"ids": ["a", "b", "a"]}, 'rows 0 and 2 have the same id "a"'),
        ({"ids": ["a", "b"]}, "must name each of the 3 rows"),
        ({"kind": "logit"}, 'Did you mean "logits"?'),
        ({"role": "val"}, '`role` of Scores must be one of "train", "validation", "test"'),
        ({"classes": ["Mass", "Mass"]}, "must be different names"),
        ({"classes": ["Mass"]}, "Pass matching arrays"),
        ({"labels": [["x", 1]] * 3}, "must be an array of numbers"),
    ],
)
def test_bad_input_names_place_and_remedy(changes, message):
    with pytest.raises((ArgumentError, DataError)) as caught:
        make(**changes)
    assert message in str(caught.value)


def test_no_rows_is_an_error():
    with pytest.raises(DataError, match="at least one row"):
        Scores(labels=[], values=[], kind="logits", ids=[], role="test", classes=["a"])


def test_softmax_probabilities_must_sum_to_one():
    with pytest.raises(DataError, match=r"sum to 1\.5, not to 1"):
        make_multiclass(values=[[0.5, 0.5, 0.5]] * 3)


def test_float32_rounding_is_accepted():
    scores = make(values=np.array([[1.0000001, -1e-8], [0, 1], [0, 1]]))
    assert scores.values.max() == 1.0
    assert scores.values.min() == 0.0


def test_arrays_cannot_be_changed_behind_the_checks():
    labels = np.zeros((3, 2))
    scores = make(labels=labels)
    labels[0, 0] = 7
    assert scores.labels[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        scores.values[0, 0] = 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,group,y_a,p_a\n1,,0,0.5\n", 'no column "role"'),
        ("id,group,role,y_a,p_a\n", "no rows"),
        ("id,group,role,y_a,p_a\n1,,test,0,high\n", 'row 1, column "p_a": "high" is not a number'),
        ("id,group,role,y_a,p_a\n1,,test,0,\n", 'row 1, column "p_a": the score is missing'),
        ("id,group,role,y_a,p_a\n1,,test,0,-3\n", "-3 is not a probability"),
        ("id,group,role,y_a,q_a\n1,,test,0,1\n", "no score columns"),
        ("id,group,role,y_a,p_a,z_a\n1,,test,0,1,1\n", "one kind only"),
        ("id,group,role,y_Effusion,p_Efusion\n1,,test,0,1\n", 'no column "y_Efusion". Did you mean "y_Effusion"?'),
        ("group,role,y_a,p_a\n,test,0,1\n", "--ids none"),
        ("id,role,y_a,p_a\n1,test,0,1\n", "--groups none"),
        ("id,group,role,y_a,p_a\n1,x,test,0,1\n2,,test,0,1\n", 'row 2, column "group" is empty while other rows'),
        ("id,group,role,y_a,p_a\n1,,test,0,1\n2,,train,0,1\n", 'holds the roles "test", "train"'),
        ("id,group,role,y,p_cat,p_dog\n1,,test,dgo,0.5,0.5\n", '"dgo" is not one of "cat", "dog". Did you mean "dog"?'),
        ("id,group,role,y_a,p_a\n1,,testing,0,1\n", "must be one of"),
        ("id,group,role,y_a,p_a\n1,,test,0,1\n1,,test,0,1\n", 'row 2, column "id": the id "1" is also that of row 1'),
    ],
)
def test_bad_files_name_place_and_remedy(tmp_path, text, message):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises((ArgumentError, DataError)) as caught:
        read_scores(path)
    assert message in str(caught.value)


def test_unreadable_files(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    for path in (tmp_path, tmp_path / "missing.csv", tmp_path / "broken.parquet"):
        with pytest.raises(DataError):
            read_scores(path)


def test_role_is_chosen_from_a_file_with_several(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("id,group,role,y_a,p_a\n1,,test,0,0.25\n2,,validation,1,0.75\n")
    assert read_scores(path, role="test").ids.tolist() == ["1"]
    assert read_scores(path, prefer="validation").ids.tolist() == ["2"]
    with pytest.raises(DataError, match='no row of role "train"'):
        read_scores(path, role="train")


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    import polars as pl

    path = tmp_path / "scores.csv"
    write_scores(make(), path)
    before = path.read_bytes()

    def full(self, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(Exception, match="No space left on device"):
        write_scores(make(groups=None), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["scores.csv"]


def test_write_needs_a_known_suffix(tmp_path):
    with pytest.raises(ArgumentError, match="ends in one of them"):
        write_scores(make(), tmp_path / "scores.xlsx")


def test_id_keys_do_not_depend_on_type_or_neighbours():
    numbers = hash_ids(np.array([5, 10**18, -3]))
    texts = hash_ids(np.array(["5", "1000000000000000000", "-3"], dtype=object))
    np.testing.assert_array_equal(numbers, texts)
    longer = hash_ids(np.array(["5", "é" * 40, "x" * 100_000, ""], dtype=object))
    assert longer[0] == numbers[0]
    assert len(set(longer.tolist())) == 4
    assert len(np.unique(hash_ids(np.arange(100_000)))) == 100_000


def test_shift_moves_sigmoid_and_softmax_to_the_natural_prevalence():
    binary = Scores(labels=[1], values=[0.5], kind="probabilities", ids=["a"], role="test", classes=["Mass"])
    assert binary.shifted([np.log(9)]).probabilities()[0] == pytest.approx(0.1)
    exclusive = make_multiclass(values=[[0.2, 0.3, 0.5]] * 3)
    moved = exclusive.shifted(np.log([1.0, 3.0, 5.0])).probabilities()[0]
    np.testing.assert_allclose(moved, np.array([0.2, 0.1, 0.1]) / 0.4)
    logits = make_multiclass(values=np.log([[0.2, 0.3, 0.5]] * 3), kind="logits")
    np.testing.assert_allclose(logits.shifted(np.log([1.0, 3.0, 5.0])).probabilities()[0], moved)


def test_probabilities_of_zero_and_one_survive_a_shift():
    scores = Scores(labels=[0, 1], values=[0.0, 1.0], kind="probabilities", ids=["a", "b"], role="test", classes=["a"])
    np.testing.assert_array_equal(scores.shifted([2.0]).values, [0.0, 1.0])
