"""`Verdicts`: what an ablation showed of each arm, in four words, with everything behind them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from equipoise._checks import ArgumentError, DataError, nearest
from equipoise.evidence.comparison import Comparison, metric_words
from equipoise.evidence.metric_table import plain_numbers

FORMAT = "equipoise verdict"
HELPS, HURTS, NO_WORSE, CANNOT_TELL = "helps", "hurts", "no worse", "cannot tell"
WORDS = (HELPS, HURTS, NO_WORSE, CANNOT_TELL)
PLAIN, FREE_FIX = "plain", "free fix"  # what arms are judged against
STRATA = ("rare", "medium", "common")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its interval; NaN where it cannot be evaluated."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class ClassVerdict:
    """What an arm did to one class.

    Args:
        name: of the class.
        positives: known positives among the rows judged.
        prevalence: their share of known labels.
        stratum: rare, medium or common.
        difference: arm minus what it is judged against, the mean over seeds.
        low: lower end of its interval, which is not adjusted.
        high: upper end.
        p: of no difference, two-sided.
        adjusted_p: the same by Holm's method, over the classes of the arm.
        verdict: one of `WORDS`.
        note: what to keep in mind; may be empty.
    """

    name: str
    positives: int
    prevalence: float
    stratum: str
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float
    verdict: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Stratum:
    """What an arm did to the mean over classes of about the same prevalence: fields as of `ClassVerdict`.

    Args:
        classes: their names: those with a figure in every seed.
        difference: of the mean over them.
        low: lower end of its interval.
        high: upper end.
        p: of no difference.
        adjusted_p: over the strata of the arm.
        verdict: one of `WORDS`.
    """

    classes: tuple[str, ...]
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Needed:
    """What would tell four times in five, if the difference is what it seems; None where no number of them would.

    Of Student's t, at the error that Holm's method asks of the clearest of the arms.

    Args:
        positives: known positives of all classes, with as many seeds as now.
        seeds: training seeds, with as many rows as now.
        shows: what would be shown: helps, hurts or no worse.
    """

    positives: int | None
    seeds: int | None
    shows: str


@dataclasses.dataclass(frozen=True)
class ArmVerdict:
    """What was shown of one arm.

    Args:
        name: of the arm.
        seeds: that it shares with the reference: the others are left out.
        raw: the metric, with the model's own output cut at 0.5, or the most likely class.
        fixed: the same with its ledger's shift and its own fitted decision rule.
        against_plain: raw against raw plain training; adjusted over the arms and the free fix.
        against_free_fix: fixed against plain training with the same fix; adjusted over the arms.
        no_worse_p: of a loss as large as the margin, one-sided, adjusted over the arms; NaN without a margin.
        equivalence_p: of a difference as large as the margin, adjusted over the arms; NaN without a margin.
        verdict: one of `WORDS`.
        sentence: to be quoted.
        needed: what would tell; None where it is told, or nothing can be said.
        strata: by name.
        classes: in their order.
        notes: what to keep in mind.
    """

    name: str
    seeds: tuple[int, ...]
    raw: Estimate
    fixed: Estimate
    against_plain: Comparison
    against_free_fix: Comparison
    no_worse_p: float
    equivalence_p: float
    verdict: str
    sentence: str
    needed: Needed | None
    strata: Mapping[str, Stratum]
    classes: tuple[ClassVerdict, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what cannot be evaluated is None."""
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            "raw": _plain(self.raw),
            "fixed": _plain(self.fixed),
            "against_plain": self.against_plain.to_dict(),
            "against_free_fix": self.against_free_fix.to_dict(),
            **plain_numbers({"no_worse_p": self.no_worse_p, "equivalence_p": self.equivalence_p}),
            "verdict": self.verdict,
            "sentence": self.sentence,
            "needed": {"positives": None, "seeds": None, "shows": None} if self.needed is None else _plain(self.needed),
            "strata": {name: _plain(one) for name, one in self.strata.items()},
            "classes": [_plain(one) for one in self.classes],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ArmVerdict:
        """Return what `to_dict` wrote; a KeyError or TypeError says that it is damaged."""
        fields: dict[str, Any] = {name: data[name] for name in (one.name for one in dataclasses.fields(cls))}
        needed = fields["needed"]
        fields["needed"] = None if needed["shows"] is None else Needed(**needed)
        fields |= {key: _number(data[key]) for key in ("no_worse_p", "equivalence_p")}
        fields |= {key: Estimate(**_numbers(data[key])) for key in ("raw", "fixed")}
        fields |= {key: Comparison.from_dict(data[key]) for key in ("against_plain", "against_free_fix")}
        fields |= {key: tuple(data[key]) for key in ("seeds", "notes")}
        strata = {name: _numbers(one) for name, one in data["strata"].items()}
        fields["strata"] = {name: Stratum(**one | {"classes": tuple(one["classes"])}) for name, one in strata.items()}
        fields["classes"] = tuple(ClassVerdict(**_numbers(one)) for one in data["classes"])
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class FreeFixVerdict:
    """What costs no training: the reference's own scores with the shift and fitted decision rule, beside raw ones.

    Args:
        raw: the reference, its own output cut at 0.5 or the most likely class.
        fixed: the same scores, fixed.
        against_plain: fixed against raw; adjusted over the arms and the free fix.
        verdict: one of `WORDS`.
        sentence: to be quoted.
    """

    raw: Estimate
    fixed: Estimate
    against_plain: Comparison
    verdict: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "raw": _plain(self.raw),
            "fixed": _plain(self.fixed),
            "against_plain": self.against_plain.to_dict(),
            "verdict": self.verdict,
            "sentence": self.sentence,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FreeFixVerdict:
        """Return what `to_dict` wrote."""
        return cls(
            raw=Estimate(**_numbers(data["raw"])),
            fixed=Estimate(**_numbers(data["fixed"])),
            against_plain=Comparison.from_dict(data["against_plain"]),
            verdict=str(data["verdict"]),
            sentence=str(data["sentence"]),
        )


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What an ablation showed.

    Args:
        role: of the rows judged: validation, or test.
        metric: full name, such as "macro_f1".
        class_metric: what classes and strata are judged by, bare; empty with one class.
        margin: a loss smaller than this does not matter; None where nothing was said.
        reference: name of the arm that is plain training.
        against: what the verdicts are against: "free fix" or "plain".
        level: coverage of the intervals; 1 - level is the error accepted over all arms.
        bounds: prevalence below the first is rare, from the second on common.
        cases: number of rows.
        arms: all but the reference.
        free_fix: of the reference.
        notes: sentences about the whole.
        unit: what was judged: "rows", or the "images" of masks.
    """

    role: str
    metric: str
    class_metric: str
    margin: float | None
    reference: str
    against: str
    level: float
    bounds: tuple[float, float]
    cases: int
    arms: tuple[ArmVerdict, ...]
    free_fix: FreeFixVerdict
    notes: tuple[str, ...] = ()
    unit: str = "rows"

    def of_arm(self, name: str) -> ArmVerdict:
        """Return the verdict of one arm.

        Raises:
            ArgumentError: there is none; the message names the nearest.
        """
        for one in self.arms:
            if one.name == name:
                return one
        raise ArgumentError(f'There is no verdict of an arm "{name}".{nearest(name, [one.name for one in self.arms])}')

    @property
    def sentences(self) -> list[str]:
        """The free fix, and each arm, in a sentence each."""
        return [self.free_fix.sentence, *(one.sentence for one in self.arms)]

    @property
    def metric_words(self) -> str:
        """The metric as it is written in a sentence."""
        return metric_words(self.metric if self.class_metric else self.metric.removeprefix("macro_"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what cannot be evaluated is None."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"format": FORMAT, "version": 1} | plain | {
            "bounds": list(self.bounds),
            "arms": [one.to_dict() for one in self.arms],
            "free_fix": self.free_fix.to_dict(),
            "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any) -> Verdicts:
        """Return the verdicts that `to_dict` wrote.

        Raises:
            DataError: they are of a newer version, damaged, or no verdicts.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise DataError("this holds no verdict. Run `equipoise verdict` on the ablation again.")
        if data.get("version") != 1:
            raise DataError(
                f'"version" of the verdict is {data.get("version")!r}; this Equipoise reads version 1. Update it.'
            )
        fields = {key: value for key, value in data.items() if key not in ("format", "version")}
        try:
            fields["arms"] = tuple(ArmVerdict.from_dict(one) for one in fields["arms"])
            fields["free_fix"] = FreeFixVerdict.from_dict(fields["free_fix"])
            fields["notes"], fields["bounds"] = tuple(fields["notes"]), tuple(fields["bounds"])
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise DataError(f"the verdict is damaged: {error}. Run `equipoise verdict` again.") from error

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *self.notes])


def _plain(record: Any) -> dict[str, Any]:
    plain = plain_numbers(dataclasses.asdict(record))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _numbers(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in stored.items()}
