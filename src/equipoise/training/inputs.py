"""What a run gives its models of each row: the columns of a table, or a picture."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._checks import DataError, listed
from equipoise.data import (
    Features,
    Leak,
    Preprocessor,
    Rows,
    TableRows,
    find_leaks,
    fit_preprocessor,
    forgotten_targets,
    read_features,
)
from equipoise.labels import Labels, read_table
from equipoise.models import TabularModel, make_model

if TYPE_CHECKING:
    import polars

    from equipoise.models import Model
    from equipoise.recipe import Recipe
    from equipoise.training.telemetry import Watch

Index = NDArray[np.int64]

_ROLE_NAMES = {"split", "fold", "role", "subset", "partition", "set"}
_NAMED_FEATURES = 12  # up to so many are named before the training; of more only the kinds are counted


@dataclass(frozen=True)
class ModelRequest:
    """What a fresh model of a member must be, besides what the recipe says.

    Attributes:
        outputs: logits per row.
        multiclass: whether the outputs exclude one another.
        prior: (outputs,) what the final bias starts at.
        seed: of the weights.
        train: rows that it will learn from.
    """

    outputs: int
    multiclass: bool
    prior: NDArray[np.float64]
    seed: int
    train: Index


class FittedInputs(abc.ABC):
    """Abstract. Inputs with everything that was fitted on the rows that a member learns from."""

    @abc.abstractmethod
    def rows(self) -> Rows:
        """Every row of the training table, in its order, with its labels."""

    @abc.abstractmethod
    def make_model(self, recipe: Recipe, request: ModelRequest) -> Model:
        """Return a fresh model for these inputs."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return what was fitted, in plain JSON types."""


class Inputs(abc.ABC):
    """Abstract. What models are given of each row of the training table."""

    @abc.abstractmethod
    def notes(self) -> list[str]:
        """Say what was left out, and why."""

    @abc.abstractmethod
    def sentences(self) -> list[str]:
        """Say what models are given, and what is doubtful about it."""

    def warnings(self) -> list[str]:
        """Say what makes a good result hard to believe."""
        return []

    def make_ready(self, watch: Watch) -> None:
        """Do what takes long and is done once, before the first step."""
        del watch

    @abc.abstractmethod
    def fit(self, train: Index) -> FittedInputs:
        """Fit on the rows `train` what must not see others."""

    @abc.abstractmethod
    def restore(self, state: Mapping[str, Any]) -> FittedInputs:
        """Return what `FittedInputs.to_dict` described, for this table."""


@final
@dataclass(frozen=True, eq=False)
class TableInputs(Inputs):
    """The columns of a table.

    Attributes:
        labels: of every row.
        features: the columns in use, typed.
        targets: label columns.
        leaks: features that alone separate a class almost perfectly.
    """

    labels: Labels
    features: Features
    targets: Sequence[str] = ()
    leaks: tuple[Leak, ...] = ()

    def notes(self) -> list[str]:
        """Name the columns that are left out."""
        return list(self.features.notes())

    def sentences(self) -> list[str]:
        """Name the columns that are used, and those that look as if they should not be."""
        told = [self._used()]
        roles = [name for name in self.features.names if name.strip().casefold() in _ROLE_NAMES]
        if roles:
            told.append(
                f"Column {listed(roles)} is used as a feature, although it is named like a division into roles. Put it "
                "into data.exclude, or give its file as split.file."
            )
        forgotten = forgotten_targets(self.features, self.targets)
        return [*told, forgotten] if forgotten else told

    def warnings(self) -> list[str]:
        """Name the features that give a class away."""
        return [leak.sentence for leak in self.leaks]

    def fit(self, train: Index) -> FittedTable:
        """Fit filling, scaling and coding on the rows `train`."""
        return FittedTable(self, fit_preprocessor(self.features, train))

    def restore(self, state: Mapping[str, Any]) -> FittedTable:
        """Return the preprocessing that was stored, for this table."""
        return FittedTable(self, Preprocessor.from_dict(state))

    def _used(self) -> str:
        used = [column for column in self.features.columns if column.used]
        kinds: dict[str, int] = {}
        for column in used:
            kinds[column.kind] = kinds.get(column.kind, 0) + 1
        parts = [f"{count} {kind}" for kind, count in kinds.items()]
        if len(used) <= _NAMED_FEATURES:
            parts = [f"{column.name} ({column.kind})" for column in used]
        heading = "1 feature" if len(used) == 1 else f"{len(used):,} features"
        return f"{heading}: {', '.join(parts)}." if used else "No column can be used as a feature."


@final
@dataclass(frozen=True, eq=False)
class FittedTable(FittedInputs):
    """The columns of a table with their preprocessing."""

    inputs: TableInputs
    preprocessor: Preprocessor
    _made: dict[str, TableRows] = field(default_factory=dict)

    def rows(self) -> TableRows:
        """Every row, filled, scaled and coded."""
        if "rows" not in self._made:
            arrays = self.preprocessor.apply(self.inputs.features)
            self._made["rows"] = TableRows(
                torch.from_numpy(arrays.numeric),
                torch.from_numpy(arrays.categorical),
                label_tensor(self.inputs.labels),
            )
        return self._made["rows"]

    def make_model(self, recipe: Recipe, request: ModelRequest) -> Model:
        """Return a model of as many columns as there are."""
        numeric = self.rows().numeric.numpy()
        return make_model(
            recipe.model.name,
            n_numeric=numeric.shape[1],
            cardinalities=self.preprocessor.cardinalities,
            n_outputs=request.outputs,
            multiclass=request.multiclass,
            seed=request.seed,
            prior=request.prior,
            initial_bias=recipe.model.initial_bias,
            training_numeric=numeric[request.train],
            **recipe.model.settings,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the preprocessing."""
        return dict(self.preprocessor.to_dict())


def label_tensor(labels: Labels) -> Tensor:
    """Return the labels as the loss takes them, float32 with NaN for unknown."""
    return torch.from_numpy(np.ascontiguousarray(labels.values, dtype=np.float32))


def read_table_inputs(recipe: Recipe, labels: Labels, learned: Index) -> TableInputs:
    """Return the columns that a recipe asks for.

    Args:
        recipe: what is asked for.
        labels: of every row that has one.
        learned: rows that are learned from: only they are looked at for leaks.

    Raises:
        DataError: a cell cannot be read, or no column can be used.
    """
    features = _read_features(recipe, labels)
    leaks = find_leaks(features, labels.table(), labels.classes, rows=learned)
    return TableInputs(labels, features, recipe.data.labels, tuple(leaks))


def _read_features(recipe: Recipe, labels: Labels) -> Features:
    data = recipe.data
    assert data.table is not None  # require_runnable has seen to it
    table = read_table(data.table)
    found = read_features(
        table if len(labels) == len(table) else table[labels.row_numbers],
        targets=data.labels,
        ids=data.ids,
        groups=data.groups,
        features=data.features,
        exclude=data.exclude,
        numeric=data.numeric,
        categories=data.categories,
        missing=data.missing,
        source=labels.source,
    )
    if not found.names:
        why = f" {found.notes()[0]}" if found.columns else ""
        if data.image in table.columns:
            why += f' If "{data.image}" names pictures, give their folder (--images FOLDER, data.images).'
        raise DataError(
            f"No column of {labels.source} can be used as a feature.{why} Name some with data.features, or "
            "data.numeric and data.categories, or shorten data.exclude."
        )
    return found


def check_fit(state: Mapping[str, Any], model: Model) -> None:
    """Raise `ValueError` where stored inputs are not those that a stored model takes."""
    if state.get("kind") == "masks":
        if getattr(model, "channels", None) != state["channels"]:
            raise ValueError(f"the images have {state['channels']} channels, which the model does not take")
        return
    if state.get("kind") == "images":
        channels = len(state["mean"])
        if getattr(model, "channels", None) != channels:
            raise ValueError(f"the images have {channels} channels, which the model does not take")
        return
    preprocessor = Preprocessor.from_dict(state)
    assert isinstance(model, TabularModel)
    if preprocessor.cardinalities != model.cardinalities or len(preprocessor.numeric_names) != model.n_numeric:
        raise ValueError("the columns are not those that the model takes")


def rows_of_table(state: Mapping[str, Any], frame: polars.DataFrame, table: str | Path) -> tuple[Rows, list[str]]:
    """Return the rows of another table as a finished member takes them, and what was unusual in them."""
    preprocessor = Preprocessor.from_dict(state)
    arrays = preprocessor.apply(preprocessor.read(frame, source=Path(table).name))
    rows = TableRows(torch.from_numpy(arrays.numeric), torch.from_numpy(arrays.categorical), torch.zeros(len(frame)))
    return rows, arrays.notes()
