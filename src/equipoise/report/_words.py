"""Numbers in words, the same in tables, figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from equipoise.balance._words import one_in

if TYPE_CHECKING:
    from equipoise.decision import DecisionRule
    from equipoise.evidence import MetricRow, MetricTable

__all__ = [
    "THRESHOLD_FREE",
    "figure_cell",
    "joined",
    "metric_name",
    "no_thresholds",
    "one_in",
    "percent",
    "rule_cells",
    "rule_names",
]

THRESHOLD_FREE = ("auc", "ap", "brier", "log_loss")  # the same whatever the rule
_WRITTEN = {
    "f1": "F1", "auc": "AUC", "ap": "AP", "mcc": "MCC", "qwk": "QWK", "mae": "MAE", "dice": "Dice",
    "image_dice": "image-Dice", "iou": "IoU", "image_iou": "image-IoU", "hd95": "HD95", "nsd": "NSD",
}  # fmt: skip


def metric_name(name: str) -> str:
    """Return the name of a metric as people write it.

    Example:
        >>> metric_name("macro_f1"), metric_name("balanced_accuracy"), metric_name("loss")
        ('macro-F1', 'balanced accuracy', 'loss')
    """
    for average in ("macro", "micro", "weighted", "samples"):
        if name.startswith(f"{average}_"):
            return f"{average}-{metric_name(name.removeprefix(f'{average}_'))}"
    return _WRITTEN.get(name, name.replace("_", " "))


def no_thresholds(function: str, rule: DecisionRule) -> str:
    """Return why a figure over thresholds cannot be drawn of a rule for exclusive classes, and what can."""
    takes = "cuts the expected grade" if rule.cut_points is not None else "takes the most likely class"
    takes += "" if rule.class_offsets is None else " after offsets"
    return (
        f"{function} needs a rule with a threshold for each class; this one {takes}. Draw precision_recall, roc or "
        "reliability instead (command line: --plot roc)."
    )


def percent(share: float) -> str:
    """Return a share as a percentage with as many digits as it needs.

    Example:
        >>> percent(0.5), percent(0.034), percent(0.00021)
        ('50 %', '3.4 %', '0.021 %')
    """
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


def joined(parts: Sequence[str], most: int = 6) -> str:
    """Return parts as a list in a sentence.

    Example:
        >>> joined(["a", "b", "c"]), joined(["a"]), joined(["a", "b", "c", "d"], most=2)
        ('a, b and c', 'a', 'a, b and 2 more')
    """
    shown = list(parts[:most])
    if len(parts) > most:
        return f"{', '.join(shown)} and {len(parts) - most} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def rule_names(judged: Collection[str], *, exclusive: bool) -> dict[str, str]:
    """Return what each rule that was judged is called.

    Args:
        judged: keys of the metrics of a run: ``rule``, ``half`` and ``never``.
        exclusive: whether exactly one class is true of each row.

    Example:
        >>> rule_names(["rule", "half"], exclusive=False)
        {'rule': 'fitted thresholds', 'half': 'cut at 0.5'}
    """
    names = {"rule": "fitted thresholds", "half": "cut at 0.5", "never": "always no"}
    if exclusive:
        fitted = "fitted offsets" if "half" in judged else "most likely class"
        names = {"rule": fitted, "half": "most likely class", "never": "always the commonest"}
    return {key: names.get(key, key) for key in judged}


def figure_cell(row: MetricRow, *, interval: bool = True, reason: bool = True) -> str:
    """Return a figure with its interval; one of no width is left out, for it would look like certainty.

    Args:
        row: the figure.
        interval: whether the interval is wanted.
        reason: whether to say why a figure is missing.
    """
    if math.isnan(row.value):
        return (row.note if reason else "") or "not evaluable"
    wide = interval and not math.isnan(row.low) and row.low != row.high
    return f"{row.value:.3f}" + (f" [{row.low:.3f}, {row.high:.3f}]" if wide else "")


def rule_cells(
    tables: Mapping[str, MetricTable], name: str, class_name: str | None = None, *, narrow: bool = False
) -> list[str]:
    """Return one metric under each rule that was judged.

    What no threshold changes stands once. A rule that gives every row the same answer ranks nothing and has no
    probabilities, so such metrics do not exist for it.

    Args:
        tables: by rule, as a run stores them.
        name: of the metric, such as ``"macro_f1"``.
        class_name: of the class, or None for a figure over all of them.
        narrow: leave out why a figure is missing, and the interval of always giving the same answer.
    """
    free = name.removeprefix("macro_").removeprefix("micro_").removeprefix("weighted_") in THRESHOLD_FREE
    cells = []
    for place, (key, table) in enumerate(tables.items()):
        constant = key == "never"
        if free and place:
            cells.append("-" if constant else "same")
            continue
        row = table.row(name, class_name)
        cells.append(figure_cell(row, interval=not (narrow and constant), reason=not narrow))
    return cells
