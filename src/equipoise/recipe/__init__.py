"""The recipe: everything a run is told, as frozen data read from YAML; every error has its place."""

from equipoise.recipe._arms import resolve_arms
from equipoise.recipe._read import (
    make_recipe,
    packaged_recipes,
    read_recipe,
    recipe_from,
    recipe_summary,
    with_value,
    write_recipe,
)
from equipoise.recipe._schema import (
    BalanceSettings,
    DataSettings,
    DecisionSettings,
    DistilSettings,
    ImageSettings,
    LogSettings,
    LossSettings,
    ModelSettings,
    Recipe,
    SamplingSettings,
    ScheduleSettings,
    SplitSettings,
    TrainingSettings,
    WeightsSettings,
)

__all__ = [
    "BalanceSettings",
    "DataSettings",
    "DecisionSettings",
    "DistilSettings",
    "ImageSettings",
    "LogSettings",
    "LossSettings",
    "ModelSettings",
    "Recipe",
    "SamplingSettings",
    "ScheduleSettings",
    "SplitSettings",
    "TrainingSettings",
    "WeightsSettings",
    "make_recipe",
    "packaged_recipes",
    "read_recipe",
    "recipe_from",
    "recipe_summary",
    "resolve_arms",
    "with_value",
    "write_recipe",
]
