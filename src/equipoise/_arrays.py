"""Array types, with their shapes.

The shapes are jaxtyping annotations, which the tests check at run time: they import jaxtyping before this package.
Otherwise they are plain NumPy array types, and nobody waits for jaxtyping. ``rows`` is the number of cases, ``classes``
the number of classes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    Floats: TypeAlias = NDArray[np.float64]  # of any shape
    ClassCounts: TypeAlias = NDArray[np.int64]
    ClassFloats: TypeAlias = NDArray[np.float64]
    RowFloats: TypeAlias = NDArray[np.floating[Any]]
    TableFloats: TypeAlias = NDArray[np.floating[Any]]
    RowOrTableFloats: TypeAlias = NDArray[np.floating[Any]]
    RowIds: TypeAlias = NDArray[Any]
    ClassPairs: TypeAlias = NDArray[np.int64]
else:
    Floats = np.ndarray | np.floating  # sums over all axes come back as scalars
    if "jaxtyping" in sys.modules:
        from jaxtyping import Float, Int, Shaped

        ClassCounts = Int[np.ndarray, "classes"]
        ClassFloats = Float[np.ndarray, "classes"]
        RowFloats = Float[np.ndarray, "rows"]
        TableFloats = Float[np.ndarray, "rows classes"]
        RowOrTableFloats = RowFloats | TableFloats
        RowIds = Shaped[np.ndarray, "rows"]
        ClassPairs = Int[np.ndarray, "classes classes"]
    else:
        ClassCounts = ClassFloats = RowFloats = TableFloats = RowOrTableFloats = RowIds = ClassPairs = np.ndarray
