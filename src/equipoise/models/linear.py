"""Logistic regression: one weight per feature and output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from equipoise.models._base import TabularModel
from equipoise.models._inputs import TableInput


@final
class Linear(TabularModel):
    """Logistic (softmax) regression on the numbers and one-hot codes of a table.

    Weights start at zero, so that the first prediction is the prior and nothing is random.

    Args:
        n_numeric: numeric columns.
        cardinalities: codes of each category column, the reserved code 0 counted.
        n_outputs: logits per row.
        multiclass: whether the outputs exclude one another.
    """

    name = "linear"

    def __init__(
        self, *, n_numeric: int, cardinalities: Sequence[int], n_outputs: int, multiclass: bool = False
    ) -> None:
        super().__init__(
            n_numeric=n_numeric, cardinalities=cardinalities, n_outputs=n_outputs, multiclass=multiclass, settings={}
        )
        self.input = TableInput(n_numeric=n_numeric, cardinalities=cardinalities, most_one_hot=max([2, *cardinalities]))
        self.output = nn.Linear(self.input.width, n_outputs)
        nn.init.zeros_(self.output.weight)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return logits (rows, outputs)."""
        logits: Tensor = self.output(self.input(numeric, categorical))
        return logits

    @property
    def output_bias(self) -> nn.Parameter:
        """The intercepts, (outputs,)."""
        return self.output.bias
