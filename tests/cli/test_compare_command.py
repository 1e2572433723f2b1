"""`equipoise compare`, and `evaluate --by`, as they are met on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from equipoise._checks import ArgumentError, DataError
from equipoise.cli import app
from equipoise.decision import fixed_rule, write_rule
from equipoise.evidence import Comparison
from equipoise.scores import Scores, write_scores


def make(noise=0.0, rows=300, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random((rows, 2)) < [0.1, 0.4]).astype(float)
    values = random.normal(size=(rows, 2)) + labels
    patients = random.integers(0, 80, rows)
    return Scores(
        labels=labels,
        values=values + noise * random.normal(size=values.shape),
        kind="logits",
        ids=[f"row {one}" for one in range(rows)],
        role="test",
        classes=["Mass", "[Hernia]"],
        groups=patients,
    )


def run(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path):
    write_scores(make(), tmp_path / "gentle.csv")
    write_scores(make(2.0), tmp_path / "plain.parquet")
    return tmp_path


def test_one_sentence_and_a_table(folder):
    printed = run("compare", folder / "gentle.csv", folder / "plain.parquet", "--replicates", 200).stdout
    assert printed.startswith("gentle changes macro-AP by +0.")
    assert "over plain: it helps" in printed
    assert "[Hernia]" in printed
    assert "another training seed" in printed


def test_names_margin_json_and_out(folder):
    flags = ("--names", "Weighted loss,the free fix", "--margin", 0.5, "--replicates", 100, "--metric", "macro_auc")
    found = run("compare", folder / "gentle.csv", folder / "plain.parquet", *flags, "--json").stdout
    plain = json.loads(found)
    assert plain["sentence"].startswith("Weighted loss changes macro-AUC")
    assert plain["verdict"] == "equivalent"
    run("compare", folder / "gentle.csv", folder / "plain.parquet", *flags, "--out", folder / "c.json")
    assert Comparison.from_dict(json.loads((folder / "c.json").read_text())).sentence == plain["sentence"]
    with pytest.raises(ArgumentError, match="--overwrite"):
        run("compare", folder / "gentle.csv", folder / "plain.parquet", *flags, "--out", folder / "c.json")
    with pytest.raises(ArgumentError, match="two names"):
        run("compare", folder / "gentle.csv", folder / "plain.parquet", "--names", "one")


def test_rules_and_several_seeds(folder):
    write_scores(make(0.5), folder / "second.csv")
    write_rule(fixed_rule(make(), 0.5), folder / "rule.json")
    left, right = (
        f"{folder / 'gentle.csv'},{folder / 'second.csv'}",
        f"{folder / 'plain.parquet'},{folder / 'plain.parquet'}",
    )
    flags = ("--metric", "macro_f1", "--replicates", 100, "--rule-a", folder / "rule.json")
    with pytest.raises(ArgumentError, match="--rule-b"):
        run("compare", left, right, *flags)
    printed = run("compare", left, right, *flags, "--rule-b", folder / "rule.json").stdout
    assert "2 training seeds" in printed


def test_other_rows_are_refused(folder):
    write_scores(make().select(np.arange(100)), folder / "part.csv")
    with pytest.raises(DataError, match="200 of gentle are not in part"):
        run("compare", folder / "gentle.csv", folder / "part.csv")


def test_compare_and_subgroups_import_nothing_heavy(folder):
    code = (
        "import sys; from equipoise.cli import app\n"
        f"try: app(['compare', {str(folder / 'gentle.csv')!r}, {str(folder / 'plain.parquet')!r}])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'sklearn', 'scipy.stats', 'numba', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def with_views(folder):
    views = ["PA" if row % 4 else "AP" if row % 8 else "" for row in range(300)]
    table = pl.DataFrame({"id": [f"row {one}" for one in range(300)], "view": views})
    table.sample(fraction=1, shuffle=True, seed=0).write_csv(folder / "views.csv")
    pl.read_csv(folder / "gentle.csv").join(table, on="id").write_csv(folder / "both.csv")


def test_subgroups_from_a_column_or_from_another_table_are_the_same(folder):
    with_views(folder)
    flags = ("--by", "view", "--threshold", 0.5, "--replicates", 50, "--json")
    own = json.loads(run("evaluate", folder / "both.csv", *flags).stdout)
    joined = json.loads(run("evaluate", folder / "gentle.csv", "--by-table", folder / "views.csv", *flags).stdout)
    assert own == joined
    assert list(own["subgroups"]) == ["AP", "PA", "(unknown)"]
    assert [one["cases"] for one in own["subgroups"].values()] == [37, 225, 38]
    assert own["all"]["cases"] == 300
    (note,) = own["notes"]
    assert "too small to judge" in note
    assert "Mass" in note
    printed = run("evaluate", folder / "both.csv", *flags[:-1]).stdout
    assert "[Hernia]" in printed
    assert "(unknown)" in printed
    for word in ("all", "recall", "precision"):
        assert word in printed


def test_faulty_subgroups_are_refused(folder):
    with_views(folder)
    with pytest.raises(ArgumentError, match="no division into subgroups"):
        run("evaluate", folder / "gentle.csv", "--by", "group")
    with pytest.raises(DataError, match='Did you mean "view"'):
        run("evaluate", folder / "both.csv", "--by", "views")
    table = pl.read_csv(folder / "views.csv")
    table.head(100).write_csv(folder / "few.csv")
    with pytest.raises(DataError, match="lacks 200 of 300 ids"):
        run("evaluate", folder / "gentle.csv", "--by", "view", "--by-table", folder / "few.csv")
    pl.concat([table, table.head(1)]).write_csv(folder / "twice.csv")
    with pytest.raises(DataError, match="is there twice"):
        run("evaluate", folder / "gentle.csv", "--by", "view", "--by-table", folder / "twice.csv")
    with pytest.raises(ArgumentError, match="matches rows by id"):
        run("evaluate", folder / "both.csv", "--by", "view", "--ids", "none")
