"""A model of another library, from a table of its scores to a judged rule, as its user types the commands.

Each command runs in a process of its own, in which importing torch or scikit-learn is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

pytestmark = pytest.mark.slow

_BANNED = """
import sys

class Banned:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn", "pandas") or name == "scipy.stats":
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Banned())
from equipoise.cli import main
main()
"""

_MODEL = """
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

x, y = make_classification(4000, 12, n_informative=4, weights=[0.94], class_sep=0.9, random_state=0)
patient = np.arange(4000) // 2
train = patient % 4 < 2
models = {"boosting": HistGradientBoostingClassifier(max_iter=40, random_state=0), "logistic": LogisticRegression()}
for name, model in models.items():
    model.fit(x[train], y[train])
    for role, part in (("validation", patient % 4 == 2), ("test", patient % 4 == 3)):
        cases, risks = np.flatnonzero(part).tolist(), model.predict_proba(x[part])[:, 1].tolist()
        with open(f"{name}-{role}.csv", "w") as file:
            file.write("case,patient,sex,outcome,risk\\n")
            for case, risk in zip(cases, risks):
                word, sex = ("ill" if y[case] else "healthy"), "fm"[case % 3 > 0]
                file.write(f"c{case},p{patient[case]},{sex},{word},{risk!r}\\n")
"""
COLUMNS = (
    "--label", "outcome", "--positive", "ill", "--score", "risk", "--kind", "probabilities", "--ids", "case",
    "--groups", "patient",
)  # fmt: skip


class Done(NamedTuple):
    """What a command printed, and how long it took."""

    out: str
    error: str
    seconds: float


def equipoise(folder: Path, *arguments: object, code: int = 0) -> Done:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "140"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _BANNED, *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return Done(done.stdout, done.stderr, time.perf_counter() - start)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    subprocess.run([sys.executable, "-c", _MODEL], cwd=made, check=True, timeout=300)
    return made


def test_from_a_table_of_scores_to_a_judged_rule(folder: Path) -> None:
    said = equipoise(
        folder, "decide", "boosting-validation.csv", "--role", "validation", *COLUMNS, "--out", "rule.json"
    )
    assert '"ill" is positive; negative: "healthy"' in said.error
    rule = json.loads((folder / "rule.json").read_text())
    assert rule["classes"] == ["ill"]
    assert 0 < rule["thresholds"][0] < 1
    table = pl.read_csv(folder / "boosting-validation.csv")
    assert rule["positives"] == [(table["outcome"] == "ill").sum()]

    said = equipoise(
        folder, "evaluate", "boosting-test.csv", "--role", "test", *COLUMNS, "--rule", "rule.json",
        "--replicates", 100, "--out", "metrics.json", "--figure", "pr.png",
    )  # fmt: skip
    metrics = {row["metric"]: row for row in json.loads((folder / "metrics.json").read_text())["rows"]}
    table = pl.read_csv(folder / "boosting-test.csv")
    truth = (table["outcome"] == "ill").to_numpy()
    called = table["risk"].to_numpy() >= rule["thresholds"][0]
    f1 = 2 * (truth & called).sum() / (truth.sum() + called.sum())
    assert metrics["f1"]["value"] == pytest.approx(f1, abs=1e-12)
    assert metrics["f1"]["low"] < f1 < metrics["f1"]["high"]
    assert (folder / "pr.png").read_bytes()[:4] == b"\x89PNG"


def test_two_models_are_compared_on_the_same_rows(folder: Path) -> None:
    said = equipoise(
        folder, "compare", "boosting-test.csv", "logistic-test.csv", "--role", "test", *COLUMNS, "--metric", "auc",
        "--names", "boosting,logistic", "--replicates", 200, "--out", "comparison.json", "--figure", "comparison.png",
    )  # fmt: skip
    found = json.loads((folder / "comparison.json").read_text())
    assert found["sentence"] in " ".join(said.out.split())
    assert found["overall"]["low"] < found["overall"]["value"] < found["overall"]["high"]
    assert (folder / "comparison.png").read_bytes()[:4] == b"\x89PNG"


def test_what_the_rule_does_elsewhere(folder: Path) -> None:
    equipoise(folder, "decide", "boosting-validation.csv", "--role", "validation", *COLUMNS, "--out", "here.json")
    table = pl.read_csv(folder / "boosting-test.csv")
    common = table.filter((pl.col("outcome") == "ill") | (pl.int_range(pl.len()) % 5 == 0))
    common.drop("outcome").write_csv(folder / "clinic.csv")
    said = equipoise(
        folder, "prevalence", "boosting-test.csv", "--role", "test", *COLUMNS, "--rule", "here.json",
        "--unlabelled", "clinic.csv", "--rule-out", "moved.json", "--out", "elsewhere.json", "--figure", "e.png",
    )  # fmt: skip
    estimate = json.loads((folder / "elsewhere.json").read_text())["estimate"]
    truth = (common["outcome"] == "ill").mean()
    assert estimate["low"][0] < truth < estimate["high"][0], (said.out, truth)
    assert json.loads((folder / "moved.json").read_text())["classes"] == ["ill"]


def test_the_rows_that_a_rule_was_fitted_on_do_not_judge_it(folder: Path) -> None:
    flags = ("--role", "validation", *COLUMNS)
    equipoise(folder, "decide", "logistic-validation.csv", *flags, "--out", "other.json")
    said = equipoise(folder, "evaluate", "logistic-validation.csv", *flags, "--rule", "other.json", code=2)
    assert "the very rows" in said.error


def test_the_same_commands_print_the_same(folder: Path) -> None:
    flags = ("--role", "validation", *COLUMNS, "--json")
    assert len({equipoise(folder, "decide", "boosting-validation.csv", *flags).out for _ in range(2)}) == 1


def test_a_large_table_takes_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, classes = 112_120, 14
    rates = np.geomspace(0.18, 0.002, classes)
    for seed, role in enumerate(("validation", "test")):
        random = np.random.default_rng(seed)
        labels = (random.random((rows, classes)) < rates).astype(np.int8)
        values = 1 / (1 + np.exp(3 - np.log(rates) - random.normal(size=labels.shape) - 1.5 * labels))
        table = {"id": [f"{role}{row:08d}.png" for row in range(rows)], "group": random.integers(0, 30_805, rows)}
        table |= {f"y_c{number}": labels[:, number] for number in range(classes)}
        table |= {f"p_c{number}": values[:, number] for number in range(classes)}
        pl.DataFrame(table).write_csv(tmp_path / f"{role}.csv")
    decided = equipoise(tmp_path, "decide", "validation.csv", "--role", "validation", "--out", "rule.json")
    judged = equipoise(tmp_path, "evaluate", "test.csv", "--role", "test", "--rule", "rule.json")
    with capsys.disabled():
        sys.stdout.write(f"\n112,120 x 14: decide {decided.seconds:.1f} s, evaluate {judged.seconds:.1f} s\n")
    assert "c13" in judged.out
    assert max(decided.seconds, judged.seconds) < 30  # several times what it takes on a machine that is not busy
