"""Models by name."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, check_number, check_one_of, listed, nearest
from equipoise.models._base import TabularModel
from equipoise.models._embeddings import quantile_bin_edges
from equipoise.models._image_base import ImageModel
from equipoise.models._inputs import initialise_bias
from equipoise.models._mask_base import MaskModel
from equipoise.models.linear import Linear
from equipoise.models.mlp import MLP
from equipoise.models.tabm import TabM

MODELS: dict[str, type[Linear] | type[MLP] | type[TabM]] = {"linear": Linear, "mlp": MLP, "tabm": TabM}

_DATA = ("n_numeric", "cardinalities", "n_outputs", "multiclass")  # what the table decides, not the user
_LEAST = {"width": 1.0, "depth": 1.0, "ensemble": 1.0, "embedding_size": 1.0, "bins": 2.0}


def make_model(
    name: str,
    *,
    n_numeric: int,
    cardinalities: Sequence[int],
    n_outputs: int,
    multiclass: bool = False,
    seed: int = 0,
    prior: NDArray[np.floating[Any]] | None = None,
    initial_bias: str = "prevalence",
    training_numeric: NDArray[np.float32] | None = None,
    **settings: Any,
) -> TabularModel:
    """Return a model with weights that depend on `seed` and the settings alone.

    Args:
        name: `linear`, `mlp` or `tabm`.
        n_numeric: numeric columns, `TabularArrays.numeric.shape[1]`.
        cardinalities: codes of each category column, `Preprocessor.cardinalities`.
        n_outputs: logits per row.
        multiclass: whether the outputs exclude one another (softmax).
        seed: of the weights; torch's own generator is left as it was.
        prior: (outputs,) logits of the training prior, from `prior_logits`; what the final bias starts at.
        initial_bias: `prevalence` starts the final bias at `prior`, `zero` at 0. Without `prior` it starts at 0.
        training_numeric: the scaled training rows; needed for `embedding="piecewise_linear"` only.
        **settings: of the model; a name that it does not have is an error, None means its default.

    Raises:
        ArgumentError: an unknown model or setting (the nearest is named), or a value out of range.

    >>> model = make_model("linear", n_numeric=2, cardinalities=(3,), n_outputs=1, prior=np.array([-4.6]))
    >>> logits = model(torch.ones(1, 2), torch.ones(1, 1, dtype=torch.int64))
    >>> model.parameter_count, round(logits.item(), 3)
    (5, -4.6)
    """
    check_one_of(name, MODELS, argument="name", function="make_model")
    check_one_of(initial_bias, ("prevalence", "zero"), argument="initial_bias", function="make_model")
    given = {key: value for key, value in settings.items() if value is not None}
    _check_settings(name, given)
    if prior is not None and np.shape(prior) != (n_outputs,):
        raise ArgumentError(f"`prior` of make_model must have shape ({n_outputs},); got {np.shape(prior)}.")
    if given.get("embedding") == "piecewise_linear" and "bin_edges" not in given and training_numeric is not None:
        given["bin_edges"] = quantile_bin_edges(training_numeric, given.get("bins", 16))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[name](
            n_numeric=n_numeric, cardinalities=cardinalities, n_outputs=n_outputs, multiclass=multiclass, **given
        )
    start = None if prior is None or initial_bias == "zero" else torch.as_tensor(np.asarray(prior, dtype=np.float32))
    initialise_bias(model.output_bias, start)
    return model


def prior_logits(
    positives: NDArray[Any],
    known: NDArray[Any],
    *,
    multiclass: bool = False,
    log_odds_shift: NDArray[np.floating[Any]] | None = None,
) -> NDArray[np.float64]:
    """Return the logits of the prevalence, half a case added to each side so that an empty class stays finite.

    ``log((positives + 1/2) / (known - positives + 1/2))`` for a sigmoid; for softmax ``log((n_c + 1/2) / sum)``.

    Args:
        positives: (classes,) rows of each class in the training role.
        known: (classes,) rows whose label is known; not used for softmax.
        multiclass: whether the classes exclude one another.
        log_odds_shift: (classes,) added: what corrections do to the training prior, `Ledger.log_odds_shift`.

    >>> prior_logits(np.array([9.5]), np.array([109.0])).round(4).tolist()
    [-2.3026]
    >>> np.exp(prior_logits(np.array([1, 3]), np.array([4, 4]), multiclass=True)).tolist()
    [0.3, 0.7]
    """
    positives = np.asarray(positives, dtype=np.float64)
    known = np.asarray(known, dtype=np.float64)
    shift = np.zeros(len(positives)) if log_odds_shift is None else np.asarray(log_odds_shift, dtype=np.float64)
    if not multiclass:
        return np.asarray(np.log((positives + 0.5) / (known - positives + 0.5)) + shift, dtype=np.float64)
    logits = np.log(positives + 0.5) + shift
    return np.asarray(logits - np.logaddexp.reduce(logits), dtype=np.float64)


def model_from_dict(value: dict[str, Any]) -> TabularModel | ImageModel | MaskModel:
    """Return the model that its `to_dict` described, its weights not yet loaded; nothing is fetched.

    Raises:
        ArgumentError: the description names a model or setting that does not exist.
    """
    if "patch_size" in value:
        from equipoise.models.mask_models import mask_model_from_dict

        return mask_model_from_dict(value)
    if "channels" in value:
        from equipoise.models.hybrid import make_image_model

        made = {key: value[key] for key in ("channels", "n_outputs", "multiclass")}
        return make_image_model(value["name"], **made, initial_bias="zero", **value["settings"])
    return make_model(
        value["name"], **{key: value[key] for key in _DATA}, seed=0, initial_bias="zero", **value["settings"]
    )


def _check_settings(name: str, settings: dict[str, Any]) -> None:
    """Raise for a setting that the model does not have or that is out of range."""
    allowed = [key for key in inspect.signature(MODELS[name]).parameters if key not in _DATA]
    for key, value in settings.items():
        if key not in allowed:
            has = f"It has {listed(allowed)}." if allowed else "It has no settings."
            raise ArgumentError(f'The model {name} has no setting "{key}".{nearest(key, allowed)} {has}')
        if key in _LEAST:
            check_number(value, argument=key, function=f"the model {name}", at_least=_LEAST[key])
            if value != int(value):
                raise ArgumentError(f"`{key}` of the model {name} must be a whole number; got {value}.")
    if "dropout" in settings:
        check_number(settings["dropout"], argument="dropout", function=f"the model {name}", at_least=0.0, at_most=0.95)
