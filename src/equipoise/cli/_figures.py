"""The figures that commands draw of scores and a rule."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise._checks import ArgumentError, check_one_of
from equipoise.cli._options import check_free

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from equipoise.decision import DecisionRule
    from equipoise.scores import Scores

PLOTS = ("thresholds", "cost", "precision_recall", "roc", "reliability")
FigureOption = Annotated[Path | None, typer.Option("--figure", help="Where to draw a figure, as PNG.")]
PlotOption = Annotated[
    str | None,
    typer.Option(
        "--plot",
        help="What --figure draws: thresholds, cost (the aim of the rule at every threshold), "
        "precision_recall, roc or reliability.",
    ),
]


def check_png(figure: Path | None) -> None:
    """Raise `ArgumentError` where a figure would be written under a name that is not one of a PNG."""
    if figure is not None and figure.suffix.casefold() != ".png":
        raise ArgumentError(f"--figure {figure}: figures are written as PNG. Choose a name that ends in .png.")


def check_figure(
    figure: Path | None,
    plot: str | None,
    overwrite: bool,
    *,
    source: Path | Iterable[Path | None],
    out: Path | None,
    rule_out: Path | None = None,
) -> None:
    """Raise `ArgumentError` when the figure cannot be drawn or written, before any work is done."""
    if plot is not None:
        check_one_of(plot, PLOTS, argument="--plot", function="this command")
        if figure is None:
            raise ArgumentError("--plot says what --figure draws. Add --figure FILE.png.")
    if figure is None:
        return
    check_png(figure)
    others = {"--out": out, "--rule-out": rule_out}
    check_free(figure, overwrite, source=source, flag="--figure", others=others)


def draw_scores(path: Path, scores: Scores, rule: DecisionRule | None, plot: str | None, *, usual: str) -> None:
    """Write a figure of scores under a rule as PNG: `plot`, or where it is not chosen the `usual` one if it can be.

    Raises:
        ArgumentError: the figure needs a rule, and there is none.
    """
    from equipoise.report._style import write_figure

    if plot is None:
        plot = usual if rule is not None and rule.thresholds is not None else "precision_recall"
    write_figure(_figure(scores, rule, plot), path)


def _figure(scores: Scores, rule: DecisionRule | None, plot: str) -> Figure:
    from equipoise import report

    if plot == "reliability":
        natural = scores if rule is None else rule.apply(scores).scores
        return report.plot_reliability(natural, per_class=len(scores.classes) > 1)
    if plot in ("thresholds", "cost"):
        if rule is None:
            raise ArgumentError(f"--plot {plot} needs a rule. Give --rule decision.json or --threshold.")
        return report.plot_cost(scores, rule) if plot == "cost" else report.plot_thresholds(scores, rule)
    return report.plot_roc(scores, rule) if plot == "roc" else report.plot_precision_recall(scores, rule)
