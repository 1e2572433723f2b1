"""Cells of rows of a table: scores of each row, and the rules that decide on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from equipoise.ablation._kinds import CellKind
from equipoise.balance import Ledger
from equipoise.decision import (
    DecisionRule,
    RuleByParts,
    fit_by_parts,
    higher_is_better,
    monitor_value,
    raw_rule,
    read_rule,
)
from equipoise.decision.monitor import MONITORS
from equipoise.recipe import Recipe, read_recipe
from equipoise.runs import Run
from equipoise.scores import Scores, read_scores

_RANKING = ("auc", "ap")  # no threshold enters


@dataclasses.dataclass(frozen=True, eq=False)
class LabelCell:
    """One finished run, as far as it is needed to judge it."""

    id: str
    version: str
    scores: Scores
    ledger: Ledger
    rule: DecisionRule
    decision: Any


@final
class LabelCells(CellKind):
    """Cells whose scores are of rows."""

    def usual_metric(self, run: Run) -> str:
        """Return QWK for grades, macro-F1 for other classes, F1 for one."""
        return {"ordinal": "qwk", "binary": "f1"}.get(str(run.read_record("census")["task"]), "macro_f1")

    def has_threshold(self, metric: str) -> bool:
        """Return whether a threshold enters a metric: not where rows are only ranked."""
        return metric.rpartition("_")[2] not in _RANKING

    def validation_value(self, run: Run, recipe: Recipe, metric: str) -> float:
        """Return the metric of a finished run on its validation role: what is shown while others are trained.

        Thresholds are fitted on the very rows, so the figure is optimistic: it ranks arms and is never reported.
        Metrics that cannot be watched are replaced by the one that the training watched.

        Args:
            run: finished.
            recipe: of the run.
            metric: of the ablation.
        """
        name = metric if metric in MONITORS else f"macro_{metric}"
        if name not in MONITORS:
            name = recipe.training.monitor
        task = run.read_record("census")["task"]
        value = monitor_value(name, read_scores(run.scores_file("validation"), role="validation", task=task))
        return value if higher_is_better(name) else -value

    def read(self, run: Run, cell: Mapping[str, Any], role: str) -> LabelCell:
        """Return what is judged of a finished run."""
        task = run.read_record("census")["task"]
        return LabelCell(
            id=str(cell["id"]),
            version=str(run.about.get("equipoise", "?")),
            scores=read_scores(run.scores_file(role), role=role, task=task),
            ledger=Ledger.from_dict(run.read_record("ledger")),
            rule=read_rule(run.file("decision.json")),
            decision=read_recipe(run.file("recipe.yaml")).decision,
        )

    def arm(self, cells: Sequence[LabelCell], metric: str, *, test: bool) -> tuple[Scores, Any, Any]:
        """Return the scores of one arm and seed with its raw and its fixed rule; None where no threshold enters."""
        scores, fold_of = _pooled(cells)
        if not self.has_threshold(metric):
            return scores, None, None
        raw = [raw_rule(cell.scores, cell.ledger) for cell in cells]
        if test:
            fixed: Any = _by_fold(scores, fold_of, [cell.rule for cell in cells])
        else:
            decision = cells[0].decision
            fixed = fit_by_parts(scores, decision.maximize, method=decision.method, calibrate=decision.calibration)
        return scores, _by_fold(scores, fold_of, raw), fixed


def _by_fold(scores: Scores, fold_of: NDArray[np.int64], rules: Sequence[DecisionRule]) -> DecisionRule | RuleByParts:
    return rules[0] if len(rules) == 1 else RuleByParts.of(scores, fold_of, rules)


def _pooled(cells: Sequence[LabelCell]) -> tuple[Scores, NDArray[np.int64]]:
    """Return the scores of all folds, each row once, and the place of the cell that it is from, shape (rows,)."""
    first = cells[0].scores
    if len(cells) == 1:
        return first, np.zeros(len(first), dtype=np.int64)
    names = np.concatenate([cell.scores.ids.astype(str) for cell in cells])
    place = np.repeat(np.arange(len(cells)), [len(cell.scores) for cell in cells])
    _, rows = np.unique(names, return_index=True)  # the first fold that has it
    groups = [cell.scores.groups for cell in cells]
    pooled = Scores(
        labels=np.concatenate([cell.scores.labels for cell in cells])[rows],
        values=np.concatenate([cell.scores.values for cell in cells])[rows],
        kind=first.kind,
        ids=names[rows],
        groups=None if first.groups is None else np.concatenate([one for one in groups if one is not None])[rows],
        role=first.role,
        classes=first.classes,
        task=first.task,
    )
    return pooled, place[rows]
