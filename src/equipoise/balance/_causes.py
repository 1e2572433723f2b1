"""What is wrong with the rows that a sampler drew, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from equipoise.balance._draws import Draws, Rows
from equipoise.balance._fit import Fit, chi_square_fit, same_shares
from equipoise.balance._spread import likeness, same_again_chance, surplus_chance, unseen_chance
from equipoise.balance._words import counted

_SHIFTS = (1, -1, 2, -2, 3, -3)
_EXPECTED = 20.0  # an event expected that often and never seen is no chance: p below 2e-9
_FAR = 6.0  # standard deviations
_ALIKE = 0.3  # correlation of how often two ranks draw a row
_TOLERATED = 1.02  # pairs of draws of one row, times as many as expected
_SURE = 1e-6  # chance below which rows that are drawn too seldom are no accident
_FEW = 20  # draws below which nothing is said of repeats


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: ``"rows"``, ``"plan"``, ``"ranks"``, ``"epochs"``, ``"repeats"`` or ``"batches"``.
        passed: None where it could not be judged.
        message: what was found; of a failed check the cause and what to do.
    """

    name: str
    passed: bool | None
    message: str


@dataclass(frozen=True, eq=False)
class Kinds:
    """Rows that are alike: of one label combination and one weight.

    Attributes:
        weights: (kinds,) chance that a draw is a given row of the kind.
        counts: (kinds,) rows of each.
        cells: (rows,) the kind of each row.
        draws: planned draws of an epoch; None where it is not known.
    """

    weights: NDArray[np.float64]
    counts: NDArray[np.int64]
    cells: NDArray[np.integer]
    draws: int | None = None


@dataclass(frozen=True, eq=False)
class Situation:
    """What the checks look at.

    Attributes:
        classes: class names.
        table: (combinations, classes) labels; codes: (rows,) the combination of each row; counts: rows of each.
        masses: (combinations,) planned share of draws, or None without a plan.
        kinds: which rows have which weight.
        draws: what was drawn, row numbers out of range left out.
        level: chance of a false alarm of one test.
    """

    classes: tuple[str, ...]
    table: NDArray[np.int8]
    codes: NDArray[np.int32]
    counts: NDArray[np.int64]
    masses: NDArray[np.float64] | None
    kinds: Kinds
    draws: Draws
    level: float

    @cached_property
    def independent(self) -> Rows:
        """Draws that are not copies of each other: of one rank where ranks agree, of one epoch where epochs do."""
        ranks = range(len(self.draws.ranks))
        epochs = self.draws.first if same_epochs(self.draws) else self.draws.ranks
        return np.concatenate([epochs[rank] for rank in ranks if rank == 0 or not same_ranks(self.draws, rank)])

    def tally(self, rows: Rows) -> NDArray[np.int64]:
        """(combinations,) how often each was drawn."""
        return np.bincount(self.codes[rows], minlength=len(self.counts))

    def seen(self, rows: Rows) -> NDArray[np.int64]:
        """(rows,) how often each was drawn."""
        return np.bincount(rows, minlength=len(self.codes))

    def rates(self, masses: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
        """(classes,) share of draws that hold a positive of each class."""
        return np.asarray(masses @ (self.table == 1) / max(masses.sum(), 1e-300))


def check_draws(it: Situation) -> tuple[Check, ...]:
    """Return every check but that of the range of rows."""
    ranks = _check_ranks(it)
    plan, epochs = _check_plan(it, ranks), _check_epochs(it)
    sound = not any(check.passed is False for check in (ranks, plan, epochs))
    return (plan, ranks, epochs, _check_repeats(it, sound), _check_batches(it))


# --- shares


def _check_plan(it: Situation, ranks: Check) -> Check:
    if it.masses is None:
        return Check("plan", None, "There is no plan to compare the draws with.")
    drawn = it.tally(it.independent)
    fit = chi_square_fit(drawn, it.masses)
    if not fit.freedom and fit.p_value >= it.level:
        return Check("plan", None, "Too few draws to compare with the plan.")
    if fit.p_value >= it.level:
        return Check("plan", True, f"The draws agree with the plan ({_statistic(fit)}).")
    cause = _cause(it, drawn, ranks)
    return Check("plan", False, f"The draws do not agree with the plan ({_statistic(fit)}): {cause}")


def _cause(it: Situation, drawn: NDArray[np.int64], ranks: Check) -> str:
    assert it.masses is not None
    planned, found = it.rates(it.masses), it.rates(drawn)
    one = np.flatnonzero((found > 0.99) & (planned < 0.9))
    if len(one):
        name = it.classes[one[0]]
        return (
            f"all weight is on {name}, {_percent(found[one[0]])} of the draws where {_percent(planned[one[0]])} were "
            "planned. Give every row the weight that the plan has for it (plan.sample_weights)."
        )
    for shift in _SHIFTS:
        moved = np.bincount(np.roll(it.codes, -shift)[it.independent], minlength=len(it.counts))
        if chi_square_fit(moved, it.masses).p_value >= it.level:
            return _shifted(shift)
    if ranks.passed is False:
        return ranks.message[0].lower() + ranks.message[1:]
    if chi_square_fit(drawn, it.counts / it.counts.sum()).p_value >= it.level:
        return _natural(it)
    if _never_repeats(it):
        return (
            "no row is drawn twice in an epoch, so the rare classes run out. Draw with replacement "
            "(replacement=True), or with PlanSampler(plan, replacement=False), which repeats rows as planned."
        )
    part = _part(it)
    if part:
        return part[0].lower() + part[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(found - planned) / np.sqrt(planned * (1 - planned))
    worst = int(np.argmax(np.nan_to_num(distance, posinf=np.inf)))
    return (
        f"furthest off is {it.classes[worst]}, {_percent(found[worst])} of the draws where {_percent(planned[worst])} "
        "were planned. Make the sampler from this plan: PlanSampler(plan)."
    )


def _shifted(shift: int) -> str:
    rows = "row" if abs(shift) == 1 else "rows"
    place = "after" if shift > 0 else "before"
    return (
        f"rows and labels are shifted against each other by {abs(shift)} {rows}: the rows {abs(shift)} {place} those "
        "drawn have the planned shares. Make the weights from the labels in the order of the data set; look for a "
        "header counted as a row, or a row dropped from one of them."
    )


def _natural(it: Situation) -> str:
    first = it.draws.epoch
    seen = np.bincount(first, minlength=len(it.codes))
    pairs = float(np.sum(seen * (seen - 1.0)))
    by_chance = len(first) * (len(first) - 1.0) / len(it.codes)
    if pairs > 1.5 * by_chance and by_chance > 0 and pairs > 100:
        return (
            "the shares are the natural ones, though some rows are drawn far more often than others: the weights "
            "belong to other rows. Make them from the labels in the order of the data set."
        )
    return (
        "the shares are the natural ones, so the sampler ignores the plan. Pass it to the DataLoader as `sampler=` "
        "(and leave out shuffle=True), and see that no trainer puts its own in its place "
        "(Lightning: use_distributed_sampler=False)."
    )


# --- ranks


def _check_ranks(it: Situation) -> Check:
    ranks = it.draws.ranks
    if len(ranks) == 1:
        return Check("ranks", None, "There is one process.")
    for one in range(1, len(ranks)):
        if same_ranks(it.draws, one):
            return Check(
                "ranks", False,
                f"Ranks 0 and {one} draw the same rows in the same order, so every row is trained on twice. Give each "
                "sampler its rank (PlanSampler(plan) looks it up), or let one trainer shard it.",
            )  # fmt: skip
    shard = _shard(it)
    if shard:
        return Check("ranks", False, shard)
    copies = _copies(it)
    if copies:
        return Check("ranks", False, copies)
    tallies = np.array([it.tally(rows) for rows in ranks])
    fit = same_shares(tallies)
    if not fit.freedom:
        return Check("ranks", None, "Too few draws to compare the ranks.")
    if fit.p_value < it.level:
        rates = np.array([it.rates(tally) for tally in tallies])
        spread = (rates.max(axis=0) - rates.min(axis=0)) / np.sqrt(rates.mean(axis=0) + 1e-12)
        worst = int(np.argmax(spread))
        low, high = int(np.argmin(rates[:, worst])), int(np.argmax(rates[:, worst]))
        return Check(
            "ranks", False,
            f"Ranks draw different shares ({_statistic(fit)}): {it.classes[worst]} is {_percent(rates[high, worst])} "
            f"of the draws of rank {high} and {_percent(rates[low, worst])} of those of rank {low}. Let all ranks "
            "draw from one plan over all rows: PlanSampler(plan).",
        )  # fmt: skip
    return Check("ranks", True, f"The {len(ranks)} ranks draw from the same rows with the same shares.")


def _shard(it: Situation) -> str:
    """Say so if some ranks never draw a row of each other's though they ought to have, else return nothing.

    A row that is drawn more than once is drawn by either of two ranks, unless each has rows of its own: whatever the
    plan, and whether rows are drawn with replacement or in turn.
    """
    seen = [it.seen(rows) for rows in it.draws.ranks]
    for left in range(len(seen) - 1):
        one, other = seen[left], seen[left + 1]
        both = one + other
        share = one.sum() / both.sum()
        expected = float(np.sum(1.0 - share**both - (1.0 - share) ** both, where=both > 1))
        common = int(np.count_nonzero((one > 0) & (other > 0)))
        if expected > _EXPECTED and common < 0.01 * expected:
            return (
                f"Each rank draws inside a shard of its own ({_extent([np.flatnonzero(s) for s in seen], left)}): "
                f"ranks {left} and {left + 1} have {common} rows in common, where {counted(expected)} are expected of "
                "one plan. A class is then balanced within each shard only, and its rows there are repeated the more. "
                "Draw from all rows on every rank: PlanSampler(plan)."
            )
    return ""


def _copies(it: Situation) -> str:
    """Say so if two ranks draw the same rows in an epoch, in whatever order, else return nothing."""
    if it.masses is None:
        return ""
    seen = [it.seen(rows) for rows in it.draws.first]
    for left, right in {(0, rank) for rank in range(1, len(seen))} | {(r, r + 1) for r in range(len(seen) - 1)}:
        alike, deviations = likeness(seen[left], seen[right], it.kinds.cells, it.kinds.counts)
        if alike > _ALIKE and deviations > _FAR + 2:
            return (
                f"Ranks {left} and {right} draw the same rows in another order, far more than chance explains "
                f"(correlation {alike:.2f}), so rows are trained on twice. Let all ranks share one stream: "
                "PlanSampler(plan) looks its rank up."
            )
    return ""


def _extent(sets: list[Rows], rank: int) -> str:
    rows, world = sets[rank], len(sets)
    if len(np.unique(rows % world)) == 1:
        return (
            f"rank {rank} draws every {world}th row only" if world > 3 else f"rank {rank} draws one row in {world} only"
        )
    return f"rank {rank} draws rows {rows[0]:,} to {rows[-1]:,}"


# --- epochs, repeats, batches


def same_ranks(draws: Draws, rank: int) -> bool:
    """Whether a rank draws the rows of rank 0 in the same order."""
    return _same(draws.ranks[0], draws.ranks[rank])


def same_epochs(draws: Draws) -> bool:
    """Whether every rank draws the rows of its first epoch again in the second, in the same order."""
    return all(_same(a, b) for a, b in zip(draws.first, draws.second, strict=True))


def _same(one: Rows, other: Rows) -> bool:
    common = min(len(one), len(other))
    return common > 8 and np.array_equal(one[:common], other[:common])


def _check_epochs(it: Situation) -> Check:
    pairs = [(a, b) for a, b in zip(it.draws.first, it.draws.second, strict=True) if min(len(a), len(b)) > 8]
    if not pairs:
        return Check("epochs", None, "There is one epoch of draws.")
    if same_epochs(it.draws):
        return Check(
            "epochs", False,
            "Every epoch draws the same rows in the same order. Shuffle, and call set_epoch(epoch) before each epoch.",
        )  # fmt: skip
    same = it.masses is not None and all(len(a) == len(b) and np.array_equal(np.sort(a), np.sort(b)) for a, b in pairs)
    if same and same_again_chance(it.seen(it.draws.epoch), it.kinds.cells, it.kinds.counts) < it.level:
        return Check(
            "epochs", False,
            "Every epoch draws the same rows; only their order changes, so rows left out of the first are never seen. "
            "Draw anew in each epoch: PlanSampler(plan).",
        )  # fmt: skip
    return Check("epochs", True, "Epochs differ.")


def _check_repeats(it: Situation, sound: bool) -> Check:
    if it.masses is None:
        return Check("repeats", None, "There is no plan to say how often rows are repeated.")
    if _never_repeats(it):
        most = float(it.kinds.weights.max()) * len(it.draws.epoch)
        return Check(
            "repeats", False,
            f"No row is drawn twice in an epoch, but the plan draws the rarest {counted(most)} times: the sampler "
            "draws without replacement. Use replacement=True, or PlanSampler(plan, replacement=False), which repeats "
            "rows as planned.",
        )  # fmt: skip
    if not sound:
        return Check("repeats", None, "How often rows repeat is judged of sound draws only.")
    if len(it.independent) < _FEW:
        return Check("repeats", None, "Too few draws to say how often rows are repeated.")
    found = _part(it) or _few_rows(it) or _other_length(it)
    return Check("repeats", False, found) if found else Check("repeats", True, "Rows are repeated as the plan has it.")


def _never_repeats(it: Situation) -> bool:
    """Whether no row was drawn twice in the first epoch though the plan repeats many, with or without replacement."""
    first = it.draws.epoch
    repeated = float(it.kinds.counts[it.kinds.weights * len(first) >= 2.0].sum())
    return repeated >= _EXPECTED and len(np.unique(first)) == len(first)


def _part(it: Situation) -> str:
    """Say so if a whole part of the table is never drawn, by more than chance, else return nothing."""
    drawn, masses = it.independent, it.kinds.weights[it.kinds.cells]
    low, high, rows = int(drawn.min()), int(drawn.max()), len(masses)
    inside = masses[low : high + 1]
    most = len(inside) - float(np.exp(-len(drawn) * inside / max(float(inside.sum()), 1e-300)).sum())
    chance = [(1.0 - min(1.0, float(part.sum()))) ** len(drawn) for part in (masses[:low], masses[high + 1 :])]
    if min(chance) < _SURE and len(np.unique(drawn)) > 0.5 * most:
        return (
            f"Only rows {low:,} to {high:,} of the {rows:,} are drawn, though the others are planned as well: the "
            "sampler was made for a part of the table, or for another. Make it from the labels of the whole data set."
        )
    for step in range(2, 9):
        shard = drawn[0] % step
        if len(drawn) > rows / step and np.all(drawn % step == shard):
            left = 1.0 - float(masses[shard::step].sum())
            if (1.0 - left) ** len(drawn) < _SURE:
                return (
                    f"Only one row in {step} is drawn (rows {shard}, {shard + step}, ...): the sampler draws inside a "
                    "shard. Draw from all rows: PlanSampler(plan)."
                )
    return ""


def _few_rows(it: Situation) -> str:
    """Say so if draws fall on fewer rows than planned, by more than chance, else return nothing."""
    kinds, seen = it.kinds, it.seen(it.independent)
    unseen = unseen_chance(seen, kinds.cells, kinds.counts, kinds.weights)
    pairs, expected, chance = surplus_chance(seen, kinds.cells, kinds.counts)
    crowded = chance < _SURE and pairs - expected > _EXPECTED and pairs > _TOLERATED * expected
    if unseen >= _SURE and not crowded:
        return ""
    total = float(seen.sum())
    missed = np.exp(total * np.log1p(-np.minimum(kinds.weights, 1 - 1e-16)))
    worst = int(np.argmax((seen == 0) - missed[kinds.cells]))
    never = f" Row {worst:,}, for one, is never drawn." if not seen[worst] else ""
    ratio = f", two draws are of one row {pairs / expected:.3g} times as often as planned" if crowded else ""
    return (
        f"The shares are as planned, but the draws fall on too few of the rows: {np.count_nonzero(seen):,} different "
        f"rows in {len(it.independent):,} draws, where {len(seen) - float(kinds.counts @ missed):,.0f} are "
        f"expected{ratio}.{never} Rows of the same labels must have the same weight: plan.sample_weights."
    )


def _other_length(it: Situation) -> str:
    """Say so if an epoch has fewer draws than the plan's; the batches of a process may leave out or add a few."""
    planned, drawn = it.kinds.draws, [len(first) for first in it.draws.first]
    if planned is None or not it.draws.asked or not it.draws.whole:
        return ""
    total = sum(drawn)
    sizes = [int(np.diff(ends, prepend=0).max(initial=1)) for ends in it.draws.batches]
    processes = max(1, round(planned / total))  # one of so many that share an epoch
    each = all(abs(many - planned) <= size for many, size in zip(drawn, sizes, strict=True))
    if each or abs(total - planned / processes) <= sum(sizes) or total > planned:
        return ""
    return (
        f"An epoch has {total:,} draws, the plan {planned:,}: the sampler was made for another number of rows. Make it "
        f"from this plan, or plan with draws={total}."
    )


def _check_batches(it: Situation) -> Check:
    worst, where, looked = 0.0, 0, False
    for rows, ends in zip(it.draws.ranks, it.draws.batches, strict=True):
        if len(ends) < 20:
            continue
        found, sizes = batch_positives(it, rows, ends)
        rates = found.sum(axis=0) / sizes.sum()
        expected = np.maximum(np.outer(sizes, rates), 1e-12)
        terms = (found - expected) ** 2 / (expected * np.maximum(1 - rates, 1e-12))
        noise = np.sqrt(2.0 * len(ends) + (1.0 / expected).sum(axis=0))
        judged = (rates * sizes.sum() >= 50) & (rates < 1.0)
        looked |= bool(judged.any())
        far = np.where(judged, (terms.sum(axis=0) - len(ends)) / noise, 0.0)
        if far.max(initial=0.0) > worst:
            worst, where = float(far.max()), int(np.argmax(far))
    if worst > _FAR:
        return Check(
            "batches", False,
            f"Positives of {it.classes[where]} come in runs: batches differ in their number by far more than chance "
            f"({worst:.0f} standard deviations). The rows lie sorted by label and are not shuffled; shuffle them.",
        )  # fmt: skip
    if not looked:
        return Check("batches", None, "Too few batches, or positives in them, to compare batches.")
    return Check("batches", True, "Batches differ by no more than chance.")


def batch_positives(it: Situation, rows: Rows, ends: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (batches, classes) positives in each batch, and (batches,) its rows."""
    starts = np.concatenate(([0], ends[:-1])).astype(np.int64)
    positive = it.table == 1
    found = np.empty((len(ends), len(it.classes)))
    codes = it.codes[rows[: ends[-1] if len(ends) else 0]]
    for column in range(len(it.classes)):
        running = np.concatenate(([0], np.cumsum(positive[codes, column])))
        found[:, column] = running[ends] - running[starts]
    return found, (ends - starts).astype(np.float64)


def _statistic(fit: Fit) -> str:
    chance = f"p {fit.p_value:.2g}" if fit.p_value > 1e-300 else "p 0"
    return f"chi-square {fit.statistic:,.1f}, {fit.freedom} degrees of freedom, {chance}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
