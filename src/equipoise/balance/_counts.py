"""The least that weights need of a census."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SimpleCensus:
    """Stand-in."""

    task: str
    classes: tuple[str, ...]
    positives: Sequence[int]
    negatives: Sequence[int]
