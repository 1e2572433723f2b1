"""Every weighting scheme side by side, and in words what the weights would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise._arrays import ClassCounts, ClassFloats, TableFloats
from equipoise._checks import ArgumentError, listed
from equipoise.balance._schemes import POS_WEIGHT, SCHEMES
from equipoise.balance._words import each
from equipoise.balance.weights import ClassWeights, Counted, class_weights, weighable


@dataclass(frozen=True, eq=False)
class WeightsTable:
    """Weights of every scheme for every class.

    Attributes:
        classes: class names.
        kind: ``"pos_weight"`` or ``"class_weight"``.
        positives: (classes,) rows with the class.
        prevalence: (classes,) positives over known labels; NaN when none is known.
        schemes: scheme names, in the order of the rows of `values`.
        values: (schemes, classes); NaN for a class that cannot be weighed.
        chosen: the weights that were asked for, or None.
        sentences: what the chosen weights (else full balance, ``inverse``) do, one sentence a class.
        warnings: weights above 10, classes that cannot be weighed.
    """

    classes: tuple[str, ...]
    kind: str
    positives: ClassCounts
    prevalence: ClassFloats
    schemes: tuple[str, ...]
    values: TableFloats
    chosen: ClassWeights | None
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; a weight that does not exist is None."""
        rows = [[None if np.isnan(value) else float(value) for value in row] for row in self.values]
        return {
            "kind": self.kind,
            "classes": list(self.classes),
            "positives": self.positives.tolist(),
            "prevalence": [None if np.isnan(share) else float(share) for share in self.prevalence],
            "schemes": {
                name: {"formula": SCHEMES[name].formula, "weights": row}
                for name, row in zip(self.schemes, rows, strict=True)
            },
            "chosen": None if self.chosen is None else self.chosen.to_dict(),
            "sentences": list(self.sentences),
            "warnings": list(self.warnings),
        }

    def header(self) -> tuple[str, ...]:
        """Column titles: class, positives, share, each scheme, and the chosen weights when there are any."""
        return ("class", "positives", "share", *self.schemes, *(() if self.chosen is None else ("chosen",)))

    def rows(self) -> list[tuple[str, ...]]:
        """One line a class, as text, in the order of `header`."""
        chosen = [()] * len(self.classes) if self.chosen is None else [(each(value),) for value in self.chosen.values]
        return [
            (name, f"{count:,}", "-" if np.isnan(share) else f"{share:.4f}", *map(each, weights), *extra)
            for name, count, share, weights, extra in zip(
                self.classes, self.positives.tolist(), self.prevalence, self.values.T, chosen, strict=True
            )
        ]

    def blocks(self, width: int | None = None) -> list[list[str]]:
        """Return the table as aligned lines, in as many blocks of columns as it takes to keep within `width`."""
        heads = [title.split("_", 1) for title in self.header()]
        top = tuple(parts[0] if len(parts) == 2 else "" for parts in heads)
        bottom = tuple(parts[-1] for parts in heads)
        lines = [top, bottom, *self.rows()]
        columns = list(zip(*lines, strict=True))
        sizes = [max(map(len, column)) for column in columns]
        groups: list[list[int]] = [[0]]
        for place in range(1, len(columns)):
            used = sum(sizes[other] + 2 for other in groups[-1]) + sizes[place]
            if width is not None and used > width and len(groups[-1]) > 1:
                groups.append([0])
            groups[-1].append(place)
        return [
            [
                "  ".join(line[at].rjust(sizes[at]) if at else line[at].ljust(sizes[at]) for at in group).rstrip()
                for line in lines
            ]
            for group in groups
        ]

    def __str__(self) -> str:
        return "\n".join([f"{self.kind} by scheme", *self.blocks()[0], *self.sentences, *self.warnings])


def weights_table(census: Counted, chosen: ClassWeights | None = None) -> WeightsTable:
    """Return every scheme's weights side by side, with what the chosen ones (else inverse: full balance) do in words.

    Schemes that need a parameter (``power``) are left out; the others stand with their defaults. A class that cannot be
    weighed (no positive, or for pos_weight no negative) has no weight in the table and a warning.

    Args:
        census: counts per class.
        chosen: weights to show as a last column.

    Raises:
        ArgumentError: `chosen` is for other classes.

    Example:
        >>> from equipoise.labels import Census
        >>> census = Census.from_counts({"foreground": 941_694_609, "background": 680_714_607}, task="multiclass")
        >>> table = weights_table(census)
        >>> table.values[table.schemes.index("inverse")].round(4)
        array([1.7229, 2.3834])
    """
    if chosen is not None and chosen.classes != tuple(census.classes):
        raise ArgumentError(
            f"`chosen` of weights_table is for {listed(chosen.classes)}, the census for {listed(census.classes)}. "
            "Make the weights from this census."
        )
    can = weighable(census)
    by_hand = {name: 1.0 for name, fine in zip(census.classes, can, strict=True) if not fine}
    made = {
        name: class_weights(census, name, values=by_hand)
        for name, scheme in SCHEMES.items()
        if None not in scheme.defaults.values()
    }
    inverse = made["inverse"]
    told, name = (inverse, "inverse") if chosen is None else (chosen, "chosen")
    unit = getattr(census, "unit", "rows")
    spoken = zip(told.sentences(unit), can, strict=True)
    sentences = [f"{name}: {text}" for text, fine in spoken if fine]
    warnings = [f"{name}: {text}" for text in told.warnings(unit)] or [
        f"inverse: {text}" for text in inverse.warnings(unit)
    ]
    if by_hand:
        side = "a positive and a negative" if inverse.kind == POS_WEIGHT else "a row"
        warnings.append(
            f"No weight for {listed(by_hand)}: not a class with {side}. "
            "Drop the class, add data, or give its weight by hand."
        )
    return WeightsTable(
        classes=tuple(census.classes),
        kind=inverse.kind,
        positives=np.asarray(census.positives, dtype=np.int64),
        prevalence=np.full(len(can), np.nan) if inverse.prevalence is None else inverse.prevalence,
        schemes=tuple(made),
        values=np.array([np.where(can, weights.values, np.nan) for weights in made.values()]),
        chosen=chosen,
        sentences=tuple(sentences),
        warnings=tuple(warnings),
    )
