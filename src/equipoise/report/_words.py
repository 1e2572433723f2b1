"""Numbers in words, the same in tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from equipoise.balance._words import one_in

__all__ = ["THRESHOLD_FREE", "joined", "metric_name", "one_in", "percent"]

THRESHOLD_FREE = ("auc", "ap", "brier", "log_loss")  # the same whatever the rule
_WRITTEN = {"f1": "F1", "auc": "AUC", "ap": "AP", "mcc": "MCC", "qwk": "QWK"}


def metric_name(name: str) -> str:
    """Return the name of a metric as people write it.

    Example:
        >>> metric_name("macro_f1"), metric_name("balanced_accuracy"), metric_name("loss")
        ('macro-F1', 'balanced accuracy', 'loss')
    """
    for average in ("macro", "micro"):
        if name.startswith(f"{average}_"):
            return f"{average}-{metric_name(name.removeprefix(f'{average}_'))}"
    return _WRITTEN.get(name, name.replace("_", " "))


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
