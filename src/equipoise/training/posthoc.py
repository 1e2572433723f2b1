"""Corrections of a finished run that leave its representation as it is: a new last layer, or a rescaled one.

Both make a new run folder, judged like any run. `retrain_last_layer` draws classes evenly and the ledger takes that
back, so its probabilities are at the natural prevalence; `tau_normalise` rescales scores, which no ledger can undo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equipoise._checks import ArgumentError, RunError, check_number
from equipoise.data import Rows
from equipoise.decision import fixed_rule
from equipoise.evidence import evaluate
from equipoise.labels import read_split
from equipoise.models import Model
from equipoise.recipe import read_recipe
from equipoise.runs import Run
from equipoise.scores import Scores
from equipoise.training.combine import make_scores, measured_ledger, natural_logits
from equipoise.training.loop import Workers, predict_logits
from equipoise.training.member import MemberTraining, Trained
from equipoise.training.predict import load_members
from equipoise.training.prepare import Prepared, prepare
from equipoise.training.telemetry import Silent, Watch
from equipoise.training.train import write_finished

_LAST_LAYER = ("output.", "skip.")
TAUS = tuple(float(tau) for tau in np.linspace(0.0, 1.0, 11).round(1))
_OBJECTIVES = {"f1": "macro_f1", "balanced_accuracy": "macro_recall", "youden": "macro_recall"}


def retrain_last_layer(
    run: Run | str | Path,
    *,
    out: str | Path,
    overrides: Sequence[str] = ("balance.weights.scheme=none", "balance.sampling.method=uniform"),
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Return a new run: the layers of a finished one, frozen, and a last layer trained afresh on balanced batches.

    Args:
        run: a finished run.
        out: the new run folder.
        overrides: changes to its recipe, as for `read_recipe`; by default rows are drawn so that all classes have equal
            shares, and the loss is not weighted. Any other correction may stand here, or a learning rate.
        overwrite: replace a run in `out`.
        watch: where progress is shown; None is silent.

    Raises:
        ArgumentError: an override cannot work, or the model has nothing but a last layer.
        RunError: the run is not finished, its table gives another split now, or `out` is taken.

    References:
        Kang et al., ICLR 2020, section 4.1, "classifier re-training" (cRT). Differs: the last layer includes the linear
        path past the hidden layers, where the model has one, and its bias starts at the prior that is trained under.
    """
    run = _finished(run)
    Run.require_free(out, overwrite=overwrite)
    sources = load_members(run)
    if all(name.startswith(_LAST_LAYER) for name, _ in sources[0][0].named_parameters()):
        raise ArgumentError(
            f"The model of {run.path}, {sources[0][0].name}, is a last layer only. "
            "Train it with balance.sampling instead."
        )
    recipe = read_recipe(run.file("recipe.yaml"), list(overrides))
    prepared = _prepare_as(run, recipe)

    def start(model: Model, number: int) -> None:
        kept = {n: t for n, t in sources[number][0].state_dict().items() if not n.startswith(_LAST_LAYER)}
        model.load_state_dict(kept, strict=False)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(_LAST_LAYER))

    trained = [
        MemberTraining(
            prepared, number, folder=run.path / "never-written", run=None, watch=watch or Silent(), workers=Workers(),
            device=torch.device("cpu"), start=start,
        ).result()
        for number in range(len(prepared.members))
    ]  # fmt: skip
    about = {"method": "retrain_last_layer", "source": str(run.path), "overrides": list(overrides)}
    return _write(out, prepared, trained, about, overwrite=overwrite)


def tau_normalise(
    run: Run | str | Path, tau: float | str = "validation", *, out: str | Path, overwrite: bool = False
) -> Run:
    r"""Return a new run: the last layer of a finished one, its rows scaled to more equal lengths.

    .. math:: \tilde w_c = w_c (\bar w / \lVert w_c \rVert)^\tau

    with the geometric mean of the lengths, so that their scale stays. Only for one-of-many tasks: with a sigmoid a
    class, scaling moves the scores of a class by a line, and a fitted threshold moves along.

    Args:
        run: a finished run.
        tau: 0 changes nothing, 1 makes all rows equally long; ``"validation"`` takes the smallest of 0, 0.1, ..., 1
            with the best macro-F1 (or macro recall, as the recipe decides) of the most likely class on the validation
            role.
        out: the new run folder.
        overwrite: replace a run in `out`.

    Raises:
        ArgumentError: the task is not one-of-many, or tau is no number from 0 on.
        RunError: the run is not finished, its table gives another split now, or `out` is taken.

    References:
        Kang et al., ICLR 2020, eq. 2. Differs: the bias stays, as it holds the prior here; the mean length.
    """
    run = _finished(run)
    Run.require_free(out, overwrite=overwrite)
    prepared = _prepare_as(run, read_recipe(run.file("recipe.yaml")))
    if not prepared.exclusive or not prepared.ledger.one_a_class:
        raise ArgumentError(_without_rivals(run, prepared))
    members, objective = load_members(run), _OBJECTIVES.get(prepared.recipe.decision.maximize, "macro_f1")
    if tau == "validation":
        worth = {value: _worth(_validation(prepared, members, value), objective) for value in TAUS}
        tau, validated = max(TAUS, key=lambda value: (worth[value], -value)), {str(k): v for k, v in worth.items()}
    else:
        tau, validated = check_number(tau, argument="tau", function="tau_normalise", at_least=0.0), {}
    tau = float(tau)
    trained = [_scaled_member(prepared, number, *member, tau=tau) for number, member in enumerate(members)]
    about = {"method": "tau_normalise", "source": str(run.path), "tau": tau, "objective": objective}
    return _write(out, prepared, trained, about | {"validated": validated}, overwrite=overwrite)


def normalised_weights(weights: Mapping[str, Tensor], tau: float) -> dict[str, Tensor]:
    """Return the tensors of a model with its last layer tau-normalised, the path past the hidden layers included.

    Args:
        weights: `Model.state_dict`.
        tau: see `tau_normalise`.

    Example:
        Rows of length 4 and 1, whose geometric mean is 2:

        >>> made = normalised_weights({"output.weight": torch.tensor([[4.0], [1.0]])}, tau=1.0)
        >>> made["output.weight"].flatten().tolist()
        [2.0, 2.0]
    """
    output = weights["output.weight"]
    # nn.Linear holds (outputs, inputs); the layer of an ensemble (submodels, inputs, outputs).
    rows = output if output.dim() == 2 else output.transpose(1, 2)
    squares = rows.double().square().sum(dim=-1)
    skip = weights.get("skip.weight")
    if skip is not None:
        squares = squares + skip.double().square().sum(dim=-1)
    lengths = squares.sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    factor = (lengths.log().mean(dim=-1, keepdim=True).exp() / lengths) ** tau
    scaled = dict(weights)
    scaled["output.weight"] = output * (factor.unsqueeze(-1) if output.dim() == 2 else factor.unsqueeze(1)).to(output)
    if skip is not None:
        # The path is shared by all submodels: it takes the mean factor.
        shared = factor if factor.dim() == 1 else factor.mean(dim=0)
        scaled["skip.weight"] = skip * shared.unsqueeze(-1).to(skip)
    return scaled


def _without_rivals(run: Run, prepared: Prepared) -> str:
    """Say why the outputs of a run cannot be tau-normalised."""
    said = "tau_normalise works on one score a class, of which the largest wins; "
    if not prepared.exclusive:
        return (
            f"{said}the task of {run.path} is {prepared.labels.task}. A threshold a class, fitted on validation, does "
            "the same there."
        )
    outputs, loss = prepared.ledger.outputs, prepared.recipe.loss.name
    return (
        f"{said}{run.path} was trained with the loss {loss}, whose {outputs} output{'s are' if outputs > 1 else ' is'} "
        "no such score. Cut points, fitted on validation, do the same there."
    )


def _finished(run: Run | str | Path) -> Run:
    run = run if isinstance(run, Run) else Run.open(run)
    run.require_done()
    return run


def _prepare_as(run: Run, recipe: Any) -> Prepared:
    """Prepare a recipe, and see to it that its rows have the roles that they had in the run."""
    prepared = prepare(recipe)
    stored = read_split(run.file("split.csv"))
    if stored.hash != prepared.split.hash:
        raise RunError(
            f"{recipe.data.table} gives another split than {run.path} was trained on, so rows of its test role might "
            "be learned from. Restore the table, or train again."
        )
    return prepared


def _rows(prepared: Prepared, inputs: Mapping[str, Any], rows: Any) -> Rows:
    return prepared.inputs.restore(inputs).rows().take(torch.from_numpy(rows))


def _scaled_member(prepared: Prepared, number: int, model: Model, inputs: Mapping[str, Any], *, tau: float) -> Trained:
    original = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(normalised_weights(original, tau))
    precision = prepared.recipe.training.precision
    validation = predict_logits(model, _rows(prepared, inputs, prepared.members[number].validation), precision)
    test = predict_logits(model, _rows(prepared, inputs, prepared.test), precision)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(original)
    return Trained(weights, model.to_dict(), inputs, validation, test, 0, float("nan"), 0)


def _validation(prepared: Prepared, members: Sequence[tuple[Model, Mapping[str, Any]]], tau: float) -> Scores:
    rows = np.concatenate([member.validation for member in prepared.members])
    logits = [_scaled_member(prepared, n, *member, tau=tau).validation for n, member in enumerate(members)]
    truth = [prepared.labels.select(member.validation).table() for member in prepared.members]
    ledger = measured_ledger(prepared.ledger, logits, truth)
    values = np.concatenate([natural_logits(ledger, prepared.labels.task, [one]) for one in logits])
    return make_scores(prepared, rows, values, role="validation")


def _worth(scores: Scores, objective: str) -> float:
    return evaluate(scores, fixed_rule(scores, thresholds=None), replicates=0).value(objective)


def _write(
    out: str | Path, prepared: Prepared, trained: Sequence[Trained], about: Mapping[str, Any], *, overwrite: bool
) -> Run:
    run = Run.create(out, prepared.recipe, overwrite=overwrite)
    run.write_record("posthoc", about)
    write_finished(run, prepared, trained)
    run.close()
    return run
