"""`equipoise ledger`: from the folder of a run alone, finished or not, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import processes
from equipoise.balance import Deferred, FocalCorrection, Ledger, class_weights, plan_sampling
from equipoise.labels import Labels, count_labels
from equipoise.runs import Run


class _Recipe:
    name = "small"

    def to_yaml(self) -> str:
        return "name: small\n"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return processes.run("ledger", *arguments)


@pytest.fixture
def labels() -> Labels:
    rng = np.random.default_rng(0)
    values = (rng.random((2000, 2)) < [0.3, 0.02]).astype(np.float32)
    return Labels("multilabel", ("common", "rare"), values, np.arange(2000))


def folder(path: Path, ledger: Ledger) -> Path:
    with Run.create(path, _Recipe()) as made:
        made.write_record("ledger", ledger)
    return path


def test_every_correction_is_shown_with_the_way_back(labels: Labels, tmp_path: Path) -> None:
    census = count_labels(labels)
    entries = [
        Deferred(plan_sampling(labels), 3),
        class_weights(census, scheme="inverse"),
        FocalCorrection(2.0, 0.75),
    ]
    ledger = Ledger(entries, census=census)
    path = folder(tmp_path / "run", ledger)
    done = run(path)
    assert done.returncode == 0, done.stderr
    for said in ("sampling towards uniform", "inverse pos_weight", "focal (gamma 2)", "beyond full balance"):
        assert said in done.stdout, said
    found = json.loads(run(path, "--json").stdout)
    assert [entry.get("from_epoch") for entry in found["corrections"]] == [3, None, None]
    assert found["corrections"][1]["way_back"] == "exact"
    np.testing.assert_allclose(
        np.sum([entry["log_odds_shift"] for entry in found["corrections"]], axis=0), ledger.log_odds_shift
    )
    rare = found["classes"][1]
    assert rare["prevalence"] == pytest.approx(float(census.prevalence[1]))
    trained = rare["trained_prevalence"]
    assert rare["beyond_balance"] == pytest.approx(trained / (1 - trained))
    assert any("rare: 3 corrections together" in warning for warning in found["warnings"])


def test_a_run_without_corrections_says_so(labels: Labels, tmp_path: Path) -> None:
    done = run(folder(tmp_path / "run", Ledger([], census=count_labels(labels))))
    assert done.returncode == 0, done.stderr
    assert "There is nothing to undo." in done.stdout
    assert "Corrections in force" not in done.stdout


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "is not a run folder" in done.stderr


def test_it_starts_without_torch(labels: Labels, tmp_path: Path) -> None:
    path = folder(tmp_path / "run", Ledger([], census=count_labels(labels)))
    code = (
        f"import sys; sys.argv = ['equipoise', 'ledger', {str(path)!r}]\n"
        "from equipoise.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'sklearn', 'scipy.stats', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
