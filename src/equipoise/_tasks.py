"""The kinds of question that labels can ask."""

from __future__ import annotations

TASKS = ("binary", "multiclass", "ordinal", "multilabel")
EXCLUSIVE_TASKS = ("multiclass", "ordinal")


def is_exclusive(task: str) -> bool:
    """Return whether exactly one class is true of each row (softmax), or each class is its own question (sigmoid).

    Example:
        >>> is_exclusive("ordinal"), is_exclusive("multilabel")
        (True, False)
    """
    return task in EXCLUSIVE_TASKS
