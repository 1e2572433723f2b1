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

__all__ = [
    "MISSING_WORDS",
    "NUMERIC_METHODS",
    "CategoryStep",
    "Column",
    "Features",
    "Leak",
    "NumericStep",
    "Preprocessor",
    "TabularArrays",
    "find_leaks",
    "fit_preprocessor",
    "forgotten_targets",
    "read_features",
    "read_features_as",
]  # fmt: skip
