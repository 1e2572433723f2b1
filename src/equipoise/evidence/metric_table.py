"""`MetricTable`: every metric with its interval, what it rests on, and why it could not be evaluated."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from equipoise._checks import ArgumentError, DataError, listed, nearest

if TYPE_CHECKING:
    import polars as pl


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """One figure.

    Args:
        metric: name without the average, such as "f1".
        average: "macro" (mean over evaluable classes), "micro" (all entries pooled), or None for a class or a figure
            that is over whole rows.
        class_name: the class, or None.
        value: NaN where it cannot be evaluated.
        low: lower end of the interval; NaN without.
        high: upper end.
        support: known positives of a class; known rows, or known entries for micro, otherwise; of masks the
            images that the figure is over.
        evaluable: "13 of 14" classes for macro, "yes" or "no" otherwise.
        note: why not, or what to keep in mind; may be empty.
    """

    metric: str
    average: str | None
    class_name: str | None
    value: float
    low: float
    high: float
    support: int
    evaluable: str
    note: str = ""

    @property
    def name(self) -> str:
        """The metric with its average, such as "macro_f1"."""
        return f"{self.average}_{self.metric}" if self.average else self.metric


@dataclasses.dataclass(frozen=True)
class MetricTable:
    """Figures of one table of scores.

    Args:
        rows: averages and figures over rows first, then each class.
        task: of the scores.
        classes: names.
        role: of the scores.
        cases: number of rows judged.
        clusters: number of groups (patients) resampled; rows where there are no groups.
        clustered: whether groups were resampled.
        level: coverage of the intervals.
        replicates: bootstrap replicates behind them; 0 for no intervals.
        seed: of the replicates.
        notes: sentences about the whole.
    """

    rows: tuple[MetricRow, ...]
    task: str
    classes: tuple[str, ...]
    role: str
    cases: int
    clusters: int
    clustered: bool
    level: float
    replicates: int
    seed: int
    notes: tuple[str, ...] = ()

    def row(self, metric: str, class_name: str | None = None) -> MetricRow:
        """Return one row, by the full name of a metric ("macro_f1", "qwk"), or by metric and class ("f1", "Hernia").

        A table with one class has no averages: there "macro_f1", "micro_f1" and "f1" are that class's.

        Raises:
            ArgumentError: there is no such row; the message names the nearest.
        """
        for row in self.rows:
            if row.class_name == class_name and row.name == metric:
                return row
        if len(self.classes) == 1 and class_name is None:
            bare = metric.removeprefix("macro_").removeprefix("micro_")
            for row in self.rows:
                if row.metric == bare:
                    return row
        if class_name is not None and class_name not in self.classes:
            raise ArgumentError(
                f'The table has no class "{class_name}", only {listed(self.classes)}.'
                f"{nearest(class_name, self.classes)}"
            )
        of_class = class_name is not None or len(self.classes) == 1
        names = sorted({row.name for row in self.rows if (row.class_name is not None) == of_class})
        ruled = any(row.metric in ("f1", "accuracy") for row in self.rows)
        rule = "" if ruled else " What judges predictions (f1, recall, ...) needs a rule; this table was made without."
        raise ArgumentError(
            f'The table has no "{metric}"{" of a class" if of_class else ""}; it has {listed(names, limit=40)}.'
            f"{nearest(metric, names)}{rule}"
        )

    def value(self, metric: str, class_name: str | None = None) -> float:
        """Return the value of one row (see `row`)."""
        return self.row(metric, class_name).value

    def overall(self) -> list[MetricRow]:
        """Return the averages and the figures over rows."""
        return [row for row in self.rows if row.class_name is None]

    def of_class(self, class_name: str) -> list[MetricRow]:
        """Return the rows of one class."""
        return [row for row in self.rows if row.class_name == class_name]

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain JSON types; what is not evaluable is None."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        rows = [plain_numbers(dataclasses.asdict(row)) for row in self.rows]
        head = {"format": "equipoise metric table", "version": 1}
        return head | plain | {"classes": list(self.classes), "notes": list(self.notes), "rows": rows}

    @classmethod
    def from_dict(cls, data: Any) -> MetricTable:
        """Return the table that `to_dict` wrote.

        Raises:
            DataError: it is of a newer version, or no metric table.
        """
        if not isinstance(data, dict) or data.get("format") != "equipoise metric table":
            raise DataError("this is no metric table. Give the file that `evaluate` wrote.")
        if data.get("version") != 1:
            raise DataError(
                f'"version" of the metric table is {data.get("version")!r}; this Equipoise reads version 1. Update it.'
            )
        fields = {key: value for key, value in data.items() if key not in ("format", "version")}
        try:
            rows = tuple(
                MetricRow(**(row | {key: math.nan for key in ("value", "low", "high") if row[key] is None}))
                for row in fields.pop("rows")
            )
            classes, notes = tuple(fields.pop("classes")), tuple(fields.pop("notes"))
            return cls(rows=rows, classes=classes, notes=notes, **fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise DataError(f"the metric table is damaged: {error}. Run `evaluate` again.") from error

    def to_polars(self) -> pl.DataFrame:
        """Return the table as a polars data frame, one row per figure; what is not evaluable is null."""
        import polars as pl

        frame = pl.DataFrame([dataclasses.asdict(row) for row in self.rows], infer_schema_length=None)
        return frame.with_columns(pl.col("value", "low", "high").fill_nan(None))

    def __str__(self) -> str:
        lines = [self.headline()]
        lines += [
            f"  {row.name:<26}{interval_text(row):<26}{row.evaluable:<13}{row.note}".rstrip() for row in self.overall()
        ]
        for name in self.classes:
            rows = self.of_class(name)
            if rows:
                lines.append(f"{name} ({rows[0].support:,} positives)")
                lines += [f"  {row.name:<26}{interval_text(row):<26}{row.note}".rstrip() for row in rows]
        return "\n".join([*lines, *self.notes])

    def headline(self) -> str:
        """Return one sentence on what was judged and how the intervals were made."""
        over = f"{self.cases:,} rows of the role {self.role}"
        if not self.replicates:
            return f"{over}; no intervals."
        unit = f"{self.clusters:,} groups" if self.clustered else "rows"
        return f"{over}; {self.level:.0%} intervals from {self.replicates:,} bootstrap replicates of {unit}."


def plain_numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with None for every number that is not finite: JSON has no other word for it."""
    return {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in row.items()}


def interval_text(row: MetricRow) -> str:
    """Return ``0.812 [0.790, 0.833]``, without what is not evaluable.

    Example:
        >>> interval_text(MetricRow("f1", "macro", None, 0.5, 0.25, 0.75, 10, "2 of 2"))
        '0.500 [0.250, 0.750]'
    """
    if math.isnan(row.value):
        return "not evaluable"
    return f"{row.value:.3f}" + ("" if math.isnan(row.low) else f" [{row.low:.3f}, {row.high:.3f}]")
