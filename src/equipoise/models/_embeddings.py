"""Embeddings of numbers, from the package `rtdl_num_embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from equipoise._checks import ArgumentError, check_one_of
from equipoise.models._tabm_packages import rtdl_num_embeddings

EMBEDDINGS = ("none", "linear", "piecewise_linear", "periodic")


def make_numeric_embedding(
    name: str, n_numeric: int, size: int, bin_edges: Sequence[Sequence[float]] | None = None
) -> nn.Module | None:
    """Return a module that takes (rows, n_numeric) to (rows, n_numeric, size), or None for none.

    Source: Gorishniy, Rubachev, Babenko, "On embeddings for numerical features", NeurIPS 2022: `linear` is a linear
    layer and ReLU per number, `piecewise_linear` is equation (1) and a linear layer (the package's version B, as in
    TabM), `periodic` is equation (2), a linear layer and ReLU.

    Args:
        name: one of `EMBEDDINGS`.
        n_numeric: numeric columns; with none there is no embedding.
        size: width of the embedding of one number.
        bin_edges: for `piecewise_linear`, increasing edges of each number, from `quantile_bin_edges`.

    Raises:
        ArgumentError: an unknown name, or `piecewise_linear` without edges.
    """
    check_one_of(name, EMBEDDINGS, argument="embedding", function="make_model")
    if name == "none" or not n_numeric:
        return None
    if name == "linear":
        return cast("nn.Module", rtdl_num_embeddings.LinearReLUEmbeddings(n_numeric, size))
    if name == "periodic":
        return cast("nn.Module", rtdl_num_embeddings.PeriodicEmbeddings(n_numeric, size, lite=False))
    if bin_edges is None or len(bin_edges) != n_numeric:
        raise ArgumentError(
            'embedding="piecewise_linear" of make_model needs the bins of every number. '
            "Pass `training_numeric`, the scaled training rows."
        )
    edges = [torch.tensor(list(column), dtype=torch.float32) for column in bin_edges]
    module = rtdl_num_embeddings.PiecewiseLinearEmbeddings(edges, size, activation=False, version="B")
    return cast("nn.Module", module)


def quantile_bin_edges(numeric: NDArray[np.float32], bins: int) -> list[list[float]]:
    """Return increasing edges of at most `bins` quantile bins for every column of the scaled training rows.

    >>> quantile_bin_edges(np.array([[0.0], [1.0], [2.0]], dtype=np.float32), 2)
    [[0.0, 1.0, 2.0]]
    """
    found = []
    for column in numeric.T:
        edges = np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)).astype(np.float32))
        if len(edges) < 2:  # a column that does not vary gets one bin around its value
            edges = np.array([edges[0] - 1, edges[0] + 1], dtype=np.float32)
        found.append([float(edge) for edge in edges])
    return found
