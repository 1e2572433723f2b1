"""TabM: one network that holds k, each a little different, trained together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from equipoise.models._base import TabularModel
from equipoise.models._embeddings import make_numeric_embedding
from equipoise.models._inputs import TableInput
from equipoise.models._tabm_packages import tabm as tabm_package


@final
class TabM(TabularModel):
    """An ensemble of k perceptrons that share their weight matrices, from the package `tabm`.

    Gorishniy, Kotelnikov, Babenko, "TabM: advancing tabular deep learning with parameter-efficient ensembling",
    ICLR 2025. Each submodel is trained on its own loss (the training loss is their mean), and the prediction is the
    mean of their probabilities (section 3.3). The backbone and the output layer are the package's; ours are the
    one-hot codes without a place for words never seen, smaller default sizes, and the linear path from the input,
    shared by the submodels and zero at the start.

    Args:
        n_numeric: numeric columns.
        cardinalities: codes of each category column, the reserved code 0 counted.
        n_outputs: logits per row and submodel.
        multiclass: whether the outputs exclude one another.
        width: units of a block.
        depth: blocks.
        dropout: share of units dropped in training.
        ensemble: submodels, k.
        embedding: how numbers are embedded (see `make_numeric_embedding`).
        embedding_size: width of an embedding.
        bins: bins per number of `piecewise_linear`.
        bin_edges: the edges of those bins, one list a number.
        skip: whether there is the linear path.
    """

    name = "tabm"

    def __init__(
        self,
        *,
        n_numeric: int,
        cardinalities: Sequence[int],
        n_outputs: int,
        multiclass: bool = False,
        width: int = 64,
        depth: int = 2,
        dropout: float = 0.1,
        ensemble: int = 8,
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
            "ensemble": ensemble,
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
            submodels=ensemble,
        )
        self.input = TableInput(
            n_numeric=n_numeric,
            cardinalities=cardinalities,
            embedding_size=embedding_size,
            numeric_embedding=make_numeric_embedding(embedding, n_numeric, embedding_size, bin_edges),
        )
        self.backbone = tabm_package.make_tabm_backbone(
            d_in=self.input.width,
            n_blocks=depth,
            d_block=width,
            dropout=dropout,
            k=ensemble,
            start_scaling_init="random-signs" if embedding == "none" else "normal",
            start_scaling_init_chunks=self.input.chunks,
        )
        self.output = tabm_package.LinearEnsemble(width, n_outputs, k=ensemble)
        self.skip = nn.Linear(self.input.width, n_outputs, bias=False) if skip else None
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return logits (rows, submodels, outputs)."""
        x = self.input(numeric, categorical)
        logits: Tensor = self.output(self.backbone(x.unsqueeze(1).expand(-1, self.submodels, -1)))
        return logits if self.skip is None else logits + self.skip(x).unsqueeze(1)

    @property
    def output_bias(self) -> nn.Parameter:
        """The bias of the output layer, (submodels, outputs)."""
        bias: nn.Parameter = self.output.bias
        return bias
