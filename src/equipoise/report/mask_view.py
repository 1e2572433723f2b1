"""What the folder of a run of masks says, as records. Read without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._checks import DataError
from equipoise._files import read_json
from equipoise.balance import ClassWeights, Ledger, Preflight
from equipoise.decision.masks import MaskRule
from equipoise.evidence import CountedMasks, MetricTable
from equipoise.evidence.mask_table import evaluate_masks, trivial_counts
from equipoise.labels import Census, MaskCensus, Split, read_split
from equipoise.metrics.mask_scores import ImageCounts, MaskScores, read_mask_scores
from equipoise.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from equipoise.runs import Run

# Key of metrics.json -> what the answer is called.
ANSWERS = {
    "rule": "fitted rule",
    "half": "unfitted rule",  # 0.5, or the class of the highest probability
    "empty": "empty masks",
    "full": "full masks",
}


@dataclasses.dataclass(frozen=True, eq=False)
class MaskView:
    """The records of a run of masks; what it does not have yet is None or empty.

    Attributes:
        path: the run folder. recipe: what it was told. census: of all pixels. split: roles of the images.
        weights: of the pixels in the loss, or None. rule: fitted on the validation role.
        metrics: of the test role, by answer: see `ANSWERS`.
        events: of the training.
        ledger: corrections in force, or None before training. preflight: of the patches, or None.
        images: the census image by image, or None where an older version made the run.
        scores: by role, as counts over a grid of thresholds.
        sealed: whether the test role is there but was left out, because it is not opened yet.
    """

    path: Path
    recipe: Recipe
    census: Census
    split: Split
    weights: ClassWeights | None
    rule: MaskRule | None
    metrics: Mapping[str, MetricTable]
    events: tuple[Mapping[str, Any], ...]
    ledger: Ledger | None = None
    preflight: Preflight | None = None
    images: MaskCensus | None = None
    scores: Mapping[str, MaskScores] = dataclasses.field(default_factory=dict)
    sealed: bool = False

    @classmethod
    def read(cls, run: Run, *, damaged: list[int] | None = None) -> MaskView:
        """Read the records of a run folder.

        Args:
            run: opened for reading.
            damaged: where the numbers of damaged lines of the events are put; None: such a line is an error.

        Raises:
            RunError: the run has not come so far as to count its pixels.
            DataError: a file is damaged.
        """
        weights = run.read_record("weights") if run.has_record("weights") else None
        metrics = run.read_record("metrics") if run.has_record("metrics") else {}
        return cls(
            path=run.path,
            recipe=read_recipe(run.file("recipe.yaml")),
            census=Census.from_dict(run.read_record("census")),
            split=read_split(run.file("split.csv")),
            weights=None if weights is None else ClassWeights.from_dict(weights),
            rule=MaskRule.from_dict(run.read_record("decision")) if run.has_record("decision") else None,
            metrics={name: MetricTable.from_dict(table) for name, table in (metrics or {}).items()},
            events=tuple(run.events(damaged)),
            ledger=Ledger.from_dict(run.read_record("ledger")) if run.has_record("ledger") else None,
            preflight=Preflight.from_dict(run.read_record("preflight")) if run.has_record("preflight") else None,
            images=MaskCensus.from_dict(run.read_record("mask_census")) if run.has_record("mask_census") else None,
            scores={role: read_mask_scores(run.scores_file(role)) for role in run.scores_roles()},
        )

    def without_test(self) -> MaskView:
        """Return the view without anything of the test role, for a run whose test role is not to be looked at yet."""
        scores = {role: one for role, one in self.scores.items() if role != "test"}
        return dataclasses.replace(self, scores=scores, metrics={}, sealed=True)

    @property
    def exclusive(self) -> bool:
        """Whether each pixel has one class."""
        return self.census.task == "multiclass"

    @property
    def watched(self) -> tuple[str, ...]:
        """The classes that masks are about: all but the background."""
        return self.census.classes[1:] if self.exclusive else self.census.classes

    @property
    def members(self) -> int:
        """How many members were trained: one."""
        return 1

    @property
    def epochs(self) -> list[Mapping[str, Any]]:
        """The events of the epochs, in order."""
        return [event for event in self.events if event.get("event") == "epoch"]


def pooled_folds(runs: Sequence[Run]) -> dict[str, MetricTable]:
    """Return the figures of the test roles of several folds together, each image judged by the run that never saw it.

    Args:
        runs: finished, of one recipe.

    Returns:
        By answer: see `ANSWERS`.

    Raises:
        DataError: two of them tested the same image, or a file is damaged.
    """
    scores: MaskScores | None = None
    parts: list[Mapping[str, Any]] = []
    for run in runs:
        one = read_mask_scores(run.scores_file("test"))
        scores = one if scores is None else scores + one
        parts.append(read_json(run.file("scores/test-counts.json")))
    if scores is None:
        raise DataError("There is no run to pool. Give at least one.")
    counts = ImageCounts(*(np.concatenate([np.array(part[name], np.int64) for part in parts]) for name in _COUNTS))
    plain: str | list[float] = "argmax" if scores.exclusive else [0.5] * len(scores.classes)
    found = {"rule": evaluate_masks(scores, plain, counts=counts), "half": evaluate_masks(scores, plain)}
    for name, trivial in trivial_counts(scores).items():
        found[name] = evaluate_masks(scores, plain, counts=trivial, trivial=True)
    return found


def read_test_counts(run: Run) -> CountedMasks:
    """Return the counts that a run stored of its test images by its own rule, small parts removed.

    Args:
        run: finished, with a test role.

    Raises:
        DataError: the file is damaged.
    """
    file = run.file("scores/test-counts.json")
    stored = read_json(file)
    try:
        counts = ImageCounts(*(np.array(stored[name], np.int64) for name in _COUNTS))
        ids = np.array(stored["ids"], dtype=object)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}). Restore it, or train again.") from error
    return CountedMasks(ids, counts, MaskRule.from_dict(run.read_record("decision")))


_COUNTS = ("overlap", "actual", "predicted", "known")
