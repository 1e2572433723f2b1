"""Training under every way of drawing rows: it ends, stores its plan and its pre-flight, and survives a kill."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import processes
from equipoise.balance import Ledger, Preflight, SamplingPlan
from equipoise.metrics import log_loss
from equipoise.recipe import make_recipe
from equipoise.runs import Run
from equipoise.scores import read_scores
from equipoise.training import train

_LABELS = ["common", "rare"]
_QUICK = ("training.members=1", "training.epochs=4", "model.name=linear")
_SAMPLERS = {
    "solved": ("balance.sampling.method=uniform",),
    "half": ("balance.sampling.method=uniform", "balance.sampling.strength=0.5"),
    "heuristic": ("balance.sampling.method=max",),
    # The way back holds for what was trained to the end: it starts at the natural prior and moves from epoch 3 on.
    "scheduled": ("balance.sampling.method=uniform", "balance.schedule.from_epoch=3", "training.epochs=60"),
    "in turn": ("balance.sampling.method=uniform", "balance.sampling.replacement=false"),
    "strict": ("balance.sampling.method=uniform", "balance.sampling.strict=true"),
    "measured": ("balance.sampling.method=uniform", "balance.sampling.stabilise=false"),
}
# Cut at a moment of its own, and with several members: what has to be the same after a kill.
_COMPARED = (
    "model.safetensors", "metrics.json", "decision.json", "events.jsonl", "split.csv", "plan.json", "preflight.json",
    "ledger.json", "scores/validation.parquet", "scores/test.parquet",
)  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 3))
    ill = rng.random((600, 2)) < 1 / (1 + np.exp(np.array([1.0, 3.0]) - x[:, :2]))
    path = tmp_path / "table.csv"
    frame = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "common": ill[:, 0].astype(int), "rare": ill[:, 1].astype(int)}
    pl.DataFrame(frame).write_csv(path)
    return path


def _arguments(table: Path, out: Path, *settings: str) -> list[str]:
    parts = [part for setting in settings for part in ("--set", setting)]
    labels = ",".join(_LABELS)
    return ["train", str(table), "--labels", labels, "--groups", "none", *parts, "--out", str(out)]


def _said(*arguments: str, fresh: bool = False) -> str:
    run = processes.run_fresh if fresh else processes.run
    done = run(*arguments, more={"COLUMNS": "200"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", list(_SAMPLERS))
def test_a_sampled_run_ends_and_stores_what_was_planned_and_proved(name: str, table: Path, tmp_path: Path) -> None:
    recipe = make_recipe(table, _LABELS, groups="none", overrides=[*_QUICK, *_SAMPLERS[name]])
    run = train(recipe, out=tmp_path / "run")
    assert run.is_done
    plan = SamplingPlan.from_dict(run.read_record("plan"))
    proved = Preflight.from_dict(run.read_record("preflight"))
    assert proved.passed, proved.failures
    rare = _LABELS.index("rare")
    assert plan.expected_prevalence[rare] > 1.5 * plan.prevalence[rare]
    assert proved.drawn_rates[rare] > 1.5 * proved.natural_rates[rare]
    assert proved.repeats_drawn <= 2 * plan.repeats + 10, "an epoch is looked at, not several as if they were one"
    ledger = Ledger.from_dict(run.read_record("ledger"))
    watched = read_scores(run.scores_file("validation")).probability_table().mean(axis=0)
    if name == "measured":
        np.testing.assert_allclose(ledger.log_odds_shift, plan.log_odds_shift, atol=1.0)
        np.testing.assert_allclose(watched, plan.prevalence, atol=1e-6)
    else:
        np.testing.assert_array_equal(ledger.log_odds_shift, plan.log_odds_shift)
        np.testing.assert_allclose(watched, plan.prevalence, atol=0.06)
    starts = [entry.get("from_epoch", 1) for entry in run.read_record("ledger")["corrections"]]
    assert starts == [3 if name == "scheduled" else 1]
    best = [event["best_epoch"] for event in run.events() if event["event"] == "epoch"]
    assert best[-1] >= starts[0], "a model of the epochs before the corrections is never kept"


def _kill_and_resume(arguments: list[str], out: Path, kills: int) -> int:
    """Kill the run as soon as its event log grows, resume it, and so on; return how often it was killed."""
    process, done, events = processes.Running(*arguments), 0, out / "events.jsonl"
    while done < kills:
        size, deadline = (events.stat().st_size if events.exists() else -1), time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if events.exists() and events.stat().st_size not in (0, size):
                break
            time.sleep(0.002)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        done += 1
        process = processes.Running(*arguments, "--resume")
    said = process.finish()
    assert said.returncode == 0, said.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("name", ["solved", "heuristic", "scheduled", "in turn"])
def test_a_sampled_run_that_was_killed_ends_with_the_same_bytes(name: str, table: Path, tmp_path: Path) -> None:
    settings = (
        *_SAMPLERS[name], "training.members=2", "training.epochs=8", "training.patience=null", "training.batch_size=8",
        "training.checkpoint_seconds=0", "model.name=linear",
    )  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _said(*_arguments(table, whole, *settings), fresh=name == "solved")  # the order of its sets is its own
    assert _kill_and_resume(_arguments(table, cut, *settings), cut, 3) >= 2
    for file in _COMPARED:
        assert (whole / file).read_bytes() == (cut / file).read_bytes(), file


def test_three_corrections_at_once_are_called_double_with_the_factor(table: Path, tmp_path: Path) -> None:
    settings = (
        *_QUICK, "balance.sampling.method=uniform", "balance.weights.scheme=inverse",
        "loss={name: focal, gamma: 2.0, alpha: 0.75}",
    )  # fmt: skip
    said = _said(*_arguments(table, tmp_path / "run", *settings))
    ledger = Ledger.from_dict(Run.open(tmp_path / "run").read_record("ledger"))
    factor = ledger.overshot()["rare"]
    shown = f"{factor:.1f}" if factor < 9.95 else f"{factor:,.0f}"
    assert f"rare: 3 corrections together go {shown}x beyond full balance" in said
    assert "Keep one of them, or soften them." in said
    assert "Rows were drawn by a solved plan: rare, " in said
    assert (tmp_path / "run" / "figures" / "preflight.png").exists()
    told = json.loads(_said("ledger", str(tmp_path / "run"), "--json"))
    assert [entry["type"] for entry in told["corrections"]] == ["sampling", "class_weights", "focal"]


def test_two_processes_that_draw_by_a_plan_learn_what_one_learns(table: Path, tmp_path: Path) -> None:
    settings = (
        *_QUICK, "balance.sampling.method=uniform", "balance.sampling.strict=true", "training.gradient_clip=null",
    )  # fmt: skip
    _said(*_arguments(table, tmp_path / "one", *settings))
    for rank in processes.run_as_ranks(2, *_arguments(table, tmp_path / "two", *settings)):
        assert rank.returncode == 0, rank.stderr
    one, two = (read_scores(Run.open(tmp_path / name).scores_file("test")) for name in ("one", "two"))
    np.testing.assert_allclose(one.values, two.values, atol=1e-4)


def _mean_log_loss(labels: np.ndarray, logits: np.ndarray) -> float:
    probabilities = 1 / (1 + np.exp(-logits))
    return float(np.mean([log_loss(labels[:, c], probabilities[:, c]) for c in range(labels.shape[1])]))


@pytest.mark.slow
def test_what_weights_do_to_real_probabilities_is_undone(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """The short form of benchmarks/ledger.py: one correction, two seeds, log loss beside plain training."""
    path = shared_data("brfss2022-comorbidity") / "brfss2022.csv"
    targets = [name for name in pl.read_csv(path, n_rows=1).columns if name.startswith("y_")]
    worse, untreated = [], []
    for seed in (0, 1):
        common = ["model.name=linear", "training.members=1", "training.epochs=40", f"seed={seed}"]
        losses = []
        for scheme in ("none", "inverse"):
            recipe = make_recipe(path, targets, groups="none", overrides=[*common, f"balance.weights.scheme={scheme}"])
            run = train(recipe, out=tmp_path / f"{scheme}-{seed}")
            scores, ledger = read_scores(run.scores_file("test")), Ledger.from_dict(run.read_record("ledger"))
            losses.append(_mean_log_loss(scores.table(), np.asarray(scores.values)))
        # `scores` are at the natural prevalence; with the shift put back they are what the weighted model said.
        raw = _mean_log_loss(scores.table(), np.asarray(scores.values) + ledger.log_odds_shift)
        worse.append(losses[1] - losses[0])
        untreated.append(raw - losses[0])
    assert np.mean(worse) < 0.01, worse
    assert np.mean(untreated) > 0.1, untreated
