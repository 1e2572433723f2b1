"""Array types, with their shapes.

The shapes are jaxtyping annotations. The tests check them at run time; without jaxtyping (it is a test dependency)
they are plain NumPy array types. ``rows`` is the number of cases, ``classes`` the number of classes.
"""

from __future__ import annotations

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
    try:
        from jaxtyping import Float, Int, Shaped

        ClassCounts = Int[np.ndarray, "classes"]
        ClassFloats = Float[np.ndarray, "classes"]
        RowFloats = Float[np.ndarray, "rows"]
        TableFloats = Float[np.ndarray, "rows classes"]
        RowOrTableFloats = RowFloats | TableFloats
        RowIds = Shaped[np.ndarray, "rows"]
        ClassPairs = Int[np.ndarray, "classes classes"]
    except ImportError:
        ClassCounts = ClassFloats = RowFloats = TableFloats = RowOrTableFloats = RowIds = ClassPairs = np.ndarray
