"""What each column of a table is, and what a table that cannot be right is answered."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.data import Features, read_features
from equipoise.labels.table import read_table


def kinds(features: Features) -> dict[str, str]:
    return {column.name: column.kind for column in features.columns}


def many(make, n: int = 200) -> list[str]:
    return [make(i) for i in range(n)]


def test_every_kind_is_told_with_its_reason():
    table = pl.DataFrame(
        {
            "age": many(lambda i: str(20 + i % 60)),
            "grade": many(lambda i: str(1 + i % 4)),
            "smoker": many(lambda i: "01"[i % 2]),
            "ill": many(lambda i: ["Yes", "no"][i % 2]),
            "sex": many(lambda i: ["M", "F", ""][i % 3]),
            "stage": many(lambda i: ["I", "II", "III"][i % 3]),
            "site": many(lambda i: "A"),
            "empty": many(lambda i: ["", "NA", "?", "null", " N/A "][i % 5]),
            "name": many(lambda i: f"P{i:04d}"),
            "note": many(lambda i: f"seen on ward {i}, no complaint, sent home in the morning"),
            "row": many(lambda i: str(i + 1)),
            "visit": many(lambda i: f"2020-{1 + i % 12:02d}-{1 + i % 28:02d}"),
        }
    )
    found = read_features(table)
    assert kinds(found) == {
        "age": "numeric", "grade": "numeric", "smoker": "flag", "ill": "flag", "sex": "flag", "stage": "category",
        "site": "constant", "empty": "all missing", "name": "identifier", "note": "text", "row": "identifier",
        "visit": "date",
    }  # fmt: skip
    by_name = {column.name: column for column in found.columns}
    assert by_name["grade"].reason == "numbers from 1 to 4, 4 different"
    assert by_name["ill"].levels == ("no", "Yes")
    assert found.names == ("age", "grade", "smoker", "ill", "sex", "stage")
    assert len(found.notes()) == 6
    assert '"name" is left out: looks like an identifier or free text: 200 different in 200 cells' in found.notes()[2]


def test_missing_words_blanks_and_case():
    cells = ["1.5", " 2 ", "NaN", "nan", "NA", "null", "NULL", "?", "", "  ", "None", ".", "#N/A", "+3", "1e2"]
    found = read_features(pl.DataFrame({"x": cells}))
    known = found.numeric[:, 0][~np.isnan(found.numeric[:, 0])]
    assert known.tolist() == [1.5, 2.0, 3.0, 100.0]
    declared = read_features(pl.DataFrame({"x": ["1", "2", "-9", "refused"]}), missing=["-9", "Refused"])
    assert np.isnan(declared.numeric[2:, 0]).all()


def test_real_types_from_parquet():
    table = pl.DataFrame({
        "i": [1, 2, None], "f": [0.5, float("nan"), 2.0], "b": [True, False, True],
        "d": [datetime.date(2020, 1, 1)] * 3, "l": [[1], [2], [3]],
        "c": pl.Series(["a", "b", None], dtype=pl.Categorical),
    })  # fmt: skip
    found = read_features(table)
    assert kinds(found) == {"i": "numeric", "f": "numeric", "b": "flag", "d": "date", "l": "nested", "c": "flag"}
    np.testing.assert_array_equal(found.numeric[:, 1], [0.5, np.nan, 2.0])
    np.testing.assert_array_equal(found.numeric[:, 3], [0.0, 1.0, np.nan])


def test_overrides():
    table = pl.DataFrame({"code": many(lambda i: str(i % 30)), "id": many(lambda i: f"P{i}"), "n": many(str)})
    assert kinds(read_features(table, categories=["code"]))["code"] == "category"
    assert kinds(read_features(table, numeric=["n"]))["n"] == "numeric"
    assert read_features(table, features=["id"]).names == ("id",)
    assert read_features(table, exclude=["code", "n"]).names == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": ["age", "y"]}, 'Column "y" is a target and can never be a feature. Remove it from `features`.'),
        ({"features": ["pid"], "groups": "pid"}, 'Column "pid" is the group column and can never be a feature.'),
        ({"numeric": ["pid"], "ids": "pid"}, 'Column "pid" is the id column and can never be a feature.'),
        ({"exclude": ["agee"]}, 'patients.csv has no column "agee" (listed in `exclude`). Did you mean "age"?'),
        ({"groups": "Pid"}, 'no column "Pid" (the group column). Did you mean "pid"?'),
        ({"features": ["age", "age"]}, 'Column "age" is listed twice in `features`.'),
        ({"features": ["age"], "exclude": ["age"]}, 'in both `features` and `exclude`'),
        ({"numeric": ["age"], "categories": ["age"]}, "in both `numeric` and `categories`"),
        ({"features": ["age"], "numeric": ["pid"]}, 'Column "pid" is in `numeric` but not in `features`.'),
    ],
)  # fmt: skip
def test_columns_asked_for_wrongly(settings, message):
    table = pl.DataFrame({"pid": ["1", "2"], "age": ["3", "4"], "y": ["0", "1"]})
    with pytest.raises(ArgumentError) as error:
        read_features(table, targets=["y"], source="patients.csv", **settings)
    assert message in str(error.value)


def test_targets_ids_and_groups_are_never_features():
    table = pl.DataFrame({"pid": ["1", "2"], "group": ["1", "2"], "age": ["3", "4"], "y": ["0", "1"]})
    assert read_features(table, targets=["y"], ids="pid", groups="group").names == ("age",)
    assert read_features(table, targets=["y"], groups="none").names == ("pid", "group", "age")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "inf", "2"], 't.csv row 2, column "x": inf is infinite. Leave the cell empty if the value is unknown'),
        (["1", "2", "-Infinity"], 't.csv row 3, column "x": -inf is infinite'),
        (["1", "1e400", "1e999"], "row 2, column \"x\": inf is infinite (1 more such cells in this column)"),
        (["1", "1e39", "2"], "is too large for a 32-bit number"),
        (
            [*many(str), ">90"],
            't.csv row 201, column "x": ">90" is not a number, while 200 of 201 known cells are (1 such cells).',
        ),
    ],
)  # fmt: skip
def test_cells_that_cannot_be_right(cells, message):
    with pytest.raises(DataError) as error:
        read_features(pl.DataFrame({"x": cells}), source="t.csv")
    assert message in str(error.value)


def test_a_word_in_a_column_declared_numeric():
    with pytest.raises(
        DataError, match='row 3, column "x": "old" is not a number, but the column is listed in `numeric`'
    ):
        read_features(pl.DataFrame({"x": ["1", "", "old"]}), numeric=["x"])


def test_an_infinite_float_from_parquet():
    with pytest.raises(DataError, match='row 2, column "x": inf is infinite'):
        read_features(pl.DataFrame({"x": [1.0, float("inf")]}))


def test_few_words_among_numbers_are_a_category():
    found = read_features(pl.DataFrame({"children": many(lambda i: ["0", "1", "2", "3+"][i % 4])}))
    assert found.columns[0].kind == "category"
    assert "150 of 200 known cells are numbers" in found.columns[0].reason


@pytest.mark.parametrize("write", [lambda i: f"{i:,}", lambda i: f"{i},5", lambda i: "<" * (i % 2) + str(i)])
def test_numbers_written_for_people_are_named(write):
    found = read_features(pl.DataFrame({"x": [write(i) for i in range(900, 1900)]}))
    assert found.names == ()
    assert "numbers with a comma, sign or unit (1,000 different in 1,000 cells, such as" in found.notes()[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("patient_id", "identifier"), ("PatientID", "identifier"), ("MRN", "identifier"), ("covid", "numeric")],
)
def test_whole_numbers_that_never_repeat(name, kind):
    found = read_features(pl.DataFrame({name: [str(i * i) for i in range(100)]}))
    assert found.columns[0].kind == kind
    assert read_features(pl.DataFrame({name: [str(i * i) for i in range(100)]}), numeric=[name]).names == (name,)


def test_tables_of_nothing():
    assert len(read_features(pl.DataFrame({"y": ["0", "1"]}), targets=["y"])) == 2
    one = read_features(pl.DataFrame({"age": ["3"], "sex": ["F"]}))
    assert one.names == ()  # a single row has only constants


def test_hypothyroid_flags_and_gaps(shared_data):
    table = read_table(shared_data("keel-imbalanced") / "hypothyroid.csv")
    found = read_features(table, targets=["target"])
    by_name = {column.name: column for column in found.columns}
    assert by_name["sick"].levels == ("f", "t")
    assert by_name["TBG"].kind == "numeric"
    assert by_name["TBG"].missing == 2903
    assert sum(column.missing for column in found.columns) == 5329  # the count in the data set's README


def test_brfss_words(shared_data):
    table = read_table(shared_data("brfss2022-comorbidity") / "brfss2022.csv")
    targets = [name for name in table.columns if name.startswith("y_")]
    found = read_features(table, targets=targets, groups="State")
    counted = [column.kind for column in found.columns]
    assert (counted.count("category"), counted.count("flag"), counted.count("numeric")) == (9, 14, 6)
    assert "State" not in found.names


def test_a_thousand_columns(shared_data):
    table = read_table(shared_data("mulan-multilabel") / "genbase.csv.gz")
    found = read_features(table, targets=[name for name in table.columns if name.startswith("y_")])
    assert {column.name for column in found.columns if column.kind == "identifier"} == {"protein"}
