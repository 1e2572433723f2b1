"""A plain multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from equipoise.models._base import TabularModel
from equipoise.models._embeddings import make_numeric_embedding
from equipoise.models._inputs import TableInput


@final
class MLP(TabularModel):
    """Blocks of linear, ReLU and dropout, then a linear output, beside a linear path from the input.

    The blocks are those of Gorishniy et al., "Revisiting deep learning models for tabular data", NeurIPS 2021,
    section 3.1. The linear path is ours: it starts at zero and lets the model be a logistic regression where the
    data ask for no more.

    Args:
        n_numeric: numeric columns.
        cardinalities: codes of each category column, the reserved code 0 counted.
        n_outputs: logits per row.
        multiclass: whether the outputs exclude one another.
        width: units of a block.
        depth: blocks.
        dropout: share of units dropped in training.
        embedding: how numbers are embedded (see `make_numeric_embedding`).
        embedding_size: width of an embedding.
        bins: bins per number of `piecewise_linear`.
        bin_edges: the edges of those bins, one list a number.
        skip: whether there is the linear path.
    """

    name = "mlp"

    def __init__(
        self,
        *,
        n_numeric: int,
        cardinalities: Sequence[int],
        n_outputs: int,
        multiclass: bool = False,
        width: int = 256,
        depth: int = 2,
        dropout: float = 0.1,
        embedding: str = "none",
        embedding_size: int = 8,
        bins: int = 16,
        bin_edges: Sequence[Sequence[float]] | None = None,
        skip: bool = True,
    ) -> None:
        settings = {
            "width": width,
            "depth": depth,
            "dropout": dropout,
            "embedding": embedding,
            "embedding_size": embedding_size,
            "bins": bins,
            "bin_edges": None if bin_edges is None else [list(edges) for edges in bin_edges],
            "skip": skip,
        }
        super().__init__(
            n_numeric=n_numeric,
            cardinalities=cardinalities,
            n_outputs=n_outputs,
            multiclass=multiclass,
            settings=settings,
        )
        self.input = TableInput(
            n_numeric=n_numeric,
            cardinalities=cardinalities,
            embedding_size=embedding_size,
            numeric_embedding=make_numeric_embedding(embedding, n_numeric, embedding_size, bin_edges),
        )
        layers: list[nn.Module] = []
        for block in range(depth):
            layers += [nn.Linear(self.input.width if block == 0 else width, width), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.blocks = nn.Sequential(*layers)
        self.output = nn.Linear(width, n_outputs)
        self.skip = nn.Linear(self.input.width, n_outputs, bias=False) if skip else None
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return logits (rows, outputs)."""
        x = self.input(numeric, categorical)
        logits: Tensor = self.output(self.blocks(x))
        return logits if self.skip is None else logits + self.skip(x)

    @property
    def output_bias(self) -> nn.Parameter:
        """The bias of the output, (outputs,)."""
        return self.output.bias
