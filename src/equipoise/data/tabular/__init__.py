"""Tables: typed columns, the leak check, and filling, scaling and coding fitted on the training rows."""

from equipoise.data.tabular._cells import MISSING_WORDS
from equipoise.data.tabular._columns import Features, read_features, read_features_as
from equipoise.data.tabular._leaks import Leak, find_leaks, forgotten_targets
from equipoise.data.tabular._preprocessor import (
    NUMERIC_METHODS,
    CategoryStep,
    NumericStep,
    Preprocessor,
    TabularArrays,
    fit_preprocessor,
)
from equipoise.data.tabular._typing import Column

__all__ = ["Leak", "find_leaks", "forgotten_targets",
    "MISSING_WORDS", "NUMERIC_METHODS", "CategoryStep", "Column", "Features", "NumericStep", "Preprocessor",
    "TabularArrays", "fit_preprocessor", "read_features", "read_features_as",
]  # fmt: skip
