"""The loop: a resumed training is the training that was never cut, and batches change nothing but their number."""

from __future__ import annotations

import contextlib
import itertools
import json
import math

import numpy as np
import pytest
import torch

from equipoise._checks import ArgumentError, RunError
from equipoise.data import TableRows
from equipoise.losses import make_loss
from equipoise.models import make_model
from equipoise.recipe import TrainingSettings, make_recipe
from equipoise.training import Fit, Phase, Silent, train
from equipoise.training.train import _device, _named_nondeterminism, _set_determinism


def _rows(count: int = 200, *, unknown: float = 0.0) -> TableRows:
    generator = torch.Generator().manual_seed(5)
    numeric = torch.randn(count, 4, generator=generator)
    chance = torch.sigmoid(numeric[:, :3] - 1.0)
    labels = torch.bernoulli(chance, generator=generator)
    hidden = torch.rand(labels.shape, generator=generator) < unknown
    labels = torch.where(hidden, torch.full_like(labels, math.nan), labels)
    return TableRows(numeric, torch.zeros((count, 0), dtype=torch.int64), labels)


def _fit(
    *,
    unknown: float = 0.0,
    batch_size: int = 32,
    dropout: float = 0.2,
    model: str = "mlp",
    entry_weights: torch.Tensor | None = None,
    **settings: object,
) -> Fit:
    rows = _rows(unknown=unknown)
    sizes = {} if model == "linear" else {"dropout": dropout}
    made = make_model(model, n_numeric=4, cardinalities=(), n_outputs=3, seed=1, **sizes)
    values = {"epochs": 4, "patience": None, **settings}
    return Fit(
        made,
        [Phase(make_loss("bce", "multilabel"), entry_weights=entry_weights)],
        rows,
        rows.part(0, 50),
        TrainingSettings(**values),
        batch_size=batch_size,
        seed=7,
        higher_is_better=False,
    )


def _run(fit: Fit, cut: int | None = None) -> tuple[dict[str, torch.Tensor], str]:
    """Run, or stop at the `cut`-th chance of a checkpoint; return the stored tensors and the stored record as JSON."""

    class CutError(Exception):
        pass

    kept: tuple[dict[str, torch.Tensor], str] = ({}, "")
    chances = 0

    def after_step(fit: Fit) -> None:
        nonlocal kept, chances
        chances += 1
        if chances == cut:
            kept = ({name: tensor.clone() for name, tensor in fit.tensors().items()}, json.dumps(fit.record()))
            raise CutError

    with contextlib.suppress(CutError):
        fit.run(lambda logits, _: float(np.square(logits).mean()), lambda *_: None, after_step)
    return kept


@pytest.mark.parametrize("schedule", ["none", "plateau", "cosine", "one_cycle"])
@pytest.mark.parametrize("cut", [1, 5, 6, 7, 23])
def test_resumed_at_any_step_ends_with_the_same_bytes(schedule: str, cut: int) -> None:
    whole = _fit(schedule=schedule)
    _run(whole)
    tensors, record = _run(_fit(schedule=schedule), cut)
    resumed = _fit(schedule=schedule)
    resumed.load(tensors, json.loads(record))
    _run(resumed)
    assert resumed.progress == whole.progress
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("model", ["linear", "mlp", "tabm"])
@pytest.mark.parametrize("unknown", [0.0, 0.4])
@pytest.mark.parametrize("weighted", [False, True])
def test_micro_batches_give_the_gradient_of_one_batch(model: str, unknown: float, weighted: bool) -> None:
    weights = torch.rand((200, 3), generator=torch.Generator().manual_seed(2)) if weighted else None
    common = {"dropout": 0.0, "unknown": unknown, "model": model, "entry_weights": weights, "epochs": 2}
    whole = _fit(batch_size=64, **common)
    parts = _fit(batch_size=16, accumulate=4, **common)
    _run(whole)
    _run(parts)
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(tensor, parts.model.state_dict()[name], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("model", ["linear", "tabm"])
def test_a_label_of_weight_zero_is_not_learned_from_and_ones_change_nothing(model: str) -> None:
    ones, plain = (
        _fit(model=model, entry_weights=weights, dropout=0.0, epochs=2) for weights in (torch.ones(200, 3), None)
    )
    weights = torch.ones(200, 3)
    weights[:, 1] = 0.0
    silent = _fit(model=model, entry_weights=weights, epochs=2, weight_decay=0.0, dropout=0.0)
    before = {name: tensor.clone() for name, tensor in silent.model.state_dict().items()}
    for fit in (ones, plain, silent):
        _run(fit)
    for name, tensor in ones.model.state_dict().items():
        torch.testing.assert_close(tensor, plain.model.state_dict()[name], rtol=1e-4, atol=1e-6)
    bias = next(name for name in before if name.endswith("output.bias"))
    after = silent.model.state_dict()[bias]
    torch.testing.assert_close(after[..., 1], before[bias][..., 1])
    assert not torch.equal(after[..., 0], before[bias][..., 0])


def test_every_row_is_seen_once_an_epoch_for_any_size() -> None:
    from equipoise.training.loop import step_bounds, step_count

    for rows in (1, 2, 31, 32, 33, 47, 48, 49, 200):
        steps = step_count(rows, 32)
        bounds = [step_bounds(step, 32, steps, rows) for step in range(steps)]
        assert bounds[0][0] == 0
        assert bounds[-1][1] == rows
        assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))
        assert all(end > begin for begin, end in bounds)


def test_a_metric_that_is_nan_never_counts_as_an_improvement_and_never_stops_the_training() -> None:
    fit = _fit(epochs=6)
    values = iter([math.nan, 0.5, math.nan, 0.4, math.nan, 0.6])
    fit.run(lambda *_: next(values), lambda *_: None, lambda _: None)
    assert fit.progress.epoch == 6
    assert fit.progress.best_epoch == 4
    assert fit.progress.best_value == 0.4


def test_the_best_epoch_is_what_is_left_in_the_model() -> None:
    fit, seen = _fit(epochs=5), []
    values = iter([0.9, 0.2, 0.8, 0.7, 0.6])

    def report(fit: Fit, *_: object) -> None:
        seen.append({name: tensor.clone() for name, tensor in fit.judged.state_dict().items()})

    fit.run(lambda *_: next(values), report, lambda _: None)
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in fit.model.state_dict().items())


def test_patience_counts_epochs_without_gain() -> None:
    fit = _fit(epochs=50, patience=3)
    fit.run(lambda *_: 1.0, lambda *_: None, lambda _: None)
    assert fit.progress.epoch == 4


def test_a_loss_that_is_not_finite_is_an_error_with_the_way_out() -> None:
    fit = _fit()
    with torch.no_grad():
        fit.train_rows.numeric[3, 0] = math.inf
    with pytest.raises(RunError, match=r"training loss became nan in epoch 1\. Lower training\.learning_rate"):
        _run(fit)


@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_half_precision_trains_and_resumes(precision: str) -> None:
    whole = _fit(precision=precision)
    _run(whole)
    tensors, record = _run(_fit(precision=precision), 9)
    resumed = _fit(precision=precision)
    resumed.load(tensors, json.loads(record))
    _run(resumed)
    for name, tensor in whole.model.state_dict().items():
        assert torch.isfinite(tensor).all()
        assert torch.equal(tensor, resumed.model.state_dict()[name])


def test_the_rate_in_the_record_is_the_rate_that_is_used() -> None:
    fit, rates = _fit(schedule="cosine", learning_rate=0.01, epochs=2), []
    fit.run(lambda *_: 1.0, lambda fit, *_: rates.append(fit.record()["learning_rate"]), lambda _: None)
    steps = fit.steps_per_epoch
    expected = [0.01 * 0.5 * (1 + math.cos(math.pi * step / (2 * steps))) for step in (steps, 2 * steps)]
    assert rates == pytest.approx(expected)


def test_epochs_before_the_last_phase_are_never_the_best_and_learn_under_their_own_loss() -> None:
    fit = _fit(epochs=6)
    drawn: list[int] = []

    def order(epoch: int) -> torch.Tensor:
        drawn.append(epoch)
        return torch.zeros(200, dtype=torch.int64)

    fit.phases = (fit.phases[0], Phase(make_loss("bce", "multilabel"), order, from_epoch=4))
    values = iter([0.1, 0.1, 0.1, 0.9, 0.8, 0.85])
    fit.run(lambda *_: next(values), lambda *_: None, lambda _: None)
    assert drawn == [3, 4, 5]
    assert fit.progress.best_epoch == 5


def test_determinism_is_set_without_the_seconds_of_the_compiler(monkeypatch):
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode: pytest.fail("imports the compiler"))
    for wanted in (True, False):
        _set_determinism(wanted, compiled=False)
        assert torch.are_deterministic_algorithms_enabled() == wanted


def test_what_has_no_deterministic_algorithm_names_the_key():
    said = r"for grid_backward on this device.*Set training\.deterministic: false"
    with pytest.raises(RunError, match=said), _named_nondeterminism():
        raise RuntimeError("grid_backward does not have a deterministic implementation, but you set ...")
    with pytest.raises(RuntimeError, match="something else"), _named_nondeterminism():
        raise RuntimeError("something else")


def test_each_process_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert _device("auto") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert _device("cpu") == torch.device("cpu")
    with pytest.raises(ArgumentError, match=r"2 processes on a machine with 1 GPU.*--nproc-per-node 1"):
        _device("auto")


def test_a_training_that_was_stopped_goes_on_in_the_same_process(tmp_path):
    class Stop(Silent):
        def move(self, epoch, note):
            raise KeyboardInterrupt

    rng = np.random.default_rng(0)
    lines = [f"{x:.3f},{int(x + rng.normal() > 1)}" for x in rng.normal(size=120)]
    (tmp_path / "table.csv").write_text("x,ill\n" + "\n".join(lines) + "\n")
    recipe = make_recipe(
        tmp_path / "table.csv", "ill", groups="none",
        overrides=["training.epochs=2", "training.members=1", "model.name=linear"],
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt) as kept:  # as a notebook keeps the last error, with all that it refers to
        train(recipe, out=tmp_path / "run", watch=Stop())
    assert (train(recipe, out=tmp_path / "run", resume=True).path / "DONE").exists()
    del kept
