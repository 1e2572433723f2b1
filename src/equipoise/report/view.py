"""What a run folder says, as records. Read without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._checks import RunError
from equipoise._tasks import is_exclusive
from equipoise.balance import ClassWeights, Ledger, Preflight, SamplingPlan
from equipoise.decision import DecisionRule, read_rule
from equipoise.evidence import MetricTable
from equipoise.labels import Census
from equipoise.recipe import Recipe, read_recipe
from equipoise.scores import Scores, read_scores

if TYPE_CHECKING:
    from equipoise.runs import Run


@dataclasses.dataclass(frozen=True, eq=False)
class RunView:
    """The records of a run; what it does not have yet is None or empty.

    Attributes:
        path: the run folder. recipe: what it was told. census: of all rows.
        weights: of the loss, or None. ledger: corrections in force, or None before training.
        rule: fitted on the validation role. scores: by role, as the model gave them.
        metrics: of the test role, by rule: ``rule`` (fitted), ``half`` (cut at 0.5), ``never`` (always no).
        events: of the training.
        plan: by which rows were drawn, or None: each once an epoch. preflight: what was found before the first step.
        sealed: whether the test role is there but was left out, because it is not opened yet.
    """

    path: Path
    recipe: Recipe
    census: Census
    weights: ClassWeights | None
    ledger: Ledger | None
    rule: DecisionRule | None
    scores: Mapping[str, Scores]
    metrics: Mapping[str, MetricTable]
    events: tuple[Mapping[str, Any], ...]
    plan: SamplingPlan | None = None
    preflight: Preflight | None = None
    sealed: bool = False

    @classmethod
    def read(cls, run: Run, *, damaged: list[int] | None = None) -> RunView:
        """Read the records of a run folder.

        Args:
            run: opened for reading.
            damaged: where the numbers of damaged lines of the events are put; None: such a line is an error.

        Raises:
            RunError: the run has not come so far as to count its labels.
            DataError: a file is damaged.
        """
        recipe = read_recipe(run.file("recipe.yaml"))
        if recipe.model.of_masks:
            raise RunError(
                f"{run.path} is a run of masks, which this does not read. Its page: equipoise report {run.path}; its "
                f"figures: equipoise evaluate {run.path}."
            )
        census = Census.from_dict(run.read_record("census"))
        weights = run.read_record("weights") if run.has_record("weights") else None
        metrics = run.read_record("metrics") if run.has_record("metrics") else {}
        return cls(
            path=run.path,
            recipe=recipe,
            census=census,
            weights=None if weights is None else ClassWeights.from_dict(weights),
            ledger=Ledger.from_dict(run.read_record("ledger")) if run.has_record("ledger") else None,
            rule=read_rule(run.file("decision.json")) if run.has_record("decision") else None,
            scores={
                role: read_scores(run.scores_file(role), role=role, task=census.task) for role in run.scores_roles()
            },
            metrics={name: MetricTable.from_dict(table) for name, table in (metrics or {}).items()},
            events=tuple(run.events(damaged)),
            plan=None if (plan := _stored(run, "plan")) is None else SamplingPlan.from_dict(plan),
            preflight=None if (proved := _stored(run, "preflight")) is None else Preflight.from_dict(proved),
        )

    def without_test(self) -> RunView:
        """Return the view without anything of the test role, for a run whose test role is not to be looked at yet."""
        scores = {role: one for role, one in self.scores.items() if role != "test"}
        return dataclasses.replace(self, scores=scores, metrics={}, sealed=True)

    def natural(self, role: str) -> Scores | None:
        """Return the scores of a role at natural prevalence, or None when there are none."""
        scores = self.scores.get(role)
        return scores if scores is None or self.rule is None else self.rule.apply(scores).scores

    @property
    def exclusive(self) -> bool:
        """Whether exactly one class is true of each row."""
        return is_exclusive(self.census.task)

    @property
    def aim(self) -> str:
        """The metric nearest to what the decision rule was fitted for: ``"f1"`` or ``"balanced_accuracy"``."""
        if self.rule is None or self.exclusive:  # per class, exclusive classes have no balanced accuracy
            return "f1"
        maximize = self.rule.maximize
        return "balanced_accuracy" if maximize in ("balanced_accuracy", "youden") else "f1"

    @property
    def members(self) -> int:
        """How many members were trained."""
        numbers = {event.get("member", 0) for event in self.events if event.get("event") == "epoch"}
        return max(1, len(numbers))


def _stored(run: Run, name: str) -> Any:
    return run.read_record(name) if run.has_record(name) else None
