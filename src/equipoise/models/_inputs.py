"""What a table's numbers and codes become before the first layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MOST_ONE_HOT = 64  # codes of one column beyond which it is embedded, unless the model says otherwise


class TableInput(nn.Module):
    """Turns (rows, numeric) and (rows, categories) into one matrix (rows, width).

    A column of few codes becomes one-hot, without the reserved code 0: a word never seen in training is all zeros, so
    that no untrained weight answers for it. A column of many codes is embedded, code 0 again as zeros. A table
    without any feature becomes one column of zeros, so that models need not know.

    Args:
        n_numeric: numeric columns.
        cardinalities: codes of each category column, the reserved code counted.
        embedding_size: width of the embedding of a column of many codes.
        most_one_hot: codes up to which a column is one-hot.
        numeric_embedding: takes (rows, n_numeric) to (rows, n_numeric, size); None leaves the numbers as they are.
    """

    _few: Tensor
    _offsets: Tensor

    def __init__(
        self,
        *,
        n_numeric: int,
        cardinalities: Sequence[int],
        embedding_size: int = 8,
        most_one_hot: int = MOST_ONE_HOT,
        numeric_embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.numeric_embedding = numeric_embedding
        few = [j for j, codes in enumerate(cardinalities) if codes <= most_one_hot]
        many = [j for j, codes in enumerate(cardinalities) if codes > most_one_hot]
        self._all_few = not many
        self._n_categories = len(cardinalities)
        sizes = torch.tensor([cardinalities[j] - 1 for j in few], dtype=torch.int64)
        self._one_hot_width = int(sizes.sum())
        self.register_buffer("_few", torch.tensor(few, dtype=torch.int64), persistent=False)
        # Code c of a column goes to place offset + c; place 0 is a bin for the reserved codes and is cut off.
        self.register_buffer("_offsets", sizes.cumsum(0) - sizes, persistent=False)
        self._many = many
        self.embeddings = nn.ModuleList(nn.Embedding(cardinalities[j], embedding_size, padding_idx=0) for j in many)
        numeric_width = 1 if numeric_embedding is None else _size_of(numeric_embedding, n_numeric)
        self.chunks = [numeric_width] * n_numeric + [int(size) for size in sizes] + [embedding_size] * len(many)
        self.chunks = [size for size in self.chunks if size] or [1]
        self.width = sum(self.chunks)
        self._empty = not n_numeric and not cardinalities
        self.n_numeric = n_numeric

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return (rows, width) float32."""
        if self._empty:
            return numeric.new_zeros(len(numeric), 1)
        if self.numeric_embedding is not None and self.n_numeric:
            numeric = self.numeric_embedding(numeric).flatten(1)
        if not self._n_categories:
            return numeric
        parts = [numeric]
        if self._one_hot_width:
            few = categorical if self._all_few else categorical.index_select(1, self._few)
            places = torch.where(few > 0, few + self._offsets, 0)
            shape = (len(places), self._one_hot_width + 1)
            parts.append(numeric.new_zeros(shape).scatter_(1, places, 1.0)[:, 1:])
        parts += [table(categorical[:, j]) for j, table in zip(self._many, self.embeddings, strict=True)]
        return torch.cat(parts, dim=1)


def _size_of(embedding: nn.Module, n_numeric: int) -> int:
    with torch.no_grad():
        return int(embedding(torch.zeros(1, n_numeric)).shape[-1])


def initialise_bias(bias: nn.Parameter, prior: Tensor | None) -> None:
    """Set a final bias to the prior's logits, the same for every submodel, or to zero."""
    with torch.no_grad():
        bias.zero_() if prior is None else bias.copy_(prior.to(bias).expand_as(bias))
