"""`Comparison`: a paired difference with its interval, its p-value, and one sentence that a person can quote."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from equipoise._checks import ArgumentError, DataError, nearest
from equipoise.evidence.metric_table import plain_numbers

if TYPE_CHECKING:
    import polars as pl

_FORMAT = "equipoise comparison"
_SHORT_NAMES = {
    "ap": "AP", "auc": "AUC", "f1": "F1", "mcc": "MCC", "qwk": "QWK", "dice": "Dice", "image_dice": "image-Dice",
    "iou": "IoU", "image_iou": "image-IoU",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference in one class, or overall. NaN where it cannot be evaluated.

    Args:
        class_name: the class, or None for the metric that was compared.
        value_a: of the first, the mean over seeds.
        value_b: of the second.
        value: a - b.
        low: lower end of its interval.
        high: upper end.
        p: of the hypothesis that there is no difference, two-sided.
        adjusted_p: the same after Holm's adjustment over the classes, or over the arms.
        positives: known positives of the class, or of all classes.
        note: what to keep in mind; may be empty.
    """

    class_name: str | None
    value_a: float
    value_b: float
    value: float
    low: float
    high: float
    p: float
    adjusted_p: float
    positives: int
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two models on the same rows.

    Args:
        metric: full name, such as "macro_ap".
        names: of the two.
        overall: the difference in that metric; its `adjusted_p` is over the arms compared together.
        classes: the difference in each class, where the metric is a mean over classes.
        higher_is_better: direction of the metric.
        level: coverage of the intervals; an adjusted p below 1 - level counts as evidence.
        margin: differences smaller than this do not matter; None where nothing was said.
        equivalence_p: of the hypothesis that the difference is as large as the margin, or larger (two one-sided tests).
        positives_needed: how many positives would show a difference of this size four times in five, if the variance
            of the bootstrap falls as their number grows; None where there is no difference.
        role: of the scores.
        cases: number of rows.
        clusters: number of groups (patients) resampled; rows where there are no groups.
        clustered: whether groups were resampled.
        seeds: number of pairs of trained models.
        replicates: bootstrap replicates.
        seed: of the replicates.
        arms: how many comparisons the p-value was adjusted over.
        notes: sentences about the whole.
        unit: what was judged: "rows", or the "images" of masks.
    """

    metric: str
    names: tuple[str, str]
    overall: Difference
    classes: tuple[Difference, ...]
    higher_is_better: bool
    level: float
    margin: float | None
    equivalence_p: float | None
    positives_needed: int | None
    role: str
    cases: int
    clusters: int
    clustered: bool
    seeds: int
    replicates: int
    seed: int
    arms: int = 1
    notes: tuple[str, ...] = ()
    unit: str = "rows"

    @property
    def difference(self) -> float:
        """The first minus the second, in the metric compared."""
        return self.overall.value

    @property
    def low(self) -> float:
        """Lower end of the interval of the difference."""
        return self.overall.low

    @property
    def high(self) -> float:
        """Upper end of the interval of the difference."""
        return self.overall.high

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference, before any adjustment."""
        return self.overall.p

    @property
    def adjusted_p(self) -> float:
        """The p-value after Holm's adjustment over the arms compared together."""
        return self.overall.adjusted_p

    @property
    def verdict(self) -> str:
        """What was shown: "better", "worse", "equivalent", "unclear", or "not evaluable"."""
        alpha = 1 - self.level
        if math.isnan(self.overall.adjusted_p):
            return "not evaluable"
        equivalent = self.equivalence_p is not None and self.equivalence_p < alpha
        if self.overall.adjusted_p < alpha and not equivalent:
            return "better" if (self.difference > 0) == self.higher_is_better else "worse"
        return "equivalent" if equivalent else "unclear"

    @property
    def sentence(self) -> str:
        """The difference, its interval and what it shows, in one sentence."""
        first, second = self.names
        if math.isnan(self.difference):
            return f"{first} and {second} cannot be compared in {self._words}: {self.overall.note}."
        head = f"{first} changes {self._words} by {self.difference:+.3f}"
        if math.isnan(self.low):
            return f"{head} over {second}: {self.overall.note or 'no interval'}, so nobody can tell whether it helps."
        return f"{head} [{self.low:+.3f}, {self.high:+.3f}] over {second}: {self._shown()}."

    @property
    def _words(self) -> str:
        """The metric in words; with one class there is nothing to average."""
        return metric_words(self.metric.removeprefix("macro_") if not self.classes else self.metric)

    def _shown(self) -> str:
        verdict = self.verdict
        if verdict == "equivalent":
            return f"the two are equivalent within {self.margin} (p {p_text(self.equivalence_p)})"
        if verdict == "unclear":
            return "no evidence that it helps"
        adjusted = f", adjusted for {self.arms} comparisons" if self.arms > 1 else ""
        return f"it {'helps' if verdict == 'better' else 'harms'} (p {p_text(self.adjusted_p)}{adjusted})"

    @property
    def needed_sentence(self) -> str:
        """How many positives would show a difference of this size; empty where it is shown, or too small to name."""
        if self.positives_needed is None or self.low > 0 or self.high < 0 or f"{abs(self.difference):.3f}" == "0.000":
            return ""
        return (
            f"To see a difference of {abs(self.difference):.3f} four times in five takes about "
            f"{self.positives_needed:,} {positives_word(self.unit)} (here: {self.overall.positives:,}), by the "
            "bootstrap's variance."
        )

    def of_class(self, class_name: str) -> Difference:
        """Return the difference in one class.

        Raises:
            ArgumentError: there is none; the message names the nearest.
        """
        for one in self.classes:
            if one.class_name == class_name:
                return one
        names = [one.class_name for one in self.classes]
        raise ArgumentError(f'The comparison has no class "{class_name}".{nearest(class_name, names)}')

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types; what is not evaluable is None. Sentence and verdict are in it."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"format": _FORMAT, "version": 1, "sentence": self.sentence, "verdict": self.verdict} | plain | {
            "names": list(self.names),
            "notes": list(self.notes),
            "overall": plain_numbers(dataclasses.asdict(self.overall)),
            "classes": [plain_numbers(dataclasses.asdict(one)) for one in self.classes],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any) -> Comparison:
        """Return the comparison that `to_dict` wrote.

        Raises:
            DataError: it is of a newer version, or no comparison.
        """
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise DataError("this is no comparison. Give the file that `compare` wrote.")
        if data.get("version") != 1:
            raise DataError(
                f'"version" of the comparison is {data.get("version")!r}; this Equipoise reads version 1. Update it.'
            )
        fields = {key: value for key, value in data.items() if key not in ("format", "version", "sentence", "verdict")}
        try:
            fields["overall"] = _difference(fields["overall"])
            fields["classes"] = tuple(map(_difference, fields["classes"]))
            fields["names"], fields["notes"] = tuple(fields["names"]), tuple(fields["notes"])
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise DataError(f"the comparison is damaged: {error}. Run `compare` again.") from error

    def to_polars(self) -> pl.DataFrame:
        """Return one row for the metric and one per class; what is not evaluable is null."""
        import polars as pl

        rows = [dataclasses.asdict(one) for one in (self.overall, *self.classes)]
        frame = pl.DataFrame(rows, infer_schema_length=None)
        numbers = [name for name, kind in frame.schema.items() if kind.is_float()]
        return frame.with_columns(pl.col(numbers).fill_nan(None))

    def __str__(self) -> str:
        return "\n".join([self.sentence, *filter(None, [self.needed_sentence]), *self.notes])


def metric_words(metric: str) -> str:
    """Return a metric as it is written in a sentence.

    Example:
        >>> metric_words("macro_ap"), metric_words("micro_log_loss"), metric_words("qwk")
        ('macro-AP', 'micro-log loss', 'QWK')
    """
    average, _, bare = metric.partition("_")
    if average in ("macro", "micro", "weighted", "samples"):
        return f"{average}-{_SHORT_NAMES.get(bare, bare.replace('_', ' '))}"
    return _SHORT_NAMES.get(metric, metric.replace("_", " "))


def positives_word(unit: str) -> str:
    """Return what the cases of a class are called: positives among rows, of masks the images that hold it.

    Example:
        >>> positives_word("rows"), positives_word("images")
        ('positives', 'images with a class')
    """
    return "images with a class" if unit == "images" else "positives"


def p_text(p: float | None) -> str:
    """Return a p-value as it stands in a sentence, such as ``= 0.012`` or ``< 0.001``."""
    return "< 0.001" if p is not None and p < 0.001 else f"= {p:.2g}"


def _difference(row: dict[str, Any]) -> Difference:
    text = ("class_name", "note", "positives")
    filled: dict[str, Any] = {key: math.nan if one is None and key not in text else one for key, one in row.items()}
    return Difference(**filled)
