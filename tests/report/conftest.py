"""A finished run folder made without training: synthetic scores of known quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.balance import Ledger, class_weights, plan_sampling
from equipoise.decision import fit_decision, fixed_rule, write_rule
from equipoise.evidence import evaluate
from equipoise.labels import Labels, count_labels
from equipoise.recipe import make_recipe
from equipoise.runs import Run
from equipoise.scores import Decisions, Scores, write_scores

AWKWARD = ("cost_$x^2$_a", "[red]bold[/red] | a*b", "ünïcode \\frac{1}{2} <script>")
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "a\u2028b & $c$ </script><b>")
MakeRun = Callable[..., Run]


class _Never:
    """The rule of saying no to everything, or always the first class."""

    def apply(self, scores: Scores) -> Decisions:
        return Decisions(scores, np.zeros(scores.labels.shape, dtype=np.int64 if scores.exclusive else np.int8))


def _labels(random: np.random.Generator, task: str, classes: Sequence[str], rows: int) -> Labels:
    rates = np.geomspace(0.3, 0.02, len(classes))
    if task in ("multiclass", "ordinal"):
        values = random.choice(len(classes), rows, p=rates / rates.sum()).astype(np.float32)
    else:
        values = (random.random((rows, len(classes))) < rates).astype(np.float32)
        values[::97] = np.nan
        values = values[:, 0] if task == "binary" else values
    return Labels(task, tuple(classes), values, np.arange(rows))


def _scores(random: np.random.Generator, labels: Labels, role: str) -> Scores:
    truth = np.nan_to_num(labels.table()).astype(np.float64)
    logits = 2.0 * truth - 2.5 + random.normal(0, 1, truth.shape)
    return Scores(
        labels=labels.values,
        values=logits[:, 0] if labels.task == "binary" else logits,
        kind="logits",
        ids=labels.ids,
        role=role,
        classes=labels.classes,
        task=labels.task,
    )


def _epoch(member: int, epoch: int, classes: int) -> dict[str, Any]:
    return {
        "event": "epoch",
        "member": member,
        "epoch": epoch,
        "training_loss": 1 / epoch,
        "monitor": "macro_f1",
        "monitored": math.nan if epoch == 1 else 0.5 - 1 / epoch,
        "best_epoch": min(epoch, 6),
        "positive_rate": [0.1] * classes,
    }


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes a finished run folder and opens it."""
    return run_maker(tmp_path)


def run_maker(tmp_path: Path) -> MakeRun:
    """Return a function that writes a finished run folder below a folder and opens it."""

    def make(
        task: str = "multilabel",
        classes: Sequence[str] = AWKWARD,
        *,
        scheme: str = "none",
        test: bool = True,
        maximize: str = "f1",
        rows: int = 900,
        overrides: Sequence[str] = (),
    ) -> Run:
        random = np.random.default_rng(0)
        labels = _labels(random, task, classes, rows)
        census = count_labels(labels)
        recipe = make_recipe("cases.csv", list(classes), overrides=[f"balance.weights.scheme={scheme}", *overrides])
        plan = None if recipe.balance.sampling.method == "none" else plan_sampling(labels)
        weights = None if scheme == "none" else class_weights(census, scheme)
        with Run.create(tmp_path / "run", recipe) as run:
            run.write_record("census", census)
            run.write_record("weights", weights)
            if plan is not None:
                run.write_record("plan", plan.to_dict())
            run.write_record("ledger", Ledger([] if weights is None else [weights], census=census))
            for member in range(2):
                for epoch in range(1, 9 + member):
                    run.append_event(_epoch(member, epoch, len(classes)))
            middle = rows // 2
            validation = _scores(random, labels.select(np.arange(middle)), "validation")
            write_scores(validation, run.scores_file("validation"))
            rule = fit_decision(validation, "argmax" if validation.exclusive else maximize, empty="never")
            write_rule(rule, run.file("decision.json"))
            metrics = {}
            if test:
                scores = _scores(random, labels.select(np.arange(middle, rows)), "test")
                write_scores(scores, run.scores_file("test"))
                metrics["rule"] = evaluate(scores, rule, replicates=50).to_dict()
                if not scores.exclusive:
                    metrics["half"] = evaluate(scores, fixed_rule(scores, 0.5), replicates=50).to_dict()
                metrics["never"] = evaluate(scores, _Never(), replicates=50).to_dict()
            run.write_record("metrics", metrics)
            run.finish()
        return Run.open(tmp_path / "run")

    return make


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with weights and a sampling plan, whose classes have hostile names."""
    from equipoise.report import write_page

    make = run_maker(tmp_path_factory.mktemp("hostile"))
    run = make(classes=HOSTILE, scheme="sqrt", overrides=["balance.sampling.method=uniform"])
    return write_page(run.path)
