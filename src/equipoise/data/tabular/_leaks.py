"""Features that know the answer: one column that alone separates a target almost perfectly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, listed
from equipoise.data.tabular._columns import Features

LEAST_AUC = 0.995  # of one feature alone; findings of real measurements stay below
LEAST_PHI = 0.95  # correlation of a two-valued feature with a target, from which it is a copy with slips
LEAST_CASES = 5  # positives, and negatives, below which perfect separation is luck
_FEW_VALUES = 20  # numbers of so few values are also looked at as categories: codes need not be in order
_OF_TARGETS = ("y", "label", "target", "outcome", "diagnosis", "dx", "disease", "finding")  # how names of targets begin

_KINDS = {
    "copy": "is an exact copy of",
    "near copy": "is almost a copy of",
    "values": "alone separates",
    "categories": "alone separates, by category,",
    "missing": "being missing or not alone separates",
}


@dataclass(frozen=True)
class Leak:
    """A feature that alone predicts a target almost perfectly. It is reported, never dropped.

    Attributes:
        feature: the column.
        target: the class that it gives away.
        kind: `copy`, `near copy`, `values` (order of the numbers), `categories` or `missing` (the pattern of gaps).
        auc: area under the ROC curve of the feature alone, in either direction, in [0.5, 1].
        rows: training rows in which both are known.
        positives: positives among those.
    """

    feature: str
    target: str
    kind: str
    auc: float
    rows: int
    positives: int

    @property
    def sentence(self) -> str:
        """Return the finding and what to do, in words."""
        return (
            f'Probable leak: "{self.feature}" {_KINDS[self.kind]} "{self.target}" (AUC {self.auc:.3f} on {self.rows:,} '
            f"training rows, {self.positives:,} positive). Exclude it unless it is known before the outcome."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def find_leaks(
    features: Features,
    targets: NDArray[np.floating[Any]],
    classes: Sequence[str],
    rows: NDArray[Any] | None = None,
) -> tuple[Leak, ...]:
    """Return every pair of feature and target where the feature alone nearly decides, most certain first.

    A feature is named when its AUC, in either direction and over the rows in which it is known, is at least 0.995; by
    its numbers, by which cells are missing, or by its categories (each row scored by the share of positives among
    the *other* rows of its category, so that many small categories do not look like a leak). A two-valued feature is
    also named as a copy when its correlation (phi) with the target is at least 0.95. Fewer than 5 positives or
    negatives tell nothing.

    Args:
        features: from `read_features`.
        targets: (rows, classes) of 0, 1 and NaN for unknown, `Labels.table()`.
        classes: the names of the targets.
        rows: the training rows, by index or mask; None for all.

    Raises:
        ArgumentError: targets and features differ in rows, or targets and classes in number.

    >>> import polars as pl
    >>> from equipoise.data import read_features
    >>> table = pl.DataFrame({"age": [str(20 + i % 7) for i in range(40)], "code": ["x"] * 30 + ["z"] * 10})
    >>> y = np.array([[0.0]] * 30 + [[1.0]] * 10)
    >>> [(leak.feature, leak.kind, leak.auc) for leak in find_leaks(read_features(table), y, ["ill"])]
    [('code', 'copy', 1.0)]
    """
    if targets.shape != (len(features), len(classes)):
        raise ArgumentError(
            f"`targets` of find_leaks must have shape ({len(features)}, {len(classes)}); got {targets.shape}."
        )
    if rows is not None:
        features, targets = features.select(rows), targets[rows]
    found: dict[tuple[str, str], Leak] = {}
    for known, at in _same_known(targets):
        part = features if known.all() else features.select(known)
        labels = np.asarray(targets[known][:, at], dtype=np.float64)
        names = [classes[j] for j in at]
        for leak in (*_number_leaks(part, labels, names), *_category_leaks(part, labels, names)):
            best = found.get((leak.feature, leak.target))
            if best is None or (leak.auc, _rank(leak)) > (best.auc, _rank(best)):
                found[leak.feature, leak.target] = leak
    return tuple(sorted(found.values(), key=lambda leak: (-_rank(leak), -leak.auc)))


def forgotten_targets(features: Features, targets: Sequence[str]) -> str | None:
    """Return a sentence when features are named as the targets are (`y_a`, `y_b` are targets and `y_c` is not).

    >>> import polars as pl
    >>> from equipoise.data import read_features
    >>> table = pl.DataFrame({name: ["1", "2"] for name in ("age", "y_a", "y_b", "y_c")})
    >>> forgotten_targets(read_features(table, targets=["y_a", "y_b"]), ["y_a", "y_b"])[:70]
    'Column "y_c" is named like the targets ("y_…") but is used as a featur'

    One target says what targets are called only where its name begins as those of targets do.

    >>> forgotten_targets(read_features(table, targets=["y_a"]), ["y_a"])[:61]
    'Columns "y_b", "y_c" are named like the target ("y_…") but ar'
    """
    prefix = _prefix(targets)
    alike = [name for name in features.names if prefix and name.startswith(prefix)]
    if not alike:
        return None
    one = len(alike) == 1
    subject, verbs = ("Column", ("is named", "is used as a feature", "it")) if one else (
        "Columns", ("are named", "are used as features", "them")
    )  # fmt: skip
    return (
        f'{subject} {listed(alike)} {verbs[0]} like the target{"s" * (len(targets) > 1)} ("{prefix}…") but {verbs[1]}. '
        f"Exclude {verbs[2]} (data.exclude) unless that is meant."
    )


def _prefix(targets: Sequence[str]) -> str:
    """Return how the names of all targets begin, up to a mark that parts words; "" where that says nothing."""
    if len(targets) == 1:
        first, mark, _ = targets[0].partition("_")
        return first + mark if mark and first.casefold() in _OF_TARGETS else ""
    shared = [len(set(letters)) == 1 for letters in zip(*targets, strict=False)]
    begin = targets[0][: [*shared, False].index(False)] if targets else ""
    return begin[: max(begin.rfind(mark) for mark in "_.-: ") + 1]


def _rank(leak: Leak) -> int:
    return {"copy": 2, "near copy": 1}.get(leak.kind, 0)


def _same_known(targets: NDArray[np.floating[Any]]) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
    """Yield (known rows, targets) for targets whose labels are known in the same rows: ranks are then shared."""
    unknown = np.isnan(targets)
    groups: dict[bytes, list[int]] = {}
    for j in range(targets.shape[1]):
        groups.setdefault(unknown[:, j].tobytes(), []).append(j)
    for at in groups.values():
        yield ~unknown[:, at[0]], at


def _number_leaks(features: Features, labels: NDArray[np.float64], names: list[str]) -> Iterator[Leak]:
    values = features.numeric
    if not values.size:
        return
    known = ~np.isnan(values)
    ranks, high = _ranks(values, known)
    weights = known.astype(np.float64)
    cases = weights.T @ labels  # (features, targets): positives where the feature is known
    rows = weights.sum(axis=0)[:, None]
    enough = (cases >= LEAST_CASES) & (rows - cases >= LEAST_CASES)
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (ranks.T @ labels - cases * (cases + 1) / 2) / (cases * (rows - cases))
        auc = np.maximum(auc, 1 - auc)
        phi = _phi(high.T @ labels, cases, high.sum(axis=0)[:, None], rows)
    two = (high.sum(axis=0) > 0)[:, None]  # only two-valued columns have a high value
    kinds = np.where(two & (phi >= 1 - 1e-9), "copy", np.where(two & (phi >= LEAST_PHI), "near copy", "values"))
    for j, c in np.argwhere(enough & ((auc >= LEAST_AUC) | (kinds != "values"))):
        count = int(rows[j, 0]), int(cases[j, c])
        yield Leak(features.numeric_names[j], names[c], str(kinds[j, c]), float(auc[j, c]), *count)
    yield from _gap_leaks(features, 1.0 - weights, labels, names)


def _gap_leaks(
    features: Features, absent: NDArray[np.float64], labels: NDArray[np.float64], names: list[str]
) -> Iterator[Leak]:
    positives = labels.sum(axis=0)
    negatives = len(labels) - positives
    enough = (positives >= LEAST_CASES) & (negatives >= LEAST_CASES)
    gaps = absent.T @ labels
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = gaps / positives - (absent.sum(axis=0)[:, None] - gaps) / negatives
    auc = (1 + np.abs(difference)) / 2
    for j, c in np.argwhere(enough & (auc >= LEAST_AUC)):
        yield Leak(features.numeric_names[j], names[c], "missing", float(auc[j, c]), len(labels), int(positives[c]))


def _category_leaks(features: Features, labels: NDArray[np.float64], names: list[str]) -> Iterator[Leak]:
    positives = labels.sum(axis=0)
    able = np.flatnonzero((positives >= LEAST_CASES) & (len(labels) - positives >= LEAST_CASES))
    for name, codes in _coded(features) if len(able) else ():
        sizes = np.bincount(codes).astype(np.float64)
        for c in able:
            hits = np.bincount(codes, weights=labels[:, c], minlength=len(sizes)).astype(np.float64)
            auc = _left_out_auc(sizes, hits)
            if auc >= LEAST_AUC:
                yield Leak(name, names[c], "categories", auc, len(labels), int(positives[c]))


def _coded(features: Features) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield every column of categories, and of numbers of few values, as codes from 0 (missing has one too)."""
    for j, name in enumerate(features.category_names):
        yield name, features.codes[:, j].astype(np.int64) + 1
    distinct = {column.name: column.distinct for column in features.columns}
    for j, name in enumerate(features.numeric_names):
        if 2 < distinct[name] <= _FEW_VALUES:
            yield name, np.unique(features.numeric[:, j], return_inverse=True)[1]


def _left_out_auc(sizes: NDArray[np.float64], hits: NDArray[np.float64]) -> float:
    """Return the AUC when each row is scored by the share of positives among the other rows of its category.

    >>> _left_out_auc(np.array([10.0, 10.0]), np.array([0.0, 10.0]))
    1.0
    """
    others = np.maximum(sizes - 1, 1)
    alone = sizes == 1
    prior = hits.sum() / sizes.sum()
    scores = np.concatenate([np.where(alone, prior, (hits - 1) / others), np.where(alone, prior, hits / others)])
    positives = np.concatenate([hits, np.zeros_like(hits)])
    negatives = np.concatenate([np.zeros_like(hits), sizes - hits])
    _, at = np.unique(scores, return_inverse=True)
    positives, negatives = np.bincount(at, positives), np.bincount(at, negatives)
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))


def _phi(
    both: NDArray[np.float64], cases: NDArray[np.float64], highs: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the absolute correlation of two 0/1 columns from how often both, and each, are 1."""
    scale = np.sqrt(cases * (rows - cases) * highs * (rows - highs))
    result: NDArray[np.float64] = np.abs(rows * both - cases * highs) / scale
    return np.nan_to_num(result)


def _ranks(values: NDArray[np.float64], known: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return average ranks from 1 (0 where missing), and 1 where a two-valued column has its higher value."""
    ranks = np.zeros(values.shape, order="F")
    high = np.zeros(values.shape, order="F")
    everywhere = np.asarray(known.all(axis=0))
    for j in range(values.shape[1]):
        column = values[:, j] if everywhere[j] else values[known[:, j], j]
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        starts = np.ones(len(ordered), dtype=np.bool_)
        starts[1:] = ordered[1:] != ordered[:-1]
        begins = np.flatnonzero(starts)
        ends = np.r_[begins[1:], len(ordered)]
        found = np.empty(len(column))
        found[order] = np.repeat((begins + ends + 1) / 2, ends - begins)
        ranks[known[:, j], j] = found
        if len(begins) == 2:
            high[known[:, j], j] = column == ordered[-1]
    return ranks, high
