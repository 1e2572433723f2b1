"""Fair experiments: arms that differ in what they say they differ in, trained on equal terms, and judged together."""

from __future__ import annotations

from equipoise.ablation.matrix import Arm, Cell, Matrix, packaged_matrices, read_matrix

__all__ = [
    "Arm",
    "Cell",
    "Matrix",
    "packaged_matrices",
    "read_matrix",
]
