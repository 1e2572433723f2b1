"""Filling, scaling and category codes: fitted on the training rows, saved as JSON, applied to any later table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, RunError, check_one_of, listed, nearest
from equipoise.data.tabular import _scaling
from equipoise.data.tabular._columns import Features, read_features_as
from equipoise.data.tabular._typing import Column

NUMERIC_METHODS = ("standard", "quantile_normal", "robust_clip", "piecewise")
LEAST_GAPS = 3  # missing training cells of a column from which a model can learn what a gap means
ROWS_FOR_BINS = 800  # training rows from which `auto` describes numbers by bins too: fewer are learned by heart
LEAST_BINS = 3  # a column of fewer quantile bins is described by its standardised value alone
_VERSION = 1


@dataclass(frozen=True)
class NumericStep:
    """What is done to one numeric column.

    Attributes:
        name: the column.
        fill: what a missing cell becomes, in the column's own unit: the median of the training rows.
        indicator: whether a column of 0 and 1 says where it was missing.
        parameters: the numbers of the scaling: `center` and `scale` (with `edges`
            and `means` of its bins), or `values` and `scores`. Empty when
            the column is constant in the training rows and only its gaps tell something.
    """

    name: str
    fill: float
    indicator: bool
    parameters: dict[str, Any]


@dataclass(frozen=True)
class CategoryStep:
    """What is done to one category column: code 0 is reserved, word i has code i + 1, missing (if any) comes last.

    Attributes:
        name: the column.
        levels: the words that have a code of their own.
        missing: whether missing cells have a code of their own; else they have code 0.
        folded: training words that were too rare for a code and share code 0 with words never seen.
    """

    name: str
    levels: tuple[str, ...]
    missing: bool
    folded: int = 0

    @property
    def cardinality(self) -> int:
        """Number of codes, the reserved one counted."""
        return 1 + len(self.levels) + int(self.missing)


@dataclass(frozen=True)
class TabularArrays:
    """A table as a model takes it.

    Attributes:
        numeric: (rows, numeric outputs) float32, no NaN.
        categorical: (rows, category columns) int64; code 0 is "not among the training words".
        unknown: for each category and flag column that has any, known cells whose word is not among the trained ones.
        filled: for each numeric column that has any, missing cells that no indicator tells of.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.int64]
    unknown: dict[str, int] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return what a reader of the predictions should know: words never seen in training, gaps never seen."""
        found = [
            f'"{name}": {count:,} cells hold a word that was not (or hardly) in the training rows.'
            for name, count in self.unknown.items()
            if count
        ]
        return found + [
            f'"{name}": {count:,} missing cells were filled; the training rows had too few gaps to learn from.'
            for name, count in self.filled.items()
            if count
        ]


@dataclass(frozen=True)
class Preprocessor:
    """Fitted filling, scaling and category codes. It changes nothing when applied and is stored as JSON.

    Attributes:
        method: how numeric columns are scaled, one of `NUMERIC_METHODS`.
        columns: the columns a table must have, as they were typed in training.
        numeric: one step per numeric column in use.
        categories: one step per category column in use.
        dropped: columns that say nothing in the training rows, each with the reason.
        missing_words: words that mean a missing cell in this table, besides `MISSING_WORDS`.
    """

    method: str
    columns: tuple[Column, ...]
    numeric: tuple[NumericStep, ...]
    categories: tuple[CategoryStep, ...]
    dropped: tuple[tuple[str, str], ...] = ()
    missing_words: tuple[str, ...] = ()

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of every category column, the reserved code 0 counted."""
        return tuple(step.cardinality for step in self.categories)

    @property
    def numeric_names(self) -> tuple[str, ...]:
        """What each column of `TabularArrays.numeric` is."""
        values = [step.name for step in self.numeric if step.parameters]
        for step in self.numeric:
            values += [f"{step.name} bin {b + 1}" for b in range(len(step.parameters.get("means", ())))]
        return (*values, *(f"{step.name} is missing" for step in self.numeric if step.indicator))

    def read(self, table: pl.DataFrame, *, source: str = "table") -> Features:
        """Return the features of a new table, its columns read as in training (see `read_features_as`)."""
        return read_features_as(table, self.columns, missing=self.missing_words, source=source)

    def apply(self, features: Features) -> TabularArrays:
        """Return the arrays that a model takes.

        Missing numbers are filled and words get their codes as the training rows taught; nothing is fitted here.

        Raises:
            DataError: a column is missing or has another kind than in training.
        """
        chosen = _positions([step.name for step in self.numeric], features.numeric_names, features, "numeric")
        words = _positions([step.name for step in self.categories], features.category_names, features, "category")
        numbers = features.numeric[:, chosen]
        absent = np.isnan(numbers)
        gaps = absent.sum(axis=0)
        filled = {s.name: int(n) for s, n in zip(self.numeric, gaps, strict=True) if n and not s.indicator}
        values = _scale(self.method, self.numeric, np.where(absent, [s.fill for s in self.numeric], numbers))
        flags = absent[:, [j for j, step in enumerate(self.numeric) if step.indicator]]
        categorical = np.zeros((len(features), len(words)), dtype=np.int64)
        unknown = {s.name: features.unread[s.name] for s in self.numeric if s.name in features.unread}
        for j, (step, at) in enumerate(zip(self.categories, words, strict=True)):
            categorical[:, j], count = _encode(step, features.codes[:, at], features.levels[at])
            if count:
                unknown[step.name] = count
        numeric = np.concatenate([values.astype(np.float32), flags.astype(np.float32)], axis=1)
        return TabularArrays(np.ascontiguousarray(numeric), categorical, unknown, filled)

    def notes(self) -> list[str]:
        """Return one sentence per column that is not used, or only in part, because of the training rows."""
        found = [f'"{name}" is not used: {why}.' for name, why in self.dropped]
        return found + [
            f'"{step.name}": {step.folded:,} words too rare in the training rows share one code with unknown words.'
            for step in self.categories
            if step.folded
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; every float is written so that it is read back bit for bit."""
        return {
            "version": _VERSION,
            "method": self.method,
            "columns": [column.to_dict() for column in self.columns],
            "numeric": [vars(step) for step in self.numeric],
            "categories": [{**vars(step), "levels": list(step.levels)} for step in self.categories],
            "dropped": [list(pair) for pair in self.dropped],
            "missing_words": list(self.missing_words),
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> Preprocessor:
        """Return the preprocessor that `to_dict` described.

        Raises:
            RunError: it was written by a newer version, or a key is missing or not known.
        """
        keys = {"version", "method", "columns", "numeric", "categories", "dropped", "missing_words"}
        version = value.get("version")
        if isinstance(version, int) and version > _VERSION:
            raise RunError(f"The preprocessor was written by a newer Equipoise (format {version}). Update Equipoise.")
        if set(value) != keys or version != _VERSION or value["method"] not in NUMERIC_METHODS:
            raise RunError(
                f"The stored preprocessor is damaged: it should have the keys {listed(sorted(keys))} and format "
                f"{_VERSION}; it has {listed(sorted(value))} and format {version!r}. Train again, or restore the file."
            )
        try:
            return Preprocessor(
                method=value["method"],
                columns=tuple(Column.from_dict(column) for column in value["columns"]),
                numeric=tuple(NumericStep(**step) for step in value["numeric"]),
                categories=tuple(CategoryStep(**{**s, "levels": tuple(s["levels"])}) for s in value["categories"]),
                dropped=tuple((str(name), str(why)) for name, why in value["dropped"]),
                missing_words=tuple(str(word) for word in value["missing_words"]),
            )
        except (TypeError, KeyError, ValueError) as error:
            raise RunError(f"The stored preprocessor is damaged: {error}. Train again, or restore the file.") from error


def fit_preprocessor(
    features: Features,
    rows: NDArray[Any] | None = None,
    *,
    numeric: str = "auto",
    min_count: int = 2,
    max_levels: int = 255,
    bins: int = 8,
) -> Preprocessor:
    """Return the filling, scaling and category codes that some rows teach; the other rows have no influence.

    A missing number becomes the median, and a column of 0 and 1 tells where, when at least 3 training cells are
    missing (columns with the very same gaps share the first one's). A
    word needs `min_count` training rows for a code of its own; rarer words share the reserved code 0, which words
    never seen get later. A column that does not vary in the training rows is dropped, with the reason.

    Args:
        features: from `read_features`.
        rows: the training rows, by index or by mask; None for all.
        numeric: how numbers are scaled: `auto` (`piecewise` from 800 training rows, else `standard`), `standard`
            (`apply_standard`), `quantile_normal` (`apply_quantile_normal`), `robust_clip` (`apply_robust_clip`) or
            `piecewise` (the standard score, and beside it `apply_piecewise` less its mean for every column of at
            least 3 quantile bins).
        min_count: training rows that give a word its own code, at least 1.
        max_levels: most words of one column that get a code, the most frequent first.
        bins: quantile bins of `piecewise`.

    Raises:
        ArgumentError: no training row, or an unknown method.

    >>> import polars as pl
    >>> from equipoise.data import read_features
    >>> age, stage = ["60", "", "40", "", "60", "40", "", "9"], ["I", "II", "III", "I", "I", "I", "I", "I"]
    >>> table = pl.DataFrame({"age": age, "stage": stage})
    >>> fitted = fit_preprocessor(read_features(table), np.arange(7), min_count=1)
    >>> arrays = fitted.apply(fitted.read(pl.DataFrame({"age": ["70", "NA"], "stage": ["IV", "II"]})))
    >>> fitted.numeric_names, arrays.numeric.tolist()
    (('age', 'age is missing'), [[2.0, 0.0], [0.0, 1.0]])
    >>> arrays.categorical.tolist(), arrays.unknown
    ([[0], [2]], {'stage': 1})
    """
    check_one_of(numeric, ("auto", *NUMERIC_METHODS), argument="numeric", function="fit_preprocessor")
    if min_count < 1 or max_levels < 1 or bins < 2:
        raise ArgumentError(
            "`min_count` and `max_levels` of fit_preprocessor must be at least 1 and `bins` at least 2; "
            f"got {min_count}, {max_levels} and {bins}."
        )
    training = features if rows is None else features.select(rows)
    if not len(training):
        raise ArgumentError("fit_preprocessor got no training row. Give at least one.")
    if numeric == "auto":
        numeric = "piecewise" if len(training) >= ROWS_FOR_BINS else "standard"
    dropped: list[tuple[str, str]] = []
    numbers = _fit_numeric(training, numeric, bins, dropped)
    words = _fit_categories(training, min_count, max_levels, dropped)
    kept = {step.name for step in numbers} | {step.name for step in words}
    columns = tuple(column for column in features.columns if column.name in kept)
    return Preprocessor(numeric, columns, tuple(numbers), tuple(words), tuple(dropped), features.missing_words)


def _fit_numeric(training: Features, method: str, bins: int, dropped: list[tuple[str, str]]) -> list[NumericStep]:
    values = training.numeric
    absent = np.isnan(values)
    gaps = absent.sum(axis=0)
    known = gaps < len(values)
    names = training.numeric_names
    dropped.extend((names[j], "no cell is known in the training rows") for j in np.flatnonzero(~known))
    fill, varies = np.zeros(len(known)), np.zeros(len(known), dtype=np.bool_)
    if known.any():
        fill[known] = np.nanmedian(values[:, known], axis=0)
        varies[known] = np.nanmax(values[:, known], axis=0) > np.nanmin(values[:, known], axis=0)
    told = _telling_gaps(absent)
    constant = np.flatnonzero(known & ~varies & ~told)
    dropped.extend((names[j], f"it is {fill[j]:g} wherever it is known in the training rows") for j in constant)
    parameters = _fit_scaling(method, values, varies, bins)
    return [
        NumericStep(names[j], float(fill[j]), bool(told[j]), parameters.get(int(j), {}))
        for j in np.flatnonzero(known & (varies | told))
    ]


def _telling_gaps(absent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which columns get an indicator: enough gaps to learn from, and not the gaps of an earlier column."""
    gaps = absent.sum(axis=0)
    seen: set[bytes] = set()
    told = np.zeros(len(gaps), dtype=np.bool_)
    for j in np.flatnonzero((gaps >= LEAST_GAPS) & (len(absent) - gaps >= LEAST_GAPS)):
        pattern = np.packbits(absent[:, j]).tobytes()
        told[j] = pattern not in seen
        seen.add(pattern)
    return told


def _fit_scaling(
    method: str, values: NDArray[np.float64], varies: NDArray[np.bool_], bins: int
) -> dict[int, dict[str, Any]]:
    """Return the parameters of every column that varies, by position."""
    at = [int(j) for j in np.flatnonzero(varies)]
    if not at:
        return {}
    if method == "quantile_normal":
        knots = {j: _scaling.fit_quantiles(values[:, j]) for j in at}
        return {j: {"values": v.tolist(), "scores": s.tolist()} for j, (v, s) in knots.items()}
    fit = _scaling.fit_robust if method == "robust_clip" else _scaling.fit_standard
    found: dict[int, dict[str, Any]] = {
        j: {"center": float(c), "scale": float(s)} for j, c, s in zip(at, *fit(values[:, at]), strict=True)
    }
    for j in at if method == "piecewise" else ():
        edges = _scaling.fit_bins(values[:, j], bins)
        if len(edges) > LEAST_BINS:
            found[j]["edges"] = edges.tolist()
            found[j]["means"] = np.nanmean(_scaling.apply_piecewise(values[:, j], edges), axis=0).tolist()
    return found


def _scale(method: str, steps: tuple[NumericStep, ...], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale the filled columns of the steps that have parameters; those without leave no output."""
    at = [j for j, step in enumerate(steps) if step.parameters]
    if not at:
        return np.zeros((len(numbers), 0))
    numbers, given = numbers[:, at], [steps[j].parameters for j in at]
    if method == "quantile_normal":
        columns = [
            _scaling.apply_quantile_normal(numbers[:, i], np.array(p["values"]), np.array(p["scores"]))
            for i, p in enumerate(given)
        ]
        return np.stack(columns, axis=1)
    scale = _scaling.apply_robust_clip if method == "robust_clip" else _scaling.apply_standard
    parts = [scale(numbers, np.array([p["center"] for p in given]), np.array([p["scale"] for p in given]))]
    parts += [
        _scaling.apply_piecewise(numbers[:, i], np.array(p["edges"])) - np.array(p["means"])
        for i, p in enumerate(given)
        if "edges" in p
    ]
    return np.concatenate(parts, axis=1)


def _fit_categories(
    training: Features, min_count: int, max_levels: int, dropped: list[tuple[str, str]]
) -> list[CategoryStep]:
    steps = []
    for j, name in enumerate(training.category_names):
        codes, levels = training.codes[:, j], training.levels[j]
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        order = np.argsort(-counts, kind="stable")[:max_levels]
        kept = np.sort(order[counts[order] >= min_count])
        missing = bool((codes < 0).any())
        folded = int((counts > 0).sum()) - len(kept)
        if len(kept) + missing + (folded > 0) < 2:
            dropped.append((name, "it does not vary in the training rows, rare words aside"))
        else:
            steps.append(CategoryStep(name, tuple(levels[i] for i in kept), missing, folded))
    return steps


def _positions(names: list[str], present: tuple[str, ...], features: Features, kind: str) -> list[int]:
    at = {name: j for j, name in enumerate(present)}
    for name in names:
        if name not in at and name in features.names:
            raise DataError(
                f'{features.source}, column "{name}" was {kind} in training and is not now. '
                "Read the table with the preprocessor's `read`, which knows the kinds."
            )
        if name not in at:
            raise DataError(
                f'{features.source} has no column "{name}", which the model was trained on.'
                f"{nearest(name, features.names)} Add the column (its cells may be empty)."
            )
    return [at[name] for name in names]


def _encode(step: CategoryStep, codes: NDArray[np.int32], levels: tuple[str, ...]) -> tuple[NDArray[np.int64], int]:
    """Return the trained code of every cell, and how many known cells have none."""
    trained = {word: i + 1 for i, word in enumerate(step.levels)}
    by_number: dict[float, int] | None = None
    table = np.zeros(len(levels) + 1, dtype=np.int64)  # the last entry is for missing, which is -1
    for i, word in enumerate(levels):
        code = trained.get(word)
        if code is None:  # 1 and 1.0 are one word where the type of a file changed
            by_number = _numbers_of(trained) if by_number is None else by_number
            code = by_number.get(_number(word), 0) if by_number else 0
        table[i] = code
    table[-1] = step.cardinality - 1 if step.missing else 0
    result = table[codes]
    return result, int(((result == 0) & (codes >= 0)).sum())


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _numbers_of(trained: dict[str, int]) -> dict[float, int]:
    """Return code by numeric value, for a column whose words are all numbers and all different; else nothing."""
    numbers = {_number(word): code for word, code in trained.items()}
    return numbers if len(numbers) == len(trained) and not any(math.isnan(n) for n in numbers) else {}
