"""Two tables of scores brought row to row: paired by id, with the same labels, classes and groups, or refused."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, listed
from equipoise.scores import Scores


def paired(first: Scores, second: Scores, names: tuple[str, str]) -> tuple[Scores, Scores]:
    """Return both tables in the order of their ids.

    Raises:
        ArgumentError: another task, other classes or another role, or ids that only number the rows.
        DataError: ids of one that the other lacks, labels or groups that differ; the message names some.
    """
    _check_same_question(first, second, names)
    orders = [np.argsort(one.ids.astype(str), kind="stable") for one in (first, second)]
    left, right = first.select(orders[0]), second.select(orders[1])
    check_ids(left, right, names)
    _check_labels(left, right, names)
    check_groups(left, right, names)
    return left, right


def _check_same_question(first: Scores, second: Scores, names: tuple[str, str]) -> None:
    if (first.task, first.classes) != (second.task, second.classes):
        raise ArgumentError(
            f"{names[0]} is {first.task} with classes {listed(first.classes)}; {names[1]} is {second.task} with "
            f"{listed(second.classes)}. Compare scores of the same classes in the same order."
        )
    if first.role != second.role:
        raise ArgumentError(
            f"{names[0]} has the role {first.role}, {names[1]} the role {second.role}. Compare them on the same rows."
        )
    for one, name in ((first, names[0]), (second, names[1])):
        if one.numbered:
            raise ArgumentError(
                f"The rows of {name} have no ids, only numbers, so nothing says which belongs to which. "
                "Give both tables a column of ids."
            )


@runtime_checkable
class Named(Protocol):
    """What has ids, and groups or None."""

    @property
    def ids(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def groups(self) -> NDArray[Any] | None: ...  # noqa: D102


def check_ids(left: Named, right: Named, names: tuple[str, str]) -> None:
    """Raise `DataError` where one has an id that the other lacks; both are in the order of their ids."""
    keys = [np.asarray(one.ids).astype(str) for one in (left, right)]
    if np.array_equal(keys[0], keys[1]):
        return
    parts = []
    for own, name, lacking in ((0, names[0], names[1]), (1, names[1], names[0])):
        only = np.setdiff1d(keys[own], keys[1 - own])
        if len(only):
            parts.append(f"{len(only):,} of {name} are not in {lacking} ({listed(only, limit=3)})")
    raise DataError(
        f"The ids do not match: {'; '.join(parts)}. Compare the two on the same rows: leave out what only one has."
    )


def _check_labels(left: Scores, right: Scores, names: tuple[str, str]) -> None:
    apart = ~((left.labels == right.labels) | (np.isnan(left.labels) & np.isnan(right.labels)))
    refuse_rows(apart.reshape(len(left), -1).any(axis=1), left, "labels", names, "Correct the labels of one.")


def check_groups(left: Named, right: Named, names: tuple[str, str]) -> None:
    """Raise `DataError` where groups differ, or only one has some."""
    if (left.groups is None) != (right.groups is None):
        without = names[0] if left.groups is None else names[1]
        raise DataError(
            f"{without} has no groups while the other has some. Name the patient in both, or declare in both that "
            "rows are independent (groups=None; command line: --groups none)."
        )
    if left.groups is not None and right.groups is not None:
        apart = left.groups.astype(str) != right.groups.astype(str)
        refuse_rows(apart, left, "groups", names, "Correct the groups of one.")


def refuse_rows(apart: NDArray[np.bool_], left: Named, what: str, names: tuple[str, str], remedy: str) -> None:
    """Raise `DataError` where `apart`, (rows,), holds of any: the message names some of them."""
    if apart.any():
        raise DataError(
            f"{names[0]} and {names[1]} have other {what} in {int(apart.sum()):,} rows "
            f"(ids {listed(left.ids[apart], limit=3)}), so they are not of the same data. {remedy}"
        )
