"""What every model is: tensors in, logits out, and a description that makes it again."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Model(nn.Module, abc.ABC):
    """What every model has: a name, outputs, settings, and a description that makes it again.

    Attributes:
        name: the model's name, for whoever makes it.
        n_outputs: logits per row (and submodel).
        multiclass: whether the outputs exclude one another (softmax) or not (sigmoid).
        settings: the sizes and choices of the model, in plain JSON types.
        submodels: how many predictions `forward` makes for a row.
    """

    name: str

    def __init__(self, *, n_outputs: int, multiclass: bool, settings: dict[str, Any], submodels: int = 1) -> None:
        super().__init__()
        self.n_outputs, self.multiclass = n_outputs, multiclass
        self.settings = {key: value for key, value in settings.items() if value is not None}
        self.submodels = submodels

    @property
    @abc.abstractmethod
    def output_bias(self) -> nn.Parameter:
        """The bias of the last layer, (outputs,) or (submodels, outputs)."""

    @property
    @abc.abstractmethod
    def inputs(self) -> dict[str, Any]:
        """What the model takes, in plain JSON types: what the data decide and not the user."""

    @property
    def parameter_count(self) -> int:
        """Numbers that training changes."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that makes the model again but its weights, in plain JSON types (`model_from_dict`)."""
        return {
            "name": self.name,
            **self.inputs,
            "n_outputs": self.n_outputs,
            "multiclass": self.multiclass,
            "settings": self.settings,
        }

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return optimiser groups: matrices that multiply features decay; biases, scalings and embeddings do not.

        As in the reference code of TabM: a bias pulled to zero would be pulled away from the prevalence.
        """
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            matrix = name.endswith("weight") and parameter.dim() >= 2 and "embedding" not in name
            (decayed if matrix else free).append(parameter)
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    def combine(self, logits: Tensor) -> Tensor:
        """Return the logits of the mean probability of the submodels (see `combine_submodels`)."""
        return combine_submodels(logits, multiclass=self.multiclass) if logits.dim() == 3 else logits

    def describe(self) -> str:
        """Return the model in one line, as reports show it."""
        sizes = ", ".join(
            f"{key} {value}" for key, value in self.settings.items() if isinstance(value, int | float | str)
        )
        return f"{self.name} with {self.parameter_count:,} parameters" + (f" ({sizes})" if sizes else "")


class TabularModel(Model, abc.ABC):
    """A model of a table. `forward` takes (rows, numeric) float32 and (rows, categories) int64.

    It returns logits (rows, outputs), or (rows, submodels, outputs) when the model holds an ensemble whose submodels
    are each trained on their own loss; `combine` makes (rows, outputs) of those.

    Attributes:
        n_numeric: numeric columns.
        cardinalities: codes of each category column, the reserved code 0 counted.
    """

    def __init__(
        self,
        *,
        n_numeric: int,
        cardinalities: Sequence[int],
        n_outputs: int,
        multiclass: bool,
        settings: dict[str, Any],
        submodels: int = 1,
    ) -> None:
        super().__init__(n_outputs=n_outputs, multiclass=multiclass, settings=settings, submodels=submodels)
        self.n_numeric = n_numeric
        self.cardinalities = tuple(int(codes) for codes in cardinalities)

    @abc.abstractmethod
    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return logits, on the scale of the training prior."""

    @property
    def inputs(self) -> dict[str, Any]:
        """The columns of the table."""
        return {"n_numeric": self.n_numeric, "cardinalities": list(self.cardinalities)}


def combine_submodels(logits: Tensor, *, multiclass: bool) -> Tensor:
    """Return the logits of the submodels' mean probability, exact also where probabilities would round to 0 or 1.

    Sigmoid: ``logit(mean_k sigmoid(z_k)) = logsumexp_k(log sigmoid(z_k)) - logsumexp_k(log sigmoid(-z_k))``.
    Softmax: ``log(mean_k softmax(z_k))``, whose softmax is the mean.

    Args:
        logits: (rows, submodels, outputs).
        multiclass: softmax over the outputs, or a sigmoid for each.

    Returns:
        (rows, outputs).

    >>> combine_submodels(torch.tensor([[[0.0], [0.0]]]), multiclass=False).tolist()
    [[0.0]]
    >>> two = torch.logit(torch.tensor([[[0.2], [0.6]]]))
    >>> round(torch.sigmoid(combine_submodels(two, multiclass=False)).item(), 6)
    0.4
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    if multiclass:
        members = torch.log_softmax(logits, dim=-1)
        return torch.logsumexp(members, dim=1) - math.log(logits.shape[1])
    log_sigmoid = nn.functional.logsigmoid
    return torch.logsumexp(log_sigmoid(logits), dim=1) - torch.logsumexp(log_sigmoid(-logits), dim=1)
