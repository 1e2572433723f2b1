"""What differs between two recipes, key by key, and what aspect of a training each key is about."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from equipoise._checks import ArgumentError, listed, nearest
from equipoise.recipe import Recipe, flat

# Aspect -> how an arm that changes it is described. The first may always differ: it is what is compared.
ASPECTS = {
    "correction": "how imbalance is corrected",
    "budget": "how long is trained, and by what it is stopped",
    "schedule": "how fast is learned",
    "data": "which rows are learned from and judged on",
    "model": "what is trained",
    "augmentation": "how images are prepared and varied",
    "decision": "what thresholds are fitted for",
    "machine": "on what machine and in what precision",
}
_SECTIONS = {
    "balance": "correction",
    "loss": "correction",
    "data": "data",
    "split": "data",
    "seed": "data",
    "model": "model",
    "distil": "model",
    "images": "augmentation",
    "masks": "augmentation",
    "decision": "decision",
}
_SCHEDULE = (
    "learning_rate", "weight_decay", "schedule", "schedule_factor", "schedule_patience", "warmup",
    "minimum_learning_rate", "average", "gradient_clip",
)  # fmt: skip
_MACHINE = ("precision", "channels_last", "compile", "deterministic", "device", "threads", "checkpoint_seconds")
_OF_MASKS = {
    "planned": "correction", "target": "correction", "patches": "budget", "least_component": "decision",
    "overlap": "decision",
}  # fmt: skip
_SILENT = ("name", "log", "tracking", "arms")  # nothing is computed from them
_SILENT_KEYS = ("images.cache", "images.store", "images.gallery", "masks.bands")


@dataclasses.dataclass(frozen=True)
class Difference:
    """One key in which an arm differs from the reference.

    Attributes:
        key: dotted. base: its value in the reference. arm: its value in the arm.
        aspect: one of `ASPECTS`.
    """

    key: str
    base: Any
    arm: Any
    aspect: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return f"{self.key}: {json.dumps(self.base)} -> {json.dumps(self.arm)}"


def aspect_of(key: str) -> str:
    """Return what aspect of a training a key of the recipe is about.

    Args:
        key: dotted.

    Example:
        >>> aspect_of("loss.gamma"), aspect_of("training.epochs"), aspect_of("training.learning_rate")
        ('correction', 'budget', 'schedule')
    """
    section, _, rest = key.partition(".")
    if section == "training":
        name = rest.split(".")[0]
        return "schedule" if name in _SCHEDULE else "machine" if name in _MACHINE else "budget"
    if section == "masks" and rest.split(".")[0] in _OF_MASKS:
        return _OF_MASKS[rest.split(".")[0]]
    return _SECTIONS.get(section, "model")


def find_differences(base: Recipe, arm: Recipe) -> tuple[Difference, ...]:
    """Return every key in which two recipes differ, in the order of the recipe; names and logs apart.

    Args:
        base: the reference.
        arm: the other.

    Example:
        >>> from equipoise.recipe import recipe_from
        >>> longer = recipe_from({"training": {"epochs": 20}})
        >>> print(*find_differences(recipe_from({}), longer))
        training.epochs: 100 -> 20
    """
    one, other = flat(base.model_dump(mode="json")), flat(arm.model_dump(mode="json"))
    keys = [*one, *(key for key in other if key not in one)]
    return tuple(
        Difference(key, one.get(key), other.get(key), aspect_of(key))
        for key in keys
        if key.split(".")[0] not in _SILENT and key not in _SILENT_KEYS and one.get(key) != other.get(key)
    )


def require_declared(name: str, reference: str, found: Sequence[Difference], declared: Sequence[str]) -> None:
    """Raise where an arm differs from the reference in an aspect that it does not declare.

    Args:
        name: of the arm.
        reference: the name of the reference.
        found: from `find_differences`.
        declared: aspects that the arm says it changes, besides the correction.

    Raises:
        ArgumentError: it does; the message has the keys and both values.
    """
    for aspect in declared:
        if aspect not in ASPECTS:
            raise ArgumentError(
                f"The arm {name} declares {aspect!r}, which is no aspect of a training. Allowed: {listed(ASPECTS)}."
                f"{nearest(aspect, ASPECTS)}"
            )
    hidden = [one for one in found if one.aspect not in ("correction", *declared)]
    if hidden:
        aspects = list(dict.fromkeys(one.aspect for one in hidden))
        keys = "; ".join(
            f"{one.key} is {json.dumps(one.base)} in {reference} and {json.dumps(one.arm)} in {name}"
            for one in hidden[:6]
        )
        raise ArgumentError(
            f"The arm {name} differs from {reference} in {' and '.join(aspects)}, which it does not declare: {keys}. "
            f"Make them equal, or say so in the arm: declare: [{', '.join(aspects)}]."
        )
