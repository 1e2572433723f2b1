"""The packages `tabm` and `rtdl_num_embeddings`, without what they import and Equipoise never calls.

`rtdl_num_embeddings` imports `sklearn.tree` if it can, for bins from decision trees; that brings scikit-learn, pandas
and `scipy.stats`, a third of the time that a training takes to start. Here it is not to be had while the packages are
imported, and is put in place when somebody in the same process does ask for such bins.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_TREES = "sklearn.tree"


class _LateTrees:
    """Stands where the package keeps `sklearn.tree`, and imports it when it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(_TREES), name)


def _import_light() -> tuple[Any, Any]:
    hidden = _TREES not in sys.modules
    if hidden:
        sys.modules[_TREES] = None  # type: ignore[assignment]
    try:
        embeddings = importlib.import_module("rtdl_num_embeddings")
        tabm_package = importlib.import_module("tabm")
    finally:
        if hidden:
            del sys.modules[_TREES]
    if getattr(embeddings, "sklearn_tree", embeddings) is None:
        embeddings.sklearn_tree = _LateTrees()  # type: ignore[attr-defined]
    return embeddings, tabm_package


rtdl_num_embeddings, tabm = _import_light()
