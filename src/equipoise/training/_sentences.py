"""Findings in words: the evidence with its figures, and the remedy that names a key of the recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.evidence.finding import Finding
from equipoise.training._course import Fall
from equipoise.training._remedies import remedy
from equipoise.training._standing import Areas, Case, rounded

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

_SEVERITY = {"threshold_only": "note", "unclear": "note"}


def standing_finding(
    kind: str, recipe: Recipe, case: Case, *, member: int | None, epoch: int | None, severity: str | None = None
) -> Finding:
    """Return what is wrong with how a class stands, at an epoch of a member or (None) in the kept models.

    Args:
        kind: as `standing` said.
        recipe: as it was run.
        case: the class and its figures.
        member: from 0.
        epoch: from 1.
        severity: where it is not the kind's own.
    """
    over = kind == "dominates" and not case.dominates
    said, settings = remedy(kind, recipe, exclusive=case.exclusive, over=over, few=case.few)
    return Finding(
        kind=kind,
        class_name=case.name,
        epoch=epoch,
        member=member,
        severity=severity or _SEVERITY.get(kind, "warning"),
        sentence=f"{case.name}: {_standing_words(kind, case)}.",
        remedy=said,
        evidence=case.figures(),
        settings=settings,
    )


def _standing_words(kind: str, case: Case) -> str:
    area = case.areas.words(case.number)
    if kind == "constant":
        return "every row gets the same score"
    if kind == "no_ranking":
        way = "ranked the wrong way round" if case.areas.high[case.number] < 0.5 else "not told from the rest"
        return f"{way} ({area}); {_how_often(case)}"
    if kind == "unclear":
        why = "too few positives to say why" if case.few else "ranked too weakly to blame the threshold alone"
        return f"{_how_often(case)}, and {why} ({area})"
    if kind == "dominates":
        return f"{_how_often(case)}, though {_percent(case.prevalence)} of them have it ({area})"
    wrong = "the largest score alone is" if case.exclusive else "only that threshold is"
    return f"ranked well ({area}) but {_how_often(case)}: {wrong} wrong"


def _how_often(case: Case) -> str:
    by = "the most likely class" if case.exclusive else "predicted at 0.5"
    plain = f"never {by}" if case.naive == 0 else f"{by} on {_percent(case.naive)} of rows"
    if math.isnan(case.fitted):
        return plain
    return f"{plain}, and by the fitted rule on {_percent(case.fitted)}"


def collapse_finding(kind: str, recipe: Recipe, member: int, epoch: int, areas: Areas, epochs: int) -> Finding:
    """Return that a model says nothing of any class, and has not for so many epochs."""
    said, settings = remedy(kind, recipe, exclusive=False)
    best = int(np.nanargmax(areas.auc)) if not np.isnan(areas.auc).all() else None
    what = "every row gets the same scores" if kind == "constant" else "no class is told from the rest"
    figures = "" if best is None or kind == "constant" else f" (the best has {areas.words(best)})"
    stop = recipe.training.on_collapse == "stop"
    stopped = " Training was stopped (training.on_collapse: stop)." if stop else ""
    return Finding(
        kind=kind,
        class_name=None,
        epoch=epoch,
        member=member,
        severity="collapse",
        sentence=f"For {epochs} epochs in a row {what}{figures}.{stopped}",
        remedy=said,
        evidence={"epochs": epochs, "stopped": stop} | ({} if best is None else areas.figures(best)),
        settings=settings,
    )


def unlearning_finding(
    recipe: Recipe, member: int, epoch: int, name: str, areas: Areas, number: int, best: tuple[float, int]
) -> Finding:
    """Return that a class was ranked better before; `best` is its best area and the epoch of it."""
    said, settings = remedy("unlearning", recipe, exclusive=False)
    return Finding(
        kind="unlearning",
        class_name=name,
        epoch=epoch,
        member=member,
        sentence=f"{name}: AUC was {best[0]:.2f} in epoch {best[1]}, and is now lost again ({areas.words(number)}).",
        remedy=said,
        evidence={"best_auc": rounded(best[0]), "best_epoch": best[1]} | areas.figures(number),
        settings=settings,
    )


def diverging_finding(recipe: Recipe, member: int, epoch: int, fall: Fall) -> Finding:
    """Return that the watched metric got worse while the training loss fell."""
    said, settings = remedy("diverging", recipe, exclusive=False)
    monitor = recipe.training.monitor
    return Finding(
        kind="diverging",
        class_name=None,
        epoch=epoch,
        member=member,
        sentence=f"Since epoch {fall.best_epoch} the training loss fell from {fall.loss_then:.3g} to "
        f"{fall.loss_now:.3g}, but the watched {monitor} went from {fall.best:.3f} to {fall.now:.3f}.",
        remedy=said,
        evidence={
            "monitor": monitor,
            "best_epoch": fall.best_epoch,
            "best": rounded(fall.best),
            "now": rounded(fall.now),
            "training_loss_then": rounded(fall.loss_then),
            "training_loss_now": rounded(fall.loss_now),
        },
        settings=settings,
    )


def stopped_finding(recipe: Recipe, member: int, epoch: int, watched: Sequence[float], share: float) -> Finding:
    """Return that epochs ran out while the watched metric improved; `share` of all its gain came in the last fifth."""
    said, settings = remedy("stopped_early", recipe, exclusive=False)
    monitor = recipe.training.monitor
    return Finding(
        kind="stopped_early",
        class_name=None,
        epoch=epoch,
        member=member,
        sentence=f"The watched {monitor} was still improving when the {epoch} epochs ran out: it went from "
        f"{watched[0]:.3f} to {watched[-1]:.3f}, {_percent(share)} of that in the last fifth.",
        remedy=said,
        evidence={
            "monitor": monitor,
            "first": rounded(watched[0]),
            "last": rounded(watched[-1]),
            "late_share": rounded(share),
        },
        settings=settings,
    )


def overfitting_finding(recipe: Recipe, name: str, number: int, learned: Areas, held_out: Areas) -> Finding:
    """Return that a class is ranked far better among rows learned from than among others."""
    said, settings = remedy("overfitting", recipe, exclusive=False)
    told: dict[str, Any] = {f"training_{key}": value for key, value in learned.figures(number).items()}
    return Finding(
        kind="overfitting",
        class_name=name,
        epoch=None,
        sentence=f"{name}: AUC {learned.auc[number]:.2f} on rows learned from, but {held_out.auc[number]:.2f} "
        f"[{held_out.low[number]:.2f}, {held_out.high[number]:.2f}] on validation rows "
        f"({held_out.positives[number]} positives there).",
        remedy=said,
        evidence=held_out.figures(number) | told,
        settings=settings,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
