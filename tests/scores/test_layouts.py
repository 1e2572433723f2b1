"""Files of other programs: which column is what is told by names or by the user, never by the numbers."""

from __future__ import annotations

import gzip

import numpy as np
import polars as pl
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.labels.columns import read_columns
from equipoise.labels.table import open_table
from equipoise.scores import read_scores

COMMON = {"role": "test", "ids": "none", "groups": "none"}


@pytest.fixture
def read(tmp_path):
    def run(text, **arguments):
        path = tmp_path / "scores.csv"
        path.write_bytes(text.encode())
        return read_scores(path, **(COMMON | arguments))

    return run


@pytest.mark.parametrize(
    ("cells", "positive", "name"),
    [
        (("0", "1", ""), None, "outcome"),
        (("0.0", "1.0", "nan"), None, "outcome"),
        (("no", "Yes", "NA"), None, "outcome"),
        (("False", "True", ""), None, "outcome"),
        (("no", "yes", ""), "yes", "outcome"),
        (("1", "2", ""), "2", "outcome"),
        (("benign", "malignant", "?"), "malignant", "malignant"),
    ],
)
def test_one_label_column_and_one_score_is_binary(read, cells, positive, name):
    text = "outcome,risk\n" + "".join(f"{cell},0.{row}\n" for row, cell in enumerate(cells))
    found = read(text, labels="outcome", values="risk", kind="probabilities", positive=positive)
    assert (found.task, found.classes, found.kind) == ("binary", (name,), "probabilities")
    np.testing.assert_array_equal(found.labels, [0, 1, np.nan])
    np.testing.assert_array_equal(found.values, [0.0, 0.1, 0.2])
    assert bool(found.notes) == (positive is not None)


def test_what_became_negative_is_said(read):
    text = "outcome,risk\n-1,0.1\n0,0.1\n1,0.2\n"
    found = read(text, labels="outcome", values="risk", kind="probabilities", positive="1")
    assert found.notes == ('column "outcome": "1" is positive; negative: "-1", "0".',)


@pytest.mark.parametrize(
    "header", ["cat,dog", "p_cat,p_dog", "prob_cat,prob_dog", "P(cat),P(dog)", "score.cat.v1,score.dog.v1"]
)
def test_one_label_column_and_a_score_per_class_is_exclusive(read, header):
    found = read(f"diagnosis,{header}\ndog,0.25,0.75\n,0.5,0.5\ncat,1,0\n", labels="diagnosis",
                 values=header.split(","), kind="probabilities")  # fmt: skip
    assert (found.task, found.classes) == ("multiclass", ("cat", "dog"))
    np.testing.assert_array_equal(found.labels, [1, np.nan, 0])


def test_class_names_can_be_given_in_the_order_of_the_scores(read):
    text = "label,s0,s1\n1.0,-2,3\n0.0,1,1\n"
    found = read(text, labels=["label"], values=["s0", "s1"], kind="logits", classes=["0", "1"], task="ordinal")
    assert (found.task, found.classes, found.labels.tolist()) == ("ordinal", ("0", "1"), [1.0, 0.0])
    with pytest.raises(DataError, match=r'row 1, column "label": "1\.0" is not one of.*--classes'):
        read(text, labels=["label"], values=["s0", "s1"], kind="logits")
    with pytest.raises(ArgumentError, match="must name each of the 2 score columns"):
        read(text, labels=["label"], values=["s0", "s1"], kind="logits", classes=["0"])


def test_several_label_columns_and_as_many_scores_are_findings(read):
    text = "mass,edema,m1,e1\nno,1,-2,0.5\nyes,,3,2\n"
    found = read(text, labels=["mass", "edema"], values=["m1", "e1"], kind="logits")
    assert (found.task, found.classes, found.kind) == ("multilabel", ("mass", "edema"), "logits")
    np.testing.assert_array_equal(found.labels, [[0, 1], [1, np.nan]])
    np.testing.assert_array_equal(found.values, [[-2, 0.5], [3, 2]])


def test_a_named_label_column_finds_its_scores_by_prefix(read):
    found = read("diagnosis,p_cat,p_dog\ncat,0.5,0.5\ndog,0.25,0.75\n", labels="diagnosis")
    assert (found.task, found.classes, found.kind) == ("multiclass", ("cat", "dog"), "probabilities")


def test_columns_that_are_not_named_are_not_read(read):
    found = read("y_a,p_a,notes,q\n1,0.5,anything at all,x\n", labels="y_a", values="p_a")
    assert found.values.tolist() == [0.5]


def test_labels_can_be_declared_unknown(read):
    found = read("p_a,p_b\n0.5,0.25\n", labels="none", task="multilabel")
    assert np.isnan(found.labels).all()
    assert found.classes == ("a", "b")
    with pytest.raises(ArgumentError, match="--task"):
        read("p_a,p_b\n0.5,0.25\n", labels="none")


@pytest.mark.parametrize(
    ("header", "arguments", "message"),
    [
        ("outcome,risk", {"labels": "outcome", "values": "risk"}, 'hold probabilities or logits is never guessed'),
        ("outcome,risk", {"labels": "outcom", "values": "risk", "kind": "logits"}, '"outcom". Did you mean "outcome"?'),
        ("outcome,risk", {"labels": "outcome", "values": "outcome", "kind": "logits"}, "both labels and scores"),
        ("y_a,p_a", {"kind": "logits"}, "are probabilities by their names; kind says logits"),
        ("a,b,x", {"labels": ["a", "b"], "values": "x", "kind": "logits"}, "2 label columns"),
        ("y_a,y_b,p_b,p_a", {"labels": ["y_a", "y_b"], "values": ["p_b", "p_a"]}, 'it belongs to "p_a"'),
        ("y_a,p_a", {"kind": "logit"}, 'Did you mean "logits"?'),
        ("y_a,p_a", {"labels": ["y_a", "y_a"]}, "twice"),
        ("y,p_a,p_b", {"positive": "a"}, "names one of 2 classes"),
        ("y_a,p_a", {"groups": "y_a"}, "Give another column."),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_say_what_to_do(read, header, arguments, message):
    with pytest.raises((ArgumentError, DataError)) as caught:
        read(header + "\n" + ",".join("0" for _ in header.split(",")) + "\n", **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "positive", "message"),
    [
        (
            ("good", "bad"),
            None,
            'holds the labels "bad", "good", and which is positive is never guessed. Name it',
        ),
        (("1", "2"), None, 'row 2, column "outcome": label 2 is not 0, 1 or empty'),
        (("0", "maybe"), None, 'row 2, column "outcome": label "maybe" is not 0, 1 or empty'),
        (("no", "yes"), "yess", 'never holds the positive label "yess"; it holds "no", "yes". Did you mean "yes"?'),
    ],
)
def test_labels_of_two_kinds_are_never_guessed(read, cells, positive, message):
    text = "outcome,risk\n" + "".join(f"{cell},0.5\n" for cell in cells)
    with pytest.raises(DataError) as caught:
        read(text, labels="outcome", values="risk", kind="probabilities", positive=positive)
    assert message in str(caught.value)


def test_a_file_without_a_positive_can_be_read(read):
    found = read(
        "outcome,risk\nno,0.5\nno,0.25\n", labels="outcome", values="risk", kind="probabilities", positive="yes"
    )
    assert found.labels.tolist() == [0, 0]
    assert 'No row is positive for "outcome"' in found.doubts()[0]


FORMS = {
    "plain": ("csv", lambda text: text.encode()),
    "byte order mark": ("csv", lambda text: b"\xef\xbb\xbf" + text.encode()),
    "windows line ends": ("csv", lambda text: text.replace("\n", "\r\n").encode()),
    "no last line end": ("csv", lambda text: text.rstrip("\n").encode()),
    "semicolons": ("csv", lambda text: text.replace(",", ";").encode()),
    "tabs": ("tsv", lambda text: text.replace(",", "\t").encode()),
    "spaces": ("csv", lambda text: text.replace(",0.", ", 0.").encode()),
    "quotes": ("csv", lambda text: text.replace("0.25", '"0.25"').encode()),
    "gzip": ("csv.gz", lambda text: gzip.compress(text.encode())),
    "words for labels": ("csv", lambda text: text.replace(",0,", ",no,").replace(",1,", ",yes,").encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_a_file_does_not_matter(tmp_path, form):
    suffix, change = FORMS[form]
    path = tmp_path / f"scores.{suffix}"
    path.write_bytes(
        change("id,group,role,y_a,p_a\n007,x,test,0,0.25\n008,x,test,1,0.3333333333333333\n009,y,test,,1e-9\n")
    )
    found = read_scores(path)
    assert found.ids.tolist() == ["007", "008", "009"]
    assert found.groups.tolist() == ["x", "x", "y"]
    np.testing.assert_array_equal(found.labels, [0, 1, np.nan])
    assert found.values.tolist() == [0.25, 1 / 3, 1e-9]


@pytest.mark.parametrize(
    "dtype", [pl.Float64, pl.Float32, pl.Int8, pl.Boolean, pl.String, pl.Categorical, pl.Decimal(10, 2)]
)
def test_parquet_columns_of_any_type_are_numbers_when_they_say_so(tmp_path, dtype):
    values = [True, False] if dtype == pl.Boolean else [1, 0]
    column = pl.Series("y_a", list(map(str, values)) if dtype in (pl.String, pl.Categorical) else values, dtype=dtype)
    table = pl.DataFrame({"id": [7, 8], "y_a": column, "p_a": [0.1, 0.7]})
    table.write_parquet(tmp_path / "scores.parquet")
    found = read_scores(tmp_path / "scores.parquet", role="test", groups="none")
    assert found.labels.tolist() == [1, 0]
    assert found.values.tolist() == [0.1, 0.7]
    assert [str(one) for one in found.ids] == ["7", "8"]


def test_gaps_in_parquet_are_unknown_labels_and_missing_scores(tmp_path):
    path = tmp_path / "scores.parquet"
    table = pl.DataFrame({"y_a": [1, None, 0] * 50, "p_a": [0.5] * 149 + [None]})
    table.write_parquet(path)
    with pytest.raises(DataError, match='row 150, column "p_a": the score is missing'):
        read_scores(path, **COMMON)
    table.with_columns(p_a=0.5).write_parquet(path)
    np.testing.assert_array_equal(read_scores(path, **COMMON).labels[:4], [1, np.nan, 0, 1])


def test_numbers_are_read_as_python_reads_them(tmp_path):
    random = np.random.default_rng(0)
    numbers = random.normal(size=500) * 10.0 ** random.integers(-300, 300, 500)
    (tmp_path / "t.csv").write_text("x\n" + "".join(f"{number!r}\n" for number in numbers.tolist()))
    found = read_columns(open_table(tmp_path / "t.csv"), ["x"])
    np.testing.assert_array_equal(found.numbers["x"], numbers)


def test_a_filtered_role_is_named_by_its_rows_in_the_file(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("id,group,role,y_a,p_a\n1,,test,0,0.25\n2,,validation,1,0.75\n3,,validation,1,7\n")
    assert read_scores(path, role="test").values.tolist() == [0.25]
    with pytest.raises(DataError, match='row 3, column "p_a": 7 is not a probability'):
        read_scores(path, role="validation")
